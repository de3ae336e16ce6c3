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

/* to[n,b,a] = from[n,a,b]: the channels of images become the columns of rows, or back */
#define TRANSPOSE(TYPE) \
    for (sn_size i = 0; i < n; i++) \
        for (sn_size k = 0; k < b; k++) \
            for (sn_size j = 0; j < a; j++) \
                ((TYPE *)to)[(i * b + k) * a + j] = ((const TYPE *)from)[(i * a + j) * b + k];

static void transpose(sn_type type, sn_size n, sn_size a, sn_size b, const void *from, void *to)
{
    if (type == SN_FLOAT64)
        TRANSPOSE(double)
    else
        TRANSPOSE(float)
}

/* average[n] = momentum average + (1 - momentum) x */
#define MOVE(TYPE) \
    for (sn_size i = 0; i < n; i++) \
        ((TYPE *)average)[i] = (TYPE)momentum * ((TYPE *)average)[i] + (TYPE)(1 - momentum) * ((const TYPE *)x)[i];

static void move_average(sn_type type, sn_size n, const void *x, double momentum, void *average)
{
    if (type == SN_FLOAT64)
        MOVE(double)
    else
        MOVE(float)
}

static inline void *at(const sn_plan *plan, const void *array, sn_size i)
{
    return (char *)array + (size_t)i * (plan->type == SN_FLOAT64 ? sizeof(double) : sizeof(float));
}

/* ---- what each kind does; x is the output of the layer before, or the batch -------------------------------- */

static void convolution_forward(const sn_plan *plan, const sn_layer *l, const void *x)
{
    const sn_size inputs = l->C * l->H * l->W, K = l->C * l->P * l->Q, L = l->Y * l->X;
    for (sn_size i = 0; i < plan->batch; i += l->at_once) {
        const sn_size N = plan->batch - i < l->at_once ? plan->batch - i : l->at_once;
        sn_im2col(plan->type, N, l->C, l->H, l->W, l->P, l->Q, l->Y, l->X, at(plan, x, i * inputs), l->stride, l->pad,
                  l->cache[0]);
        sn_convolution_forward(plan->type, N, K, L, l->M, l->cache[0], l->weights, l->b, at(plan, l->out, i * l->M * L));
    }
}

static void convolution_backward(const sn_plan *plan, const sn_layer *l, const void *x, const void *dout, void *dx)
{
    const sn_size inputs = l->C * l->H * l->W, K = l->C * l->P * l->Q, L = l->Y * l->X;
    memset(l->dW, 0, (size_t)((char *)at(plan, l->dW, l->M * K) - (char *)l->dW));
    memset(l->db, 0, (size_t)((char *)at(plan, l->db, l->M) - (char *)l->db));
    for (sn_size i = 0; i < plan->batch; i += l->at_once) {
        const sn_size N = plan->batch - i < l->at_once ? plan->batch - i : l->at_once;
        sn_im2col(plan->type, N, l->C, l->H, l->W, l->P, l->Q, l->Y, l->X, at(plan, x, i * inputs), l->stride, l->pad,
                  l->cache[0]);
        sn_convolution_backward(plan->type, N, K, L, l->M, at(plan, dout, i * l->M * L), l->cache[0], l->weights,
                                l->cache[1], l->dW, l->db);
        if (dx)
            sn_col2im(plan->type, N, l->C, l->H, l->W, l->P, l->Q, l->Y, l->X, l->cache[1], l->stride, l->pad,
                      at(plan, dx, i * inputs));
    }
}

/* The columns are M channels of L pixels each, or all of a sample's numbers; cache: mean, var, std, xhat, and of
 * channels rows of what comes and of what goes. */
static void normalization_forward(const sn_plan *plan, const sn_layer *l, const void *x)
{
    const void *rows = l->L == 1 ? x : l->cache[4];
    void *out = l->L == 1 ? l->out : l->cache[5];
    if (l->L > 1)
        transpose(plan->type, plan->batch, l->M, l->L, x, l->cache[4]);
    sn_batch_normalization_forward(plan->type, plan->batch * l->L, l->M, rows, l->weights, l->b, 1e-6, l->cache[0],
                                   l->cache[1], l->cache[2], l->cache[3], out);
    if (l->L > 1)
        transpose(plan->type, plan->batch, l->L, l->M, out, l->out);
    move_average(plan->type, l->M, l->cache[0], l->number, l->running[0]);
    move_average(plan->type, l->M, l->cache[1], l->number, l->running[1]);
}

