/* vector_avx2.h: vectors of 32 bytes with fused multiply-add; parts by masks that never touch what they hide. */

#include <immintrin.h>

typedef __m256 vector_f32;
typedef __m256d vector_f64;
enum { WIDTH_f32 = 8, WIDTH_f64 = 4, REGISTERS = 16, PARTS_ARE_CHEAP = 1 };

/* 8 words of ones, then 8 of zeros: a mask for n words begins 8 - n words in. */
static const int32_t mask_words[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static inline __m256i mask_f32(int n) { return _mm256_loadu_si256((const __m256i *)(mask_words + 8 - n)); }
static inline __m256i mask_f64(int n) { return mask_f32(2 * n); }

static inline __m256 zero_f32(void) { return _mm256_setzero_ps(); }
static inline __m256 load_f32(const float *p) { return _mm256_loadu_ps(p); }
static inline __m256 load_part_f32(const float *p, int n) { return _mm256_maskload_ps(p, mask_f32(n)); }
static inline void store_f32(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
static inline void store_part_f32(float *p, __m256 v, int n) { _mm256_maskstore_ps(p, mask_f32(n), v); }
static inline __m256 broadcast_f32(float x) { return _mm256_set1_ps(x); }
static inline __m256 add_f32(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
static inline __m256 multiply_add_f32(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

static inline __m256d zero_f64(void) { return _mm256_setzero_pd(); }
static inline __m256d load_f64(const double *p) { return _mm256_loadu_pd(p); }
static inline __m256d load_part_f64(const double *p, int n) { return _mm256_maskload_pd(p, mask_f64(n)); }
static inline void store_f64(double *p, __m256d v) { _mm256_storeu_pd(p, v); }
static inline void store_part_f64(double *p, __m256d v, int n) { _mm256_maskstore_pd(p, mask_f64(n), v); }
static inline __m256d broadcast_f64(double x) { return _mm256_set1_pd(x); }
static inline __m256d add_f64(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
static inline __m256d multiply_add_f64(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
