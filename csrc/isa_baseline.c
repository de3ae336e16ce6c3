/* isa_baseline.c: the loops for the instruction set that every processor of the platform has. */

#include "table.h"

#if defined(__x86_64__) || defined(_M_X64)
#include "vector_sse2.h"
#elif defined(__aarch64__) || defined(_M_ARM64)
#include "vector_neon.h"
#else
#include "vector_scalar.h"
#endif

#include "isa.inc"

#if defined(__aarch64__) || defined(_M_ARM64)
const sn_isa_table sn_baseline = { "neon", &table_f32, &table_f64 };
#else
const sn_isa_table sn_baseline = { "baseline", &table_f32, &table_f64 };
#endif
