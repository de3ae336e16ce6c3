/* vector_parts.h: the first n elements of a vector, for instruction sets without masks: through memory. */

#define DEFINE_PARTS(REAL, suffix) \
    static inline vector_##suffix load_n_##suffix(const REAL *p, int n) \
    { \
        REAL whole[WIDTH_##suffix] = {0}; \
        for (int i = 0; i < n; i++) \
            whole[i] = p[i]; \
        return load_##suffix(whole); \
    } \
    static inline void store_n_##suffix(REAL *p, vector_##suffix v, int n) \
    { \
        REAL whole[WIDTH_##suffix]; \
        store_##suffix(whole, v); \
        for (int i = 0; i < n; i++) \
            p[i] = whole[i]; \
    }

DEFINE_PARTS(float, f32)
DEFINE_PARTS(double, f64)
#undef DEFINE_PARTS
