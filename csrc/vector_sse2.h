/* vector_sse2.h: vectors of 16 bytes, on every x86-64. No fused multiply-add: two roundings. */

#include <emmintrin.h>

typedef __m128 vector_f32;
typedef __m128d vector_f64;
enum { WIDTH_f32 = 4, WIDTH_f64 = 2, PARTS_ARE_CHEAP = 0 };
#define REGISTERS 16
#define TILE_ROWS 6
#define TILE_VECTORS 2

static inline __m128 zero_f32(void) { return _mm_setzero_ps(); }
static inline __m128 load_f32(const float *p) { return _mm_loadu_ps(p); }
static inline void store_f32(float *p, __m128 v) { _mm_storeu_ps(p, v); }
static inline __m128 broadcast_f32(float x) { return _mm_set1_ps(x); }
static inline __m128 add_f32(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
static inline __m128 multiply_add_f32(__m128 a, __m128 b, __m128 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }

static inline __m128d zero_f64(void) { return _mm_setzero_pd(); }
static inline __m128d load_f64(const double *p) { return _mm_loadu_pd(p); }
static inline void store_f64(double *p, __m128d v) { _mm_storeu_pd(p, v); }
static inline __m128d broadcast_f64(double x) { return _mm_set1_pd(x); }
static inline __m128d add_f64(__m128d a, __m128d b) { return _mm_add_pd(a, b); }
static inline __m128d multiply_add_f64(__m128d a, __m128d b, __m128d c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }

static inline __m128 subtract_f32(__m128 a, __m128 b) { return _mm_sub_ps(a, b); }
static inline __m128 multiply_f32(__m128 a, __m128 b) { return _mm_mul_ps(a, b); }
static inline __m128 divide_f32(__m128 a, __m128 b) { return _mm_div_ps(a, b); }
static inline __m128 max_f32(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
static inline __m128 neg_abs_f32(__m128 a) { return _mm_or_ps(a, _mm_set1_ps(-0.0f)); }
static inline __m128 if_negative_f32(__m128 a, __m128 b, __m128 c)
{
    const __m128 mask = _mm_cmplt_ps(a, _mm_setzero_ps());
    return _mm_or_ps(_mm_and_ps(mask, b), _mm_andnot_ps(mask, c));
}
/* 2^n in two halves, each in the range of normal numbers */
static inline __m128 ldexp_f32(__m128 a, __m128 n)
{
    const __m128i whole = _mm_cvtps_epi32(n), half = _mm_srai_epi32(whole, 1), bias = _mm_set1_epi32(127);
    const __m128i p = _mm_slli_epi32(_mm_add_epi32(half, bias), 23);
    const __m128i q = _mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(whole, half), bias), 23);
    return _mm_mul_ps(_mm_mul_ps(a, _mm_castsi128_ps(p)), _mm_castsi128_ps(q));
}

static inline __m128d subtract_f64(__m128d a, __m128d b) { return _mm_sub_pd(a, b); }
static inline __m128d multiply_f64(__m128d a, __m128d b) { return _mm_mul_pd(a, b); }
static inline __m128d divide_f64(__m128d a, __m128d b) { return _mm_div_pd(a, b); }
static inline __m128d max_f64(__m128d a, __m128d b) { return _mm_max_pd(a, b); }
static inline __m128d neg_abs_f64(__m128d a) { return _mm_or_pd(a, _mm_set1_pd(-0.0)); }
static inline __m128d if_negative_f64(__m128d a, __m128d b, __m128d c)
{
    const __m128d mask = _mm_cmplt_pd(a, _mm_setzero_pd());
    return _mm_or_pd(_mm_and_pd(mask, b), _mm_andnot_pd(mask, c));
}
static inline __m128d ldexp_f64(__m128d a, __m128d n)
{
    /* adding 1.5 * 2^52 leaves n in the low bits; 2048 keeps the halved number positive */
    const __m128i bits = _mm_castpd_si128(_mm_add_pd(n, _mm_set1_pd(0x1.8p52)));
    const __m128i whole = _mm_sub_epi64(bits, _mm_set1_epi64x(0x4338000000000000));
    const __m128i half = _mm_sub_epi64(_mm_srli_epi64(_mm_add_epi64(whole, _mm_set1_epi64x(2048)), 1),
                                       _mm_set1_epi64x(1024));
    const __m128i bias = _mm_set1_epi64x(1023);
    const __m128i p = _mm_slli_epi64(_mm_add_epi64(half, bias), 52);
    const __m128i q = _mm_slli_epi64(_mm_add_epi64(_mm_sub_epi64(whole, half), bias), 52);
    return _mm_mul_pd(_mm_mul_pd(a, _mm_castsi128_pd(p)), _mm_castsi128_pd(q));
}

/* which of eight numbers are nonzero (NaN is) */
static inline int nonzeros_f32(const float *p)
{
    const __m128 zero = _mm_setzero_ps();
    return _mm_movemask_ps(_mm_cmpneq_ps(_mm_loadu_ps(p), zero))
         | _mm_movemask_ps(_mm_cmpneq_ps(_mm_loadu_ps(p + 4), zero)) << 4;
}
static inline int nonzeros_f64(const double *p)
{
    int bits = 0;
    for (int i = 0; i < 8; i += 2)
        bits |= _mm_movemask_pd(_mm_cmpneq_pd(_mm_loadu_pd(p + i), _mm_setzero_pd())) << i;
    return bits;
}

/* column[c] = column c of WIDTH rows */
enum { TAKEN_f32 = 4, TAKEN_f64 = 2 };
static inline void load_columns_f32(const float *p, sn_size row, __m128 column[4])
{
    for (int i = 0; i < 4; i++)
        column[i] = _mm_loadu_ps(p + i * row);
    _MM_TRANSPOSE4_PS(column[0], column[1], column[2], column[3]);
}
static inline void load_columns_f64(const double *p, sn_size row, __m128d column[2])
{
    const __m128d a = _mm_loadu_pd(p), b = _mm_loadu_pd(p + row);
    column[0] = _mm_unpacklo_pd(a, b);
    column[1] = _mm_unpackhi_pd(a, b);
}

#include "vector_parts.h"
#include "vector_halves.h"
