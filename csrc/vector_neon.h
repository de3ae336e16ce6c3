/* vector_neon.h: vectors of 16 bytes, on every 64-bit Arm; fused multiply-add. */

#include <arm_neon.h>

typedef float32x4_t vector_f32;
typedef float64x2_t vector_f64;
enum { WIDTH_f32 = 4, WIDTH_f64 = 2, PARTS_ARE_CHEAP = 0 };
#define REGISTERS 32
#define TILE_ROWS 6
#define TILE_VECTORS 4

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

static inline float32x4_t subtract_f32(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
static inline float32x4_t multiply_f32(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
static inline float32x4_t divide_f32(float32x4_t a, float32x4_t b) { return vdivq_f32(a, b); }
static inline float32x4_t max_f32(float32x4_t a, float32x4_t b) { return vmaxq_f32(a, b); }
static inline float32x4_t neg_abs_f32(float32x4_t a) { return vnegq_f32(vabsq_f32(a)); }
static inline float32x4_t if_negative_f32(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vbslq_f32(vcltzq_f32(a), b, c);
}
/* 2^n in two halves, each in the range of normal numbers */
static inline float32x4_t ldexp_f32(float32x4_t a, float32x4_t n)
{
    const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
    const int32x4_t p = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t q = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return vmulq_f32(vmulq_f32(a, vreinterpretq_f32_s32(p)), vreinterpretq_f32_s32(q));
}

static inline float64x2_t subtract_f64(float64x2_t a, float64x2_t b) { return vsubq_f64(a, b); }
static inline float64x2_t multiply_f64(float64x2_t a, float64x2_t b) { return vmulq_f64(a, b); }
static inline float64x2_t divide_f64(float64x2_t a, float64x2_t b) { return vdivq_f64(a, b); }
static inline float64x2_t max_f64(float64x2_t a, float64x2_t b) { return vmaxq_f64(a, b); }
static inline float64x2_t neg_abs_f64(float64x2_t a) { return vnegq_f64(vabsq_f64(a)); }
static inline float64x2_t if_negative_f64(float64x2_t a, float64x2_t b, float64x2_t c)
{
    return vbslq_f64(vcltzq_f64(a), b, c);
}
static inline float64x2_t ldexp_f64(float64x2_t a, float64x2_t n)
{
    const int64x2_t whole = vcvtq_s64_f64(n), half = vshrq_n_s64(whole, 1), bias = vdupq_n_s64(1023);
    const int64x2_t p = vshlq_n_s64(vaddq_s64(half, bias), 52);
    const int64x2_t q = vshlq_n_s64(vaddq_s64(vsubq_s64(whole, half), bias), 52);
    return vmulq_f64(vmulq_f64(a, vreinterpretq_f64_s64(p)), vreinterpretq_f64_s64(q));
}

/* which of eight numbers are nonzero (NaN is) */
static inline int nonzeros_f32(const float *p)
{
    int bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= (p[i] != 0) << i;
    return bits;
}
static inline int nonzeros_f64(const double *p)
{
    int bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= (p[i] != 0) << i;
    return bits;
}

/* column[c] = column c of WIDTH rows */
enum { TAKEN_f32 = 4, TAKEN_f64 = 2 };
static inline void load_columns_f32(const float *p, sn_size row, float32x4_t column[4])
{
    const float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + row), c = vld1q_f32(p + 2 * row), d = vld1q_f32(p + 3 * row);
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    column[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
    column[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
    column[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
    column[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}
static inline void load_columns_f64(const double *p, sn_size row, float64x2_t column[2])
{
    const float64x2_t a = vld1q_f64(p), b = vld1q_f64(p + row);
    column[0] = vzip1q_f64(a, b);
    column[1] = vzip2q_f64(a, b);
}

#include "vector_parts.h"
#include "vector_halves.h"
