/* vector_sse2.h: vectors of 16 bytes, on every x86-64. No fused multiply-add: two roundings. */

#include <emmintrin.h>

typedef __m128 vector_f32;
typedef __m128d vector_f64;
enum { WIDTH_f32 = 4, WIDTH_f64 = 2, REGISTERS = 16, PARTS_ARE_CHEAP = 0 };

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

#include "vector_parts.h"
