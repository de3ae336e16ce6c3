/* driver.h: what the rooms of the driver share: arrays to the byte, random numbers, comparisons; and their cases.
 *
 * What the kernels compute is held against the formula in double; how exact they are to the last place is what the
 * Python tests are for. A comparison that fails prints the kernel and the element, and ends the program.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include "scratchnet.h"

typedef struct {
    sn_type type;
    sn_size n;
    void *data;
} array;

static inline size_t width(sn_type type) { return type == SN_FLOAT64 ? sizeof(double) : sizeof(float); }

static inline double at(array a, sn_size i)
{
    return a.type == SN_FLOAT64 ? ((double *)a.data)[i] : ((float *)a.data)[i];
}

static inline void put(array a, sn_size i, double value)
{
    if (a.type == SN_FLOAT64)
        ((double *)a.data)[i] = value;
    else
        ((float *)a.data)[i] = (float)value;
}

/* Random numbers of the thread at hand: the same after the same seed. */
void seed(uint64_t value);
double any(void); /* in [-2, 2) */

/* Each in memory of its own, so that an address sanitizer or valgrind sees the first read or write beside it; all of
 * the thread at hand are freed by end_case. */
void *memory(size_t bytes);
array output(sn_type type, sn_size n); /* poisoned: all of it must be written */
array input(sn_type type, sn_size n);
array positive(sn_type type, sn_size n);
array copy(array a);
sn_label *labels(sn_size n, sn_size limit); /* in [0, limit) */
void end_case(void);

void fail(const char *kernel, sn_type type, sn_size i, double got, double want);
/* a[i] is `want` but for what the type's rounding makes of numbers of size `scale` in so many operations. */
void near(const char *kernel, array a, sn_size i, double want, double scale, double operations);
void number_near(const char *kernel, sn_type type, double got, double want, double bound);
void same(const char *kernel, array a, array b);

double sigmoid(double x);

/* The cases, and the file of each. */
void test_affine(sn_type type, sn_size N, sn_size D, sn_size M, int zeros); /* of ten numbers of x; products.c */
void test_elementwise(sn_type type, sn_size n); /* activations.c */
void test_softmax(sn_type type, sn_size N, sn_size C); /* activations.c */
void test_images(sn_type type); /* images.c */
void test_batch_normalization(sn_type type, sn_size N, sn_size D); /* normalization.c */
void test_lstm(sn_type type, sn_size N, sn_size D); /* recurrent.c */
void test_gru(sn_type type, sn_size N, sn_size D); /* recurrent.c */
void test_updates(sn_type type, sn_size n); /* updates.c */
void test_plan(sn_type type, sn_data data_type, sn_kind activation); /* plan.c */
void test_plan_layers(sn_type type, sn_loss loss); /* sigmoid's or the squared error; plan_layers.c */
void test_shuffle(sn_size n); /* shuffle.c */
void test_threads(void); /* threads.c */

#endif