static void normalization_backward(const sn_plan *plan, const sn_layer *l, const void *dout, void *dx)
{
    if (l->L > 1)
        transpose(plan->type, plan->batch, l->M, l->L, dout, l->cache[4]);
    sn_batch_normalization_backward(plan->type, plan->batch * l->L, l->M, l->L == 1 ? dout : l->cache[4], l->cache[3],
                                    l->weights, l->cache[2], l->L == 1 ? dx : l->cache[5], l->dW, l->db);
    if (l->L > 1)
        transpose(plan->type, plan->batch, l->L, l->M, l->cache[5], dx);
}

static double loss_forward(const sn_plan *plan, const void *x)
{
    const sn_size N = plan->batch, C = plan->outputs;
    switch (plan->loss) {
    case SN_SOFTMAX_LOSS:
        if (!plan->w)
            return sn_softmax_cross_entropy_forward(plan->type, N, C, x, plan->t, plan->delta, plan->clip, plan->y);
        sn_softmax_forward(plan->type, N, C, x, plan->y);
        return sn_weighted_cross_entropy_forward(plan->type, N, C, plan->y, plan->t, plan->w, plan->delta, plan->clip);
    case SN_SIGMOID_LOSS:
        if (!plan->w)
            return sn_sigmoid_cross_entropy_forward(plan->type, N * C, x, plan->t, plan->delta, plan->clip, plan->y);
        sn_sigmoid_forward(plan->type, N * C, x, plan->y);
        return sn_weighted_binary_cross_entropy_forward(plan->type, N, C, plan->y, plan->t, plan->w, plan->delta,
                                                        plan->clip);
    default:
        if (!plan->w)
            return sn_squared_error_forward(plan->type, N, C, x, plan->y);
        return sn_weighted_squared_error_forward(plan->type, N, C, x, plan->y, plan->w);
    }
}

static double forward(const sn_plan *plan, const void *masks)
{
    const void *x = plan->x;
    for (int k = 0; k < plan->layers; k++) {
        const sn_layer *l = &plan->layer[k];
        const sn_size n = plan->batch * l->M;
        switch (l->kind) {
        case SN_AFFINE: sn_affine_forward(plan->type, plan->batch, l->D, l->M, x, l->weights, l->b, l->out); break;
        case SN_SIGMOID: sn_sigmoid_forward(plan->type, n, x, l->out); break;
        case SN_RELU: sn_relu_forward(plan->type, n, x, l->out); break;
        case SN_TANH: sn_tanh_forward(plan->type, n, x, l->out); break;
        case SN_DROPOUT: sn_multiply_by_mask(plan->type, n, x, at(plan, masks, plan->batch * l->D), l->out); break;
        case SN_CONVOLUTION: convolution_forward(plan, l, x); break;
        case SN_POOLING:
            sn_max_pool_forward(plan->type, plan->batch, l->C, l->H, l->W, l->Y, l->X, x, l->P, l->Q, l->stride,
                                l->out, l->cache[0]);
            break;
        case SN_NORMALIZATION: normalization_forward(plan, l, x); break;
        }
        x = l->out;
    }
    return loss_forward(plan, x);
}

static void loss_backward(const sn_plan *plan, void *dout)
{
    const sn_size N = plan->batch, C = plan->outputs;
    const void *scores = plan->layer[plan->layers - 1].out;
    const double factor = plan->gradient_factor;
    switch (plan->loss) {
    case SN_SOFTMAX_LOSS: sn_softmax_cross_entropy_backward(plan->type, N, C, plan->y, plan->t, factor, dout); break;
    case SN_SIGMOID_LOSS: sn_sigmoid_cross_entropy_backward(plan->type, N * C, plan->y, plan->t, factor, dout); break;
    case SN_SQUARED_LOSS: sn_squared_error_backward(plan->type, N, C, scores, plan->y, factor, dout);
    }
    if (plan->w)
        sn_weight_rows(plan->type, N, C, dout, plan->w);
}

static void backward(const sn_plan *plan, const void *masks)
{
    void *dout = plan->dout, *dx = plan->dx;
    loss_backward(plan, dout);
    for (int k = plan->layers - 1; k >= plan->first; k--) {
        const sn_layer *l = &plan->layer[k];
        const void *x = k ? plan->layer[k - 1].out : plan->x;
        const sn_size n = plan->batch * l->M;
        switch (l->kind) {
        case SN_SIGMOID: sn_sigmoid_backward(plan->type, n, dout, l->out, dout); continue;
        case SN_RELU: sn_relu_backward(plan->type, n, dout, l->out, dout); continue;
        case SN_TANH: sn_tanh_backward(plan->type, n, dout, l->out, dout); continue;
        case SN_DROPOUT: sn_multiply_by_mask(plan->type, n, dout, at(plan, masks, plan->batch * l->D), dout); continue;
        case SN_AFFINE:
            sn_affine_backward(plan->type, plan->batch, l->D, l->M, dout, x, l->weights, k > plan->first ? dx : NULL,
                               l->dW, l->db);
            break;
        case SN_CONVOLUTION: convolution_backward(plan, l, x, dout, k > plan->first ? dx : NULL); break;
        case SN_POOLING:
            sn_max_pool_backward(plan->type, plan->batch, l->C, l->H, l->W, l->Y, l->X, dout, l->cache[0], dx);
            break;
        case SN_NORMALIZATION: normalization_backward(plan, l, dout, dx);
        }
        void *freed = dout;
        dout = dx;
        dx = freed;
    }
}

