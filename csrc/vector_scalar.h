/* vector_scalar.h: the vector operations for a processor that no other file covers: a vector is one number.
 * The other vector_*.h provide the same names:
 *   load, store, and those of the first n elements (load_n pads with zeros, store_n leaves the rest)
 *   load_columns                   TAKEN columns of WIDTH rows that are `row` apart, each as a vector
 *   nonzeros                       which of eight numbers are nonzero, as bits
 *   zero, broadcast, add, subtract, multiply, divide, multiply_add(a, b, c) = a b + c
 *   max(a, b)                      b where either is NaN (or NaN)
 *   neg_abs(a)                     -|a|
 *   if_negative(a, b, c)           b where a < 0, else c
 *   ldexp(a, n)                    a 2^n for integer n from -1100 to 0, rounded once where the result is denormal
 */

#include <math.h>

#define REGISTERS 16
#define TILE_ROWS 6
#define TILE_VECTORS 2

#define DEFINE_VECTOR(REAL, suffix) \
    typedef REAL vector_##suffix; \
    enum { WIDTH_##suffix = 1, TAKEN_##suffix = 1 }; \
    static inline void load_columns_##suffix(const REAL *p, sn_size row, REAL column[1]) { (void)row; *column = *p; } \
    static inline int nonzeros_##suffix(const REAL *p) \
    { \
        int bits = 0; \
        for (int i = 0; i < 8; i++) \
            bits |= (p[i] != 0) << i; \
        return bits; \
    } \
    static inline REAL zero_##suffix(void) { return 0; } \
    static inline REAL load_##suffix(const REAL *p) { return *p; } \
    static inline REAL load_n_##suffix(const REAL *p, int n) { return n ? *p : 0; } \
    static inline void store_##suffix(REAL *p, REAL v) { *p = v; } \
    static inline void store_n_##suffix(REAL *p, REAL v, int n) { if (n) *p = v; } \
    static inline REAL broadcast_##suffix(REAL x) { return x; } \
    static inline REAL add_##suffix(REAL a, REAL b) { return a + b; } \
    static inline REAL multiply_add_##suffix(REAL a, REAL b, REAL c) { return a * b + c; } \
    static inline REAL subtract_##suffix(REAL a, REAL b) { return a - b; } \
    static inline REAL multiply_##suffix(REAL a, REAL b) { return a * b; } \
    static inline REAL divide_##suffix(REAL a, REAL b) { return a / b; } \
    static inline REAL max_##suffix(REAL a, REAL b) { return a > b ? a : b; } \
    static inline REAL neg_abs_##suffix(REAL a) { return a < 0 ? a : -a; } \
    static inline REAL if_negative_##suffix(REAL a, REAL b, REAL c) { return a < 0 ? b : c; } \
    static inline REAL ldexp_##suffix(REAL a, REAL n) { return (REAL)ldexp((double)a, n == n ? (int)n : 0); }

DEFINE_VECTOR(float, f32)
DEFINE_VECTOR(double, f64)
#undef DEFINE_VECTOR

enum { PARTS_ARE_CHEAP = 1 };

#include "vector_halves.h"
