/* shuffle.c: rows in a random order, as NumPy's legacy `shuffle` and `permutation` draw it.
 *
 * From the last entry down to the second, each is swapped with one drawn from those up to itself. A draw is the lowest
 * bits of the next 32, as many as the largest index has, repeated until it is in range. NumPy guarantees this order
 * (NEP 19). Whether a draw is accepted is unpredictable, so there is no branch on it: an entry whose draw is rejected
 * is swapped with itself.
 */

#include "scratchnet.h"

void sn_shuffle(uint32_t (*next)(void *state), void *state, sn_size n, sn_label *order)
{
    sn_size last = n - 1;
    uint32_t mask = UINT32_MAX;
    while (last > 0) {
        while (mask >> 1 >= last)
            mask >>= 1;
        for (const sn_size half = mask >> 1; last > half;) {
            const sn_size drawn = next(state) & mask, taken = drawn <= last;
            const sn_size with = taken ? drawn : last;
            const sn_label other = order[with];
            order[with] = order[last];
            order[last] = other;
            last -= taken;
        }
    }
}
