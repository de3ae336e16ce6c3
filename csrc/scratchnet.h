/* scratchnet.h: all that Python may call. The kernels are in kernels.h, written from backends/contract.py.
 *
 * Arrays are C-contiguous, in native byte order; `type` gives the type behind `void`. Shapes are in brackets:
 * x[N,D] is N rows of D elements, x[...] an array of any shape, with n elements. >out is an output, =p is
 * changed in place, b? may be NULL, t<C holds labels below C, and >out~x may be the array x itself. The caller
 * allocates and checks; a kernel reads its const arguments, overwrites its outputs (never accumulates into
 * them), keeps nothing, allocates nothing and cannot fail. No output overlaps another argument, those with ~
 * excepted. Sizes may be 0: outputs are still fully written, and empty arrays take no time, however large the
 * other sizes are. Any number of threads may call kernels at once: the only state is the pool in threads.c,
 * which serves one caller at a time and lets the others work alone.
 *
 * Accuracy, u = half a unit in the last place of 1 in the type:
 *   exact     the same bits as the formula evaluated operation by operation in the type
 *   n ulp     at most n units in the last place from the true value, over the whole range
 *   sum(K)    sums of products: at most K u times the sum of the terms' magnitudes
 *   none      a bound of its own, derived in tests/tolerances.py
 *
 * The formulas are those of backends/reference.py; the loops are in the .inc files named above each group.
 */
#ifndef SCRATCHNET_H
#define SCRATCHNET_H

#include <stddef.h>
#include <stdint.h>

typedef enum { SN_FLOAT32, SN_FLOAT64 } sn_type;
typedef ptrdiff_t sn_size;  /* number of rows, columns or elements */
typedef int64_t sn_label;   /* class or row index */
typedef uint8_t sn_bool;    /* a NumPy bool: 0 or not */

/* The instruction set whose loops run: "avx512", "avx2" or "baseline" on x86-64, "neon" on 64-bit Arm. */
const char *sn_isa(void);
/* The i-th one that this processor has, best first; NULL past the last. */
const char *sn_isa_available(int i);
/* Use the loops of the named one from now on; NULL selects the best. Returns 0 if the processor does not have it.
 * Must not be called while kernels run. */
int sn_use_isa(const char *name);

/* Large work is split over at most this many threads, including the caller; results do not depend on it. */
int sn_threads(void);
void sn_set_threads(int n);

/* Position of the first of t[n] outside [0, limit), or -1. Kernels that take labels rely on it. */
sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit);

/* ---- the kernels ------------------------------------------------------------------------- */

#include "kernels.h"

/* ---- shuffle.c: the order of an epoch ------------------------------------------------------- */

/* Shuffle order[n] as NumPy's legacy `shuffle` does for the same random bits; next(state) returns 32 of them;
 * n <= 2^32. */
void sn_shuffle(uint32_t (*next)(void *state), void *state, sn_size n, sn_label *order);

/* ---- plan.c: whole training steps of a chain of layers -------------------------------------- */

typedef enum {
    SN_AFFINE, SN_SIGMOID, SN_RELU, SN_TANH, SN_DROPOUT, SN_CONVOLUTION, SN_POOLING, SN_NORMALIZATION
} sn_kind;
typedef enum { SN_SOFTMAX_LOSS, SN_SIGMOID_LOSS, SN_SQUARED_LOSS } sn_loss;
typedef enum {
    SN_DATA_BOOL,                    /* a byte; nonzero counts as 1 */
    SN_DATA_U8, SN_DATA_I8, SN_DATA_I16, SN_DATA_I32, SN_DATA_I64, SN_DATA_F32, SN_DATA_F64
} sn_data;

typedef struct {                     /* out from x, the output of the layer before or the batch */
    sn_kind kind;
    sn_size D, M;                    /* affine: of W; dropout: D numbers of a sample in the masks before; M of it;
                                        convolution: M filters; normalization: M columns */
    sn_size C, H, W, P, Q, Y, X, stride, pad; /* images and windows */
    sn_size L;                       /* normalization: pixels of a channel, or 1 */
    sn_size at_once;                 /* convolution: images */
    const void *weights, *b;         /* or gamma, beta */
    void *dW, *db;
    void *running[2];                /* mean and variance, changed in place */
    double number;                   /* normalization: momentum */
    void *cache[6];                  /* what backward needs, and room to work */
    void *out;                       /* may be x where nothing needs that unchanged */
} sn_layer;

typedef struct {                     /* a parameter's gradient; `decayed` is the parameter if weight decay is for it */
    sn_size n;
    void *g;
    const void *decayed;
} sn_gradient;

typedef struct {                     /* coalesced parameters: adjacent in memory */
    sn_size n;
    void *p, *g, *state[2];          /* [n]; the optimizer's states, in its kernel's order */
} sn_parameter;

/* update.c: the optimizer's kernel on coalesced parameters; numbers are the kernel's scalars. */
void sn_update(sn_type type, sn_optimizer optimizer, const sn_parameter *parameter, const double numbers[4]);

typedef struct {
    sn_type type;
    sn_size batch, inputs, outputs;  /* samples, at most; numbers of each, and scores */
    int layers, first;               /* the first layer with parameters: backward ends there */
    int parameters, gradients;
    sn_layer *layer;
    sn_parameter *parameter;         /* coalesced */
    sn_gradient *gradient;           /* one by one, in the model's order */
    sn_optimizer optimizer;
    sn_loss loss;
    double delta, clip;              /* the loss's kernel's */
    double loss_factor, gradient_factor; /* 1, unless the loss or its gradient is to be a multiple */
    double numbers[3];               /* the optimizer's kernel's, after the learning rate */
    double max_grad;                 /* largest norm of all gradients; negative means no clipping */
    double decay;                    /* 0.5 decay sum of W^2 is added to the loss, */
    int is_decay_shared;             /* divided by the batch's samples, or the sum of their weights, where not 0 */
    sn_size masks;                   /* numbers of all masks of a sample */
    void *x;                         /* [batch,inputs]: the gathered samples */
    sn_label *t;                     /* [batch], with the sigmoid [batch,outputs] */
    void *y;                         /* [batch,outputs]: probabilities, or the gathered targets */
    void *w;                         /* [batch]: the gathered weights of the samples, or NULL */
    void *dout, *dx;                 /* [batch, most numbers]: gradients of the current layer and of its input */
} sn_plan;

typedef struct {                     /* rows of numbers, row_bytes apart, cast as they are gathered */
    const void *data;
    sn_data type;
    sn_size row_bytes;
} sn_rows;

typedef struct {                     /* all samples, with class indices or rows of targets; w weighs them, or is NULL */
    sn_rows x;
    const sn_label *t;
    sn_rows targets;
    const double *w;
} sn_samples;

/* Write the gradients of the mean loss of a batch, those of weight decay included, and return the loss: of B samples,
 * those in order[B], with the dropout masks[B, plan->masks], one layer's after the other's. */
double sn_plan_gradients(const sn_plan *plan, sn_size B, const sn_label *order, const sn_samples *samples,
                         const void *masks);

/* Run `steps` training steps on the next entries of order, each on `batch` of them, or on what is left of an epoch of
 * `epoch` entries, of which `left` are left at the first step; each with its learning rate from rates[steps], and its
 * masks behind those of the step before; loss[steps] = the mean loss of each batch before its update. The same
 * kernels in the same order as the layers' own calls. */
void sn_plan_run(const sn_plan *plan, sn_size steps, sn_size epoch, sn_size left, const sn_label *order,
                 const sn_samples *samples, const void *masks, const double *rates, double *loss);

#endif
