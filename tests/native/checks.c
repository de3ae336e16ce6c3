/* checks.c: the arrays, random numbers and comparisons of driver.h. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

enum { MOST_ARRAYS = 100 };
static _Thread_local void *owned[MOST_ARRAYS]; /* of the case at hand */
static _Thread_local int owned_count;
static _Thread_local uint64_t state = 1;

void seed(uint64_t value) { state = value; }

double any(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 40) / (1 << 22) - 2;
}

void *memory(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p || owned_count == MOST_ARRAYS)
        abort();
    return owned[owned_count++] = p;
}

void end_case(void)
{
    while (owned_count)
        free(owned[--owned_count]);
}

array output(sn_type type, sn_size n)
{
    array a = { type, n, memory((size_t)n * width(type)) };
    for (sn_size i = 0; i < n; i++)
        put(a, i, NAN);
    return a;
}

array input(sn_type type, sn_size n)
{
    array a = output(type, n);
    for (sn_size i = 0; i < n; i++)
        put(a, i, any());
    return a;
}

array positive(sn_type type, sn_size n)
{
    array a = input(type, n);
    for (sn_size i = 0; i < n; i++)
        put(a, i, fabs(at(a, i)) / 2);
    return a;
}

array copy(array a)
{
    array b = { a.type, a.n, memory((size_t)a.n * width(a.type)) };
    memcpy(b.data, a.data, (size_t)a.n * width(a.type));
    return b;
}

sn_label *labels(sn_size n, sn_size limit)
{
    sn_label *t = memory((size_t)n * sizeof *t);
    for (sn_size i = 0; i < n; i++)
        t[i] = (sn_label)((any() + 2) / 4 * (double)limit);
    return t;
}

void fail(const char *kernel, sn_type type, sn_size i, double got, double want)
{
    fprintf(stderr, "%s (%s, %s)[%td] = %.17g, expected %.17g\n", kernel, sn_isa(),
            type == SN_FLOAT64 ? "float64" : "float32", i, got, want);
    exit(1);
}

void near(const char *kernel, array a, sn_size i, double want, double scale, double operations)
{
    const double unit = a.type == SN_FLOAT64 ? 2.3e-16 : 1.2e-7, got = at(a, i);
    if (!(fabs(got - want) <= operations * unit * (fabs(scale) + fabs(want))))
        fail(kernel, a.type, i, got, want);
}

void number_near(const char *kernel, sn_type type, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound * (1 + fabs(want))))
        fail(kernel, type, 0, got, want);
}

void same(const char *kernel, array a, array b)
{
    if (memcmp(a.data, b.data, (size_t)a.n * width(a.type)) != 0)
        for (sn_size i = 0; i < a.n; i++)
            if (!(at(a, i) == at(b, i)))
                fail(kernel, a.type, i, at(a, i), at(b, i));
}

double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
