/* vector_avx512.h: vectors of 64 bytes, 32 registers of them, fused multiply-add, masks in registers. */

#include <immintrin.h>

typedef __m512 vector_f32;
typedef __m512d vector_f64;
enum { WIDTH_f32 = 16, WIDTH_f64 = 8, PARTS_ARE_CHEAP = 1 };
#define REGISTERS 32
#define TILE_ROWS 6
#define TILE_VECTORS 4

static inline __mmask16 mask_f32(int n) { return (__mmask16)((1u << n) - 1); }
static inline __mmask8 mask_f64(int n) { return (__mmask8)((1u << n) - 1); }

static inline __m512 zero_f32(void) { return _mm512_setzero_ps(); }
static inline __m512 load_f32(const float *p) { return _mm512_loadu_ps(p); }
static inline __m512 load_n_f32(const float *p, int n) { return _mm512_maskz_loadu_ps(mask_f32(n), p); }
static inline void store_f32(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
static inline void store_n_f32(float *p, __m512 v, int n) { _mm512_mask_storeu_ps(p, mask_f32(n), v); }
static inline __m512 broadcast_f32(float x) { return _mm512_set1_ps(x); }
static inline __m512 add_f32(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
static inline __m512 multiply_add_f32(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }

static inline __m512d zero_f64(void) { return _mm512_setzero_pd(); }
static inline __m512d load_f64(const double *p) { return _mm512_loadu_pd(p); }
static inline __m512d load_n_f64(const double *p, int n) { return _mm512_maskz_loadu_pd(mask_f64(n), p); }
static inline void store_f64(double *p, __m512d v) { _mm512_storeu_pd(p, v); }
static inline void store_n_f64(double *p, __m512d v, int n) { _mm512_mask_storeu_pd(p, mask_f64(n), v); }
static inline __m512d broadcast_f64(double x) { return _mm512_set1_pd(x); }
static inline __m512d add_f64(__m512d a, __m512d b) { return _mm512_add_pd(a, b); }
static inline __m512d multiply_add_f64(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

static inline __m512 subtract_f32(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
static inline __m512 multiply_f32(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
static inline __m512 divide_f32(__m512 a, __m512 b) { return _mm512_div_ps(a, b); }
static inline __m512 max_f32(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
static inline __m512 neg_abs_f32(__m512 a) { return _mm512_or_ps(a, _mm512_set1_ps(-0.0f)); }
static inline __m512 if_negative_f32(__m512 a, __m512 b, __m512 c)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LT_OQ), c, b);
}
static inline __m512 ldexp_f32(__m512 a, __m512 n) { return _mm512_scalef_ps(a, n); }

static inline __m512d subtract_f64(__m512d a, __m512d b) { return _mm512_sub_pd(a, b); }
static inline __m512d multiply_f64(__m512d a, __m512d b) { return _mm512_mul_pd(a, b); }
static inline __m512d divide_f64(__m512d a, __m512d b) { return _mm512_div_pd(a, b); }
static inline __m512d max_f64(__m512d a, __m512d b) { return _mm512_max_pd(a, b); }
static inline __m512d neg_abs_f64(__m512d a) { return _mm512_or_pd(a, _mm512_set1_pd(-0.0)); }
static inline __m512d if_negative_f64(__m512d a, __m512d b, __m512d c)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, _mm512_setzero_pd(), _CMP_LT_OQ), c, b);
}
static inline __m512d ldexp_f64(__m512d a, __m512d n) { return _mm512_scalef_pd(a, n); }

/* which of eight numbers are nonzero (NaN is) */
static inline int nonzeros_f32(const float *p)
{
    return _mm256_cmp_ps_mask(_mm256_loadu_ps(p), _mm256_setzero_ps(), _CMP_NEQ_UQ);
}
static inline int nonzeros_f64(const double *p)
{
    return _mm512_cmp_pd_mask(_mm512_loadu_pd(p), _mm512_setzero_pd(), _CMP_NEQ_UQ);
}

/* column[c] = column c of WIDTH rows, transposed in lanes of 16 bytes */
enum { TAKEN_f32 = 4, TAKEN_f64 = 2 };
static inline void load_columns_f32(const float *p, sn_size row, __m512 column[4])
{
    __m512 r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_castps128_ps512(_mm_loadu_ps(p + i * row));
        r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + (i + 4) * row), 1);
        r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + (i + 8) * row), 2);
        r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + (i + 12) * row), 3);
    }
    const __m512 a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    const __m512 c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
    column[0] = _mm512_shuffle_ps(a, c, 0x44);
    column[1] = _mm512_shuffle_ps(a, c, 0xee);
    column[2] = _mm512_shuffle_ps(b, d, 0x44);
    column[3] = _mm512_shuffle_ps(b, d, 0xee);
}
static inline void load_columns_f64(const double *p, sn_size row, __m512d column[2])
{
    __m512d r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = _mm512_castpd128_pd512(_mm_loadu_pd(p + i * row));
        r[i] = _mm512_insertf64x2(r[i], _mm_loadu_pd(p + (i + 2) * row), 1);
        r[i] = _mm512_insertf64x2(r[i], _mm_loadu_pd(p + (i + 4) * row), 2);
        r[i] = _mm512_insertf64x2(r[i], _mm_loadu_pd(p + (i + 6) * row), 3);
    }
    column[0] = _mm512_unpacklo_pd(r[0], r[1]);
    column[1] = _mm512_unpackhi_pd(r[0], r[1]);
}

/* Half a vector, for the last columns of a product: half the work where the processor's units are 32 bytes wide. */
#define HALVES 1
static inline __mmask8 half_mask(int n) { return (__mmask8)((1u << n) - 1); }
typedef __m256 half_f32;
typedef __m256d half_f64;

static inline __m256 half_zero_f32(void) { return _mm256_setzero_ps(); }
static inline __m256 half_load_f32(const float *p) { return _mm256_loadu_ps(p); }
static inline __m256 half_load_part_f32(const float *p, int n) { return _mm256_maskz_loadu_ps(half_mask(n), p); }
static inline void half_store_part_f32(float *p, __m256 v, int n) { _mm256_mask_storeu_ps(p, half_mask(n), v); }
static inline __m256 half_broadcast_f32(float x) { return _mm256_set1_ps(x); }
static inline __m256 half_add_f32(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
static inline __m256 half_multiply_add_f32(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

static inline __m256d half_zero_f64(void) { return _mm256_setzero_pd(); }
static inline __m256d half_load_f64(const double *p) { return _mm256_loadu_pd(p); }
static inline __m256d half_load_part_f64(const double *p, int n) { return _mm256_maskz_loadu_pd(half_mask(n), p); }
static inline void half_store_part_f64(double *p, __m256d v, int n) { _mm256_mask_storeu_pd(p, half_mask(n), v); }
static inline __m256d half_broadcast_f64(double x) { return _mm256_set1_pd(x); }
static inline __m256d half_add_f64(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
static inline __m256d half_multiply_add_f64(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
