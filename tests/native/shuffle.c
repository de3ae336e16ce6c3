/* shuffle.c: the order of an epoch against the textbook's loop, on the same random bits. */

#include "driver.h"

static uint32_t next_of(void *state) /* L'Ecuyer's multiplier, the upper half: any bits do */
{
    uint64_t *s = state;
    *s = *s * 3202034522624059733u + 1;
    return (uint32_t)(*s >> 32);
}

void test_shuffle(sn_size n)
{
    sn_label *order = memory((size_t)n * sizeof *order), *want = memory((size_t)n * sizeof *want);
    uint64_t ours = 5, theirs = 5;
    for (sn_size i = 0; i < n; i++)
        order[i] = want[i] = i;
    for (int epoch = 0; epoch < 3; epoch++) {
        sn_shuffle(next_of, &ours, n, order);
        for (sn_size i = n - 1; i > 0; i--) {
            uint32_t mask = 1, drawn;
            while (mask < (uint64_t)i)
                mask = 2 * mask + 1;
            while ((drawn = next_of(&theirs) & mask) > (uint64_t)i)
                ;
            const sn_label other = want[drawn];
            want[drawn] = want[i];
            want[i] = other;
        }
        for (sn_size i = 0; i < n; i++)
            if (order[i] != want[i])
                fail("shuffle", SN_FLOAT64, i, (double)order[i], (double)want[i]);
    }
    if (ours != theirs)
        fail("shuffle, its stream", SN_FLOAT64, n, (double)ours, (double)theirs);
    end_case();
}
