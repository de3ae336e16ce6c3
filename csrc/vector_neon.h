/* vector_neon.h: vectors of 16 bytes, on every 64-bit Arm; multiply-add is fused. */

#include <arm_neon.h>

typedef float32x4_t vector_f32;
typedef float64x2_t vector_f64;
enum { WIDTH_f32 = 4, WIDTH_f64 = 2, REGISTERS = 32, PARTS_ARE_CHEAP = 0 };

static inline float32x4_t zero_f32(void) { return vdupq_n_f32(0); }
static inline float32x4_t load_f32(const float *p) { return vld1q_f32(p); }
static inline void store_f32(float *p, float32x4_t v) { vst1q_f32(p, v); }
static inline float32x4_t broadcast_f32(float x) { return vdupq_n_f32(x); }
static inline float32x4_t add_f32(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
static inline float32x4_t multiply_add_f32(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }

static inline float64x2_t zero_f64(void) { return vdupq_n_f64(0); }
static inline float64x2_t load_f64(const double *p) { return vld1q_f64(p); }
static inline void store_f64(double *p, float64x2_t v) { vst1q_f64(p, v); }
static inline float64x2_t broadcast_f64(double x) { return vdupq_n_f64(x); }
static inline float64x2_t add_f64(float64x2_t a, float64x2_t b) { return vaddq_f64(a, b); }
static inline float64x2_t multiply_add_f64(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }

#include "vector_parts.h"