/* What 0.5 sum of W^2 is multiplied by for this batch. */
static double decay_of_batch(const sn_plan *plan)
{
    if (!plan->is_decay_shared)
        return plan->decay;
    double share = plan->w ? 0 : (double)plan->batch;
    if (plan->w)
        for (sn_size i = 0; i < plan->batch; i++)
            share += plan->type == SN_FLOAT64 ? ((const double *)plan->w)[i] : (double)((const float *)plan->w)[i];
    return share != 0 ? plan->decay / share : 0;
}

static double penalty(const sn_plan *plan, double decay)
{
    double squares = 0;
    for (int k = 0; k < plan->gradients; k++)
        if (plan->gradient[k].decayed)
            squares += sn_squared_norm(plan->type, plan->gradient[k].n, plan->gradient[k].decayed);
    return 0.5 * decay * squares;
}

static void add_decay(const sn_plan *plan, double decay)
{
    for (int k = 0; k < plan->gradients; k++)
        if (plan->gradient[k].decayed)
            sn_sgd_update(plan->type, plan->gradient[k].n, plan->gradient[k].g, plan->gradient[k].decayed, -decay);
}

/* Book 2, ch. 6.1.4, array by array as util.clip_grads does. */
static void clip(const sn_plan *plan)
{
    double squares = 0;
    for (int k = 0; k < plan->gradients; k++)
        squares += sn_squared_norm(plan->type, plan->gradient[k].n, plan->gradient[k].g);
    const double rate = plan->max_grad / (sqrt(squares) + 1e-6);
    if (rate < 1)
        for (int k = 0; k < plan->gradients; k++)
            sn_scale(plan->type, plan->gradient[k].n, plan->gradient[k].g, rate);
}

static void update(const sn_plan *plan, double rate)
{
    const double numbers[4] = { rate, plan->numbers[0], plan->numbers[1], plan->numbers[2] };
    for (int k = 0; k < plan->parameters; k++)
        sn_update(plan->type, plan->optimizer, &plan->parameter[k], numbers);
}

static void gather_rows(const sn_plan *plan, const sn_rows *from, sn_size D, const sn_label *order, void *out)
{
    gather(plan->type, plan->batch, D, from->data, from->type, from->row_bytes, order, out);
}

static void gather_batch(const sn_plan *plan, const sn_samples *samples, const sn_label *order)
{
    gather_rows(plan, &samples->x, plan->inputs, order, plan->x);
    if (plan->w) {
        const sn_rows weights = { samples->w, SN_DATA_F64, sizeof(double) };
        gather_rows(plan, &weights, 1, order, plan->w);
    }
    if (plan->loss == SN_SQUARED_LOSS) {
        gather_rows(plan, &samples->targets, plan->outputs, order, plan->y);
        return;
    }
    const sn_size each = plan->loss == SN_SIGMOID_LOSS ? plan->outputs : 1;
    for (sn_size i = 0; i < plan->batch; i++)
        for (sn_size j = 0; j < each; j++)
            plan->t[i * each + j] = samples->t[order[i] * each + j];
}

double sn_plan_gradients(const sn_plan *full, sn_size B, const sn_label *order, const sn_samples *samples,
                         const void *masks)
{
    sn_plan plan = *full;
    plan.batch = B;
    gather_batch(&plan, samples, order);
    double loss = plan.loss_factor * forward(&plan, masks);
    const double decay = plan.decay != 0 ? decay_of_batch(&plan) : 0;
    if (decay != 0)
        loss += penalty(&plan, decay);
    backward(&plan, masks);
    if (decay != 0)
        add_decay(&plan, decay);
    return loss;
}

void sn_plan_run(const sn_plan *plan, sn_size steps, sn_size epoch, sn_size left, const sn_label *order,
                 const sn_samples *samples, const void *masks, const double *rates, double *loss)
{
    for (sn_size step = 0; step < steps; step++) {
        const sn_size B = left < plan->batch ? left : plan->batch;
        loss[step] = sn_plan_gradients(plan, B, order, samples, masks);
        if (plan->max_grad >= 0)
            clip(plan);
        update(plan, rates[step]);
        order += B;
        masks = at(plan, masks, B * plan->masks);
        left = left == B ? epoch : left - B;
    }
}
