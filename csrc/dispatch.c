/* dispatch.c: written by tools/generate_bindings.py from backends/contract.py: change that, not this. */

#include "processor.h"

#define CALL(kernel, ...) \
    (type == SN_FLOAT64 ? isa->f64->kernel(__VA_ARGS__) : isa->f32->kernel(__VA_ARGS__))

void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, const void *b,
                       void *out)
{
    CALL(affine_forward, N, D, M, x, W, b, out);
}

void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *x,
                        const void *W, void *dx, void *dW, void *db)
{
    CALL(affine_backward, N, D, M, dout, x, W, dx, dW, db);
}

void sn_matmul_accumulate(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, void *out)
{
    CALL(matmul_accumulate, N, D, M, x, W, out);
}

void sn_matmul_transposed(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *W, void *dx)
{
    CALL(matmul_transposed, N, D, M, dout, W, dx);
}

void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(sum_rows, N, D, x, out);
}

void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(repeat_rows, N, D, x, out);
}

void sn_gather_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *x, const sn_label *index, void *out)
{
    CALL(gather_rows, N, B, D, x, index, out);
}

void sn_scatter_add_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *dout, const sn_label *index,
                         void *out)
{
    CALL(scatter_add_rows, N, B, D, dout, index, out);
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

void sn_relu_forward_with_mask(sn_type type, sn_size n, const void *x, void *out, sn_bool *mask)
{
    CALL(relu_forward_with_mask, n, x, out, mask);
}

void sn_relu_backward_by_mask(sn_type type, sn_size n, const void *dout, const sn_bool *mask, void *dx)
{
    CALL(relu_backward_by_mask, n, dout, mask, dx);
}

void sn_tanh_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(tanh_forward, n, x, out);
}

void sn_tanh_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(tanh_backward, n, dout, y, dx);
}

void sn_multiply_by_mask(sn_type type, sn_size n, const void *x, const void *mask, void *out)
{
    CALL(multiply_by_mask, n, x, mask, out);
}

void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y)
{
    CALL(softmax_forward, N, C, x, y);
}

void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx)
{
    CALL(softmax_backward, N, C, dout, y, dx);
}

double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t, double delta,
                                double clip)
{
    return CALL(cross_entropy_forward, N, C, y, t, delta, clip);
}

double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *x, const sn_label *t,
                                        double delta, double clip, void *y)
{
    return CALL(softmax_cross_entropy_forward, N, C, x, t, delta, clip, y);
}

void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                       double dout, void *dx)
{
    CALL(softmax_cross_entropy_backward, N, C, y, t, dout, dx);
}

double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, double delta,
                                        double clip, void *y)
{
    return CALL(sigmoid_cross_entropy_forward, n, x, t, delta, clip, y);
}

void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n, const void *y, const sn_label *t, double dout,
                                       void *dx)
{
    CALL(sigmoid_cross_entropy_backward, n, y, t, dout, dx);
}

double sn_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t)
{
    return CALL(squared_error_forward, N, C, y, t);
}

void sn_squared_error_backward(sn_type type, sn_size N, sn_size C, const void *y, const void *t, double dout,
                               void *dx)
{
    CALL(squared_error_backward, N, C, y, t, dout, dx);
}

double sn_weighted_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                         const void *w, double delta, double clip)
{
    return CALL(weighted_cross_entropy_forward, N, C, y, t, w, delta, clip);
}

double sn_weighted_binary_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y,
                                                const sn_label *t, const void *w, double delta, double clip)
{
    return CALL(weighted_binary_cross_entropy_forward, N, C, y, t, w, delta, clip);
}

double sn_weighted_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t,
                                         const void *w)
{
    return CALL(weighted_squared_error_forward, N, C, y, t, w);
}

void sn_weight_rows(sn_type type, sn_size N, sn_size C, void *dx, const void *w)
{
    CALL(weight_rows, N, C, dx, w);
}

void sn_im2col(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
               sn_size X, const void *x, sn_size stride, sn_size pad, void *col)
{
    CALL(im2col, N, C, H, W, P, Q, Y, X, x, stride, pad, col);
}

void sn_col2im(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
               sn_size X, const void *col, sn_size stride, sn_size pad, void *dx)
{
    CALL(col2im, N, C, H, W, P, Q, Y, X, col, stride, pad, dx);
}

void sn_convolution_forward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *col,
                            const void *W, const void *b, void *out)
{
    CALL(convolution_forward, N, K, L, M, col, W, b, out);
}

void sn_convolution_backward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *dout,
                             const void *col, const void *W, void *dcol, void *dW, void *db)
{
    CALL(convolution_backward, N, K, L, M, dout, col, W, dcol, dW, db);
}

void sn_max_pool_forward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                         const void *x, sn_size P, sn_size Q, sn_size stride, void *out, sn_label *argmax)
{
    CALL(max_pool_forward, N, C, H, W, Y, X, x, P, Q, stride, out, argmax);
}

void sn_max_pool_backward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                          const void *dout, const sn_label *argmax, void *dx)
{
    CALL(max_pool_backward, N, C, H, W, Y, X, dout, argmax, dx);
}

void sn_batch_normalization_forward(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                    const void *beta, double eps, void *mean, void *var, void *std, void *xhat,
                                    void *out)
{
    CALL(batch_normalization_forward, N, D, x, gamma, beta, eps, mean, var, std, xhat, out);
}

void sn_batch_normalization_inference(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                      const void *beta, const void *mean, const void *var, double eps, void *out)
{
    CALL(batch_normalization_inference, N, D, x, gamma, beta, mean, var, eps, out);
}

void sn_batch_normalization_backward(sn_type type, sn_size N, sn_size D, const void *dout, const void *xhat,
                                     const void *gamma, const void *std, void *dx, void *dgamma, void *dbeta)
{
    CALL(batch_normalization_backward, N, D, dout, xhat, gamma, std, dx, dgamma, dbeta);
}

void sn_lstm_forward(sn_type type, sn_size N, sn_size D, const void *c_prev, const void *A, void *gates, void *c,
                     void *h)
{
    CALL(lstm_forward, N, D, c_prev, A, gates, c, h);
}

void sn_lstm_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *dc, const void *c_prev,
                      const void *c, const void *gates, void *dA, void *dc_prev)
{
    CALL(lstm_backward, N, D, dh, dc, c_prev, c, gates, dA, dc_prev);
}

void sn_gru_gates_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *A, void *gates,
                          void *rh)
{
    CALL(gru_gates_forward, N, D, h_prev, A, gates, rh);
}

void sn_gru_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *gates, const void *A,
                    void *h_hat, void *h)
{
    CALL(gru_forward, N, D, h_prev, gates, A, h_hat, h);
}

void sn_gru_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *gates, const void *h_hat,
                     void *dA)
{
    CALL(gru_backward, N, D, dh, gates, h_hat, dA);
}

void sn_gru_gates_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *drh, const void *h_prev,
                           const void *gates, const void *h_hat, void *dA, void *dh_prev)
{
    CALL(gru_gates_backward, N, D, dh, drh, h_prev, gates, h_hat, dA, dh_prev);
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

void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v, double lr, double beta1,
                    double beta2, double epsilon)
{
    CALL(adam_update, n, p, g, m, v, lr, beta1, beta2, epsilon);
}

double sn_squared_norm(sn_type type, sn_size n, const void *g)
{
    return CALL(squared_norm, n, g);
}

void sn_scale(sn_type type, sn_size n, void *x, double factor)
{
    CALL(scale, n, x, factor);
}
