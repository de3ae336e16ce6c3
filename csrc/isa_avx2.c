/* isa_avx2.c: the loops for x86-64 processors with AVX2 and FMA (2013 and later). */

#include "table.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h> /* its functions declare the instructions that they need */

TARGET_BEGIN("avx2,fma,bmi,bmi2")
#include "vector_avx2.h"
#include "isa.inc"
TARGET_END

const sn_isa_table sn_avx2 = { "avx2", &table_f32, &table_f64 };
#endif
