/* vector_scalar.h: the vector operations of product.inc for a processor that no other file knows:
 * a vector is one number. The other vector_*.h provide the same names. */

#define DEFINE_VECTOR(REAL, suffix) \
    typedef REAL vector_##suffix; \
    enum { WIDTH_##suffix = 1 }; \
    static inline REAL zero_##suffix(void) { return 0; } \
    static inline REAL load_##suffix(const REAL *p) { return *p; } \
    static inline REAL load_part_##suffix(const REAL *p, int n) { return n ? *p : 0; } \
    static inline void store_##suffix(REAL *p, REAL v) { *p = v; } \
    static inline void store_part_##suffix(REAL *p, REAL v, int n) { if (n) *p = v; } \
    static inline REAL broadcast_##suffix(REAL x) { return x; } \
    static inline REAL add_##suffix(REAL a, REAL b) { return a + b; } \
    static inline REAL multiply_add_##suffix(REAL a, REAL b, REAL c) { return a * b + c; }

DEFINE_VECTOR(float, f32)
DEFINE_VECTOR(double, f64)
#undef DEFINE_VECTOR

enum { REGISTERS = 16, PARTS_ARE_CHEAP = 1 };
