/* transpose.h: a small square block transposed in registers, for packing the right factor of dout W'. Element by
 * element, the copy costs a tenth of the product.
 *   to[r * to_row + c] = from[c * from_row + r] for r, c < BLOCK
 */

enum { BLOCK_f32 = 4, BLOCK_f64 = 2 };

#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>

static inline void transpose_f32(const float *from, sn_size from_row, float *to, sn_size to_row)
{
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_row);
    __m128 c = _mm_loadu_ps(from + 2 * from_row), d = _mm_loadu_ps(from + 3 * from_row);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a);
    _mm_storeu_ps(to + to_row, b);
    _mm_storeu_ps(to + 2 * to_row, c);
    _mm_storeu_ps(to + 3 * to_row, d);
}

static inline void transpose_f64(const double *from, sn_size from_row, double *to, sn_size to_row)
{
    const __m128d a = _mm_loadu_pd(from), b = _mm_loadu_pd(from + from_row);
    _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(to + to_row, _mm_unpackhi_pd(a, b));
}

#else

#define DEFINE_TRANSPOSE(REAL, suffix) \
    static inline void transpose_##suffix(const REAL *from, sn_size from_row, REAL *to, sn_size to_row) \
    { \
        for (int r = 0; r < BLOCK_##suffix; r++) \
            for (int c = 0; c < BLOCK_##suffix; c++) \
                to[r * to_row + c] = from[c * from_row + r]; \
    }

DEFINE_TRANSPOSE(float, f32)
DEFINE_TRANSPOSE(double, f64)
#undef DEFINE_TRANSPOSE
#endif
