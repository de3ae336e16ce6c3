/* plan.c: whole training steps of a chain of layers, without Python between the kernels.
 *
 * A step does what the layers do one by one: gather the batch, forward, loss, backward (no dx for the first
 * layer), clip, update. The arrays are those of the layers and of the optimizer, written in place.
 */

#include <math.h>
#include <string.h>

#include "scratchnet.h"

#if defined(__GNUC__)
#define FETCH(p) __builtin_prefetch(p, 0, 2) /* into L2, which allows more reads in flight */
#else
#define FETCH(p) ((void)(p))
#endif

/* Row i of the batch; the next row is prefetched, since it may be anywhere in memory: this takes a third less time. */
static inline const void *batch_row(const void *data, sn_size row_bytes, sn_size used, const sn_label *index,
                                    sn_size i, sn_size B)
{
    if (i + 1 < B) {
        const char *next = (const char *)data + index[i + 1] * row_bytes;
        for (sn_size k = 0; k < used; k += 64)
            FETCH(next + k);
    }
    return (const char *)data + index[i] * row_bytes;
}

/* out[B,D] = rows of data, cast; `number` is row[j] as a number */
#define GATHER(FROM, number, TO) \
    for (sn_size i = 0; i < B; i++) { \
        const FROM *row = batch_row(data, row_bytes, D * (sn_size)sizeof(FROM), index, i, B); \
        TO *target = (TO *)out + i * D; \
        for (sn_size j = 0; j < D; j++) \
            target[j] = (TO)(number); \
    }
#define GATHER_AS(FROM, number) \
    if (type == SN_FLOAT64) \
        GATHER(FROM, number, double) \
    else \
        GATHER(FROM, number, float) \
    break

static void gather(sn_type type, sn_size B, sn_size D, const void *data, sn_data data_type, sn_size row_bytes,
                   const sn_label *index, void *out)
{
    /* Calling memcpy for a few elements takes longer than copying them. */
    if (D >= 16 && data_type == (type == SN_FLOAT64 ? SN_DATA_F64 : SN_DATA_F32)) {
        const size_t row = (size_t)D * (type == SN_FLOAT64 ? sizeof(double) : sizeof(float));
        for (sn_size i = 0; i < B; i++)
            memcpy((char *)out + (size_t)i * row, batch_row(data, row_bytes, (sn_size)row, index, i, B), row);
        return;
    }
    switch (data_type) {
    case SN_DATA_BOOL: GATHER_AS(uint8_t, row[j] != 0);
    case SN_DATA_U8: GATHER_AS(uint8_t, row[j]);
    case SN_DATA_I8: GATHER_AS(int8_t, row[j]);
    case SN_DATA_I16: GATHER_AS(int16_t, row[j]);
    case SN_DATA_I32: GATHER_AS(int32_t, row[j]);
    case SN_DATA_I64: GATHER_AS(int64_t, row[j]);
    case SN_DATA_F32: GATHER_AS(float, row[j]);
    case SN_DATA_F64: GATHER_AS(double, row[j]);
    }
}

static double forward(const sn_plan *plan)
{
    const void *x = plan->x;
    for (int k = 0; k < plan->layers; k++) {
        const sn_layer *l = &plan->layer[k];
        sn_affine_forward(plan->type, plan->batch, l->D, l->M, x, l->W, l->b, l->out);
        if (l->activation == SN_SIGMOID)
            sn_sigmoid_forward(plan->type, plan->batch * l->M, l->out, l->out);
        else if (l->activation == SN_RELU)
            sn_relu_forward(plan->type, plan->batch * l->M, l->out, l->out);
        x = l->out;
    }
    return sn_softmax_cross_entropy_forward(plan->type, plan->batch, plan->layer[plan->layers - 1].M, x, plan->t,
                                            1e-7, 0, plan->y);
}

static void backward(const sn_plan *plan)
{
    void *dout = plan->dout, *dx = plan->dx;
    sn_softmax_cross_entropy_backward(plan->type, plan->batch, plan->layer[plan->layers - 1].M, plan->y, plan->t, 1,
                                      dout);
    for (int k = plan->layers - 1; k >= 0; k--) {
        const sn_layer *l = &plan->layer[k];
        const sn_size n = plan->batch * l->M;
        if (l->activation == SN_SIGMOID)
            sn_sigmoid_backward(plan->type, n, dout, l->out, dout);
        else if (l->activation == SN_RELU)
            sn_relu_backward(plan->type, n, dout, l->out, dout);
        sn_affine_backward(plan->type, plan->batch, l->D, l->M, dout, k ? plan->layer[k - 1].out : plan->x, l->W,
                           k ? dx : NULL, l->dW, l->db);
        void *freed = dout;
        dout = dx;
        dx = freed;
    }
}

/* Book 2, ch. 6.1.4, array by array as util.clip_grads does. */
static void clip(const sn_plan *plan)
{
    double squares = 0;
    for (int k = 0; k < plan->layers; k++) {
        const sn_layer *l = &plan->layer[k];
        squares += sn_squared_norm(plan->type, l->D * l->M, l->dW);
        squares += sn_squared_norm(plan->type, l->M, l->db);
    }
    const double rate = plan->max_grad / (sqrt(squares) + 1e-6);
    if (rate < 1)
        for (int k = 0; k < plan->layers; k++) {
            const sn_layer *l = &plan->layer[k];
            sn_scale(plan->type, l->D * l->M, l->dW, rate);
            sn_scale(plan->type, l->M, l->db, rate);
        }
}

static void update(const sn_plan *plan, double rate)
{
    const double numbers[4] = { rate, plan->numbers[0], plan->numbers[1], plan->numbers[2] };
    for (int k = 0; k < plan->parameters; k++)
        sn_update(plan->type, plan->optimizer, &plan->parameter[k], numbers);
}

void sn_plan_run(const sn_plan *plan, sn_size steps, const sn_label *order, const void *data, sn_data data_type,
                 sn_size row_bytes, const sn_label *labels, const double *rates, double *loss)
{
    for (sn_size step = 0; step < steps; step++, order += plan->batch) {
        gather(plan->type, plan->batch, plan->layer[0].D, data, data_type, row_bytes, order, plan->x);
        for (sn_size i = 0; i < plan->batch; i++)
            plan->t[i] = labels[order[i]];
        loss[step] = forward(plan);
        backward(plan);
        if (plan->max_grad >= 0)
            clip(plan);
        update(plan, rates[step]);
    }
}
