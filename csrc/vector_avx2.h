/* vector_avx2.h: vectors of 32 bytes with fused multiply-add; masks never touch the elements they hide. */

#include <immintrin.h>

typedef __m256 vector_f32;
typedef __m256d vector_f64;
enum { WIDTH_f32 = 8, WIDTH_f64 = 4, PARTS_ARE_CHEAP = 1 };
#define REGISTERS 16
#define TILE_ROWS 4
#define TILE_VECTORS 3

/* 8 words of ones, then 8 of zeros: a mask for n words starts at word 8 - n. */
static const int32_t mask_words[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static inline __m256i mask_f32(int n) { return _mm256_loadu_si256((const __m256i *)(mask_words + 8 - n)); }
static inline __m256i mask_f64(int n) { return mask_f32(2 * n); }

static inline __m256 zero_f32(void) { return _mm256_setzero_ps(); }
static inline __m256 load_f32(const float *p) { return _mm256_loadu_ps(p); }
static inline __m256 load_n_f32(const float *p, int n) { return _mm256_maskload_ps(p, mask_f32(n)); }
static inline void store_f32(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
/* A masked store takes at least 12 cycles on AMD (Zen 3); these few plain ones take 2. n may be the full width. */
static inline void store_n_f32(float *p, __m256 v, int n)
{
    if (n == WIDTH_f32) {
        store_f32(p, v);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, rest);
}
static inline __m256 broadcast_f32(float x) { return _mm256_set1_ps(x); }
static inline __m256 add_f32(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
static inline __m256 multiply_add_f32(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

static inline __m256d zero_f64(void) { return _mm256_setzero_pd(); }
static inline __m256d load_f64(const double *p) { return _mm256_loadu_pd(p); }
static inline __m256d load_n_f64(const double *p, int n) { return _mm256_maskload_pd(p, mask_f64(n)); }
static inline void store_f64(double *p, __m256d v) { _mm256_storeu_pd(p, v); }
static inline void store_n_f64(double *p, __m256d v, int n)
{
    if (n == WIDTH_f64) {
        store_f64(p, v);
        return;
    }
    __m128d rest = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1)
        _mm_store_sd(p, rest);
}
static inline __m256d broadcast_f64(double x) { return _mm256_set1_pd(x); }
static inline __m256d add_f64(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
static inline __m256d multiply_add_f64(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }

static inline __m256 subtract_f32(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
static inline __m256 multiply_f32(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
static inline __m256 divide_f32(__m256 a, __m256 b) { return _mm256_div_ps(a, b); }
static inline __m256 max_f32(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
static inline __m256 neg_abs_f32(__m256 a) { return _mm256_or_ps(a, _mm256_set1_ps(-0.0f)); }
static inline __m256 if_negative_f32(__m256 a, __m256 b, __m256 c)
{
    const __m256 mask = _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ);
    return _mm256_blendv_ps(c, b, mask);
}
/* 2^n in two halves, each in the range of normal numbers */
static inline __m256 ldexp_f32(__m256 a, __m256 n)
{
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    const __m256i p = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i q = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(p)), _mm256_castsi256_ps(q));
}

static inline __m256d subtract_f64(__m256d a, __m256d b) { return _mm256_sub_pd(a, b); }
static inline __m256d multiply_f64(__m256d a, __m256d b) { return _mm256_mul_pd(a, b); }
static inline __m256d divide_f64(__m256d a, __m256d b) { return _mm256_div_pd(a, b); }
static inline __m256d max_f64(__m256d a, __m256d b) { return _mm256_max_pd(a, b); }
static inline __m256d neg_abs_f64(__m256d a) { return _mm256_or_pd(a, _mm256_set1_pd(-0.0)); }
static inline __m256d if_negative_f64(__m256d a, __m256d b, __m256d c)
{
    const __m256d mask = _mm256_cmp_pd(a, _mm256_setzero_pd(), _CMP_LT_OQ);
    return _mm256_blendv_pd(c, b, mask);
}
static inline __m256d ldexp_f64(__m256d a, __m256d n)
{
    /* adding 1.5 * 2^52 leaves n in the low bits; 2048 keeps the halved number positive */
    const __m256i bits = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(0x1.8p52)));
    const __m256i whole = _mm256_sub_epi64(bits, _mm256_set1_epi64x(0x4338000000000000));
    const __m256i half = _mm256_sub_epi64(_mm256_srli_epi64(_mm256_add_epi64(whole, _mm256_set1_epi64x(2048)), 1),
                                       _mm256_set1_epi64x(1024));
    const __m256i bias = _mm256_set1_epi64x(1023);
    const __m256i p = _mm256_slli_epi64(_mm256_add_epi64(half, bias), 52);
    const __m256i q = _mm256_slli_epi64(_mm256_add_epi64(_mm256_sub_epi64(whole, half), bias), 52);
    return _mm256_mul_pd(_mm256_mul_pd(a, _mm256_castsi256_pd(p)), _mm256_castsi256_pd(q));
}

/* which of eight numbers are nonzero (NaN is) */
static inline int nonzeros_f32(const float *p)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(p), _mm256_setzero_ps(), _CMP_NEQ_UQ));
}
static inline int nonzeros_f64(const double *p)
{
    const __m256d zero = _mm256_setzero_pd();
    return _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(p), zero, _CMP_NEQ_UQ))
         | _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(p + 4), zero, _CMP_NEQ_UQ)) << 4;
}

/* column[c] = column c of WIDTH rows, transposed in lanes of 16 bytes */
enum { TAKEN_f32 = 4, TAKEN_f64 = 2 };
static inline void load_columns_f32(const float *p, sn_size row, __m256 column[4])
{
    __m256 r[4];
    for (int i = 0; i < 4; i++)
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + i * row)),
                                    _mm_loadu_ps(p + (i + 4) * row), 1);
    const __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    const __m256 c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
    column[0] = _mm256_shuffle_ps(a, c, 0x44);
    column[1] = _mm256_shuffle_ps(a, c, 0xee);
    column[2] = _mm256_shuffle_ps(b, d, 0x44);
    column[3] = _mm256_shuffle_ps(b, d, 0xee);
}
static inline void load_columns_f64(const double *p, sn_size row, __m256d column[2])
{
    const __m256d a = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + 2 * row), 1);
    const __m256d b = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p + row)), _mm_loadu_pd(p + 3 * row), 1);
    column[0] = _mm256_unpacklo_pd(a, b);
    column[1] = _mm256_unpackhi_pd(a, b);
}

#include "vector_halves.h"
