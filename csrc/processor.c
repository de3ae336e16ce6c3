/* processor.c: detects the processor's features and selects the instruction set. */

#include "processor.h"

#if defined(__x86_64__) || defined(_M_X64)

/* The features that the processor has and the system saves, queried directly: the compilers' own helpers differ.
 * Intel SDM vol. 2A, CPUID; vol. 1, 13.2 (XCR0). */
#if defined(_MSC_VER) && !defined(__clang__) /* clang-cl wants xgetbv's target named */
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static unsigned saved_by_system(void) { return (unsigned)_xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
static unsigned saved_by_system(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

#define BIT(n) (1u << (n))

static int has(const sn_isa_table *table)
{
    enum { EBX = 1, ECX = 2 };
    const unsigned osxsave_avx_fma = BIT(27) | BIT(28) | BIT(12);
    const unsigned avx2_bmi = BIT(5) | BIT(3) | BIT(8);
    const unsigned avx512_f_dq_cd_bw_vl = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);
    const unsigned ymm = 0x6, zmm = 0xe6;
    unsigned r[4];
    if (table == &sn_baseline)
        return 1;
    cpuid(0, r);
    if (r[0] < 7)
        return 0;
    cpuid(1, r);
    if ((r[ECX] & osxsave_avx_fma) != osxsave_avx_fma || (saved_by_system() & ymm) != ymm)
        return 0;
    cpuid(7, r);
    if ((r[EBX] & avx2_bmi) != avx2_bmi)
        return 0;
    return table == &sn_avx2
        || ((r[EBX] & avx512_f_dq_cd_bw_vl) == avx512_f_dq_cd_bw_vl && (saved_by_system() & zmm) == zmm);
}

static const sn_isa_table *const tables[] = { &sn_avx512, &sn_avx2, &sn_baseline };

#else

static int has(const sn_isa_table *table) { return table != NULL; }
static const sn_isa_table *const tables[] = { &sn_baseline };

#endif

enum { TABLES = sizeof tables / sizeof tables[0] };

const sn_isa_table *isa = &sn_baseline; /* set once, when the extension is imported */

const char *sn_isa(void)
{
    return isa->name;
}

const char *sn_isa_available(int i)
{
    for (int k = 0; k < TABLES; k++)
        if (has(tables[k]) && i-- == 0)
            return tables[k]->name;
    return NULL;
}

int sn_use_isa(const char *name)
{
    for (int k = 0; k < TABLES; k++)
        if (has(tables[k]) && (!name || strcmp(name, tables[k]->name) == 0)) {
            isa = tables[k];
            return 1;
        }
    return 0;
}

sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit)
{
    for (sn_size i = 0; i < n; i++)
        if (t[i] < 0 || t[i] >= limit)
            return i;
    return -1;
}
