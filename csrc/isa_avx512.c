/* isa_avx512.c: the loops for x86-64 processors with AVX-512 (F, DQ, BW, VL, CD). */

#include "table.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h> /* its functions declare the instructions that they need */

#define AVX512 "avx512f,avx512dq,avx512bw,avx512vl,avx512cd,avx2,fma,bmi,bmi2"
#if defined(__clang__)
TARGET_BEGIN(AVX512)
#else
TARGET_BEGIN(AVX512 ",prefer-vector-width=512") /* GCC would stop at 32 bytes; clang has no such attribute */
#endif
#include "vector_avx512.h"
#include "isa.inc"
TARGET_END

const sn_isa_table sn_avx512 = { "avx512", &table_f32, &table_f64 };
#endif
