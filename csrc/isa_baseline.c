/* isa_baseline.c: the loops for the instruction set that every processor of the platform has. */

#include <math.h>
#include <string.h>

#include "table.h"

#define TILE_BYTES 32 /* of one row of a product's tile: two SSE2 or NEON registers */
#if defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

#include "math.inc"

/* double first: sums over floats are taken with double's helpers */
#define REAL double
#define K(name) name##_f64
#include "kernels.inc"
#undef REAL
#undef K

#define REAL float
#define K(name) name##_f32
#include "kernels.inc"
#undef REAL
#undef K

const sn_isa_table sn_baseline = { "baseline", &table_f32, &table_f64 };
