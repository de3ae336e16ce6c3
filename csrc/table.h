/* table.h: what an instruction set provides: its name, and the kernels of both types; and the compilers' names
 * for the few things that C lacks. */
#ifndef SCRATCHNET_TABLE_H
#define SCRATCHNET_TABLE_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scratchnet.h"
#include "threads.h"

/* The code between TARGET_BEGIN and TARGET_END may use the named instructions; no file needs compiler flags. */
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(names) PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#define UNROLL _Pragma("clang loop unroll(full)")
#define TWICE _Pragma("clang loop unroll_count(2)")
#elif defined(__GNUC__)
#define TARGET_BEGIN(names) _Pragma("GCC push_options") PRAGMA(GCC target(names))
#define TARGET_END _Pragma("GCC pop_options")
#define UNROLL _Pragma("GCC unroll 16")
#define TWICE _Pragma("GCC unroll 2")
#else
#define TARGET_BEGIN(names)
#define TARGET_END
#define UNROLL
#define TWICE
#endif
#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define FETCH(p) __builtin_prefetch(p)
#else
#define INLINE __forceinline
#define NOINLINE __declspec(noinline)
#define FETCH(p) ((void)(p))
#endif

/* the lowest set bit of a nonzero word */
#if defined(__GNUC__)
static inline int first_bit(uint64_t word) { return __builtin_ctzll(word); }
#else
#include <intrin.h>
static inline int first_bit(uint64_t word)
{
    unsigned long bit;
    _BitScanForward64(&bit, word);
    return (int)bit;
}
#endif

enum { LINE = 64 }; /* bytes of a cache line */
#define ALIGNED(p) ((void *)(((uintptr_t)(p) + LINE - 1) & ~(uintptr_t)(LINE - 1)))

#define REAL float
#define FN(name) name##_f32
#include "table.inc"
#undef REAL
#undef FN

#define REAL double
#define FN(name) name##_f64
#include "table.inc"
#undef REAL
#undef FN

typedef struct {
    const char *name;
    const sn_table_f32 *f32;
    const sn_table_f64 *f64;
} sn_isa_table;

extern const sn_isa_table sn_baseline, sn_avx2, sn_avx512; /* the last two on x86-64 only */

#endif
