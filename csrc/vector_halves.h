/* vector_halves.h: the half-vector names for instruction sets that do not benefit from them: a whole vector. They are
 * never used, since HALVES is 0. */

#define HALVES 0

#define DEFINE_HALF(REAL, suffix) \
    typedef vector_##suffix half_##suffix; \
    static inline vector_##suffix half_zero_##suffix(void) { return zero_##suffix(); } \
    static inline vector_##suffix half_load_##suffix(const REAL *p) { return load_##suffix(p); } \
    static inline vector_##suffix half_load_part_##suffix(const REAL *p, int n) { return load_n_##suffix(p, n); } \
    static inline void half_store_part_##suffix(REAL *p, vector_##suffix v, int n) { store_n_##suffix(p, v, n); } \
    static inline vector_##suffix half_broadcast_##suffix(REAL x) { return broadcast_##suffix(x); } \
    static inline vector_##suffix half_add_##suffix(vector_##suffix a, vector_##suffix b) \
    { \
        return add_##suffix(a, b); \
    } \
    static inline vector_##suffix half_multiply_add_##suffix(vector_##suffix a, vector_##suffix b, vector_##suffix c) \
    { \
        return multiply_add_##suffix(a, b, c); \
    }

DEFINE_HALF(float, f32)
DEFINE_HALF(double, f64)
#undef DEFINE_HALF
