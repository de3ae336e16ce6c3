/* dispatch.c: from scratchnet.h's functions to the loops of the chosen instruction set and type. */

#include "table.h"

static const sn_isa_table *const isa = &sn_baseline;

const char *sn_isa(void)
{
    return isa->name;
}

sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit)
{
    for (sn_size i = 0; i < n; i++)
        if (t[i] < 0 || t[i] >= limit)
            return i;
    return -1;
}

#define CALL(kernel, ...) \
    (type == SN_FLOAT64 ? isa->f64->kernel(__VA_ARGS__) : isa->f32->kernel(__VA_ARGS__))

void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M,
                       const void *x, const void *W, const void *b, void *out)
{
    CALL(affine_forward, N, D, M, x, W, b, out);
}

void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M,
                        const void *dout, const void *x, const void *W, void *dx, void *dW, void *db)
{
    CALL(affine_backward, N, D, M, dout, x, W, dx, dW, db);
}

void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(sum_rows, N, D, x, out);
}

void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(repeat_rows, N, D, x, out);
}

void sn_take_rows(sn_type type, sn_size B, sn_size D, const void *x, const sn_label *index, void *out)
{
    CALL(take_rows, B, D, x, index, out);
}

void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(sigmoid_forward, n, x, out);
}

void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(sigmoid_backward, n, dout, y, dx);
}

void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(relu_forward, n, x, out);
}

void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(relu_backward, n, dout, y, dx);
}

void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y)
{
    CALL(softmax_forward, N, C, x, y);
}

void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx)
{
    CALL(softmax_backward, N, C, dout, y, dx);
}

double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t)
{
    return CALL(cross_entropy_forward, N, C, y, t);
}

double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C,
                                        const void *x, const sn_label *t, void *y)
{
    return CALL(softmax_cross_entropy_forward, N, C, x, t, y);
}

void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C,
                                       const void *y, const sn_label *t, double dout, void *dx)
{
    CALL(softmax_cross_entropy_backward, N, C, y, t, dout, dx);
}

double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, void *y)
{
    return CALL(sigmoid_cross_entropy_forward, n, x, t, y);
}

void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n,
                                       const void *y, const sn_label *t, double dout, void *dx)
{
    CALL(sigmoid_cross_entropy_backward, n, y, t, dout, dx);
}

void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr)
{
    CALL(sgd_update, n, p, g, lr);
}

void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
{
    CALL(momentum_update, n, p, g, v, lr, momentum);
}

void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
{
    CALL(nesterov_update, n, p, g, v, lr, momentum);
}

void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr)
{
    CALL(adagrad_update, n, p, g, h, lr);
}

void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate)
{
    CALL(rmsprop_update, n, p, g, h, lr, decay_rate);
}

void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v,
                    double lr, double beta1, double beta2)
{
    CALL(adam_update, n, p, g, m, v, lr, beta1, beta2);
}

double sn_squared_norm(sn_type type, sn_size n, const void *g)
{
    return CALL(squared_norm, n, g);
}

void sn_scale(sn_type type, sn_size n, void *x, double factor)
{
    CALL(scale, n, x, factor);
}
