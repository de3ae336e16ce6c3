# written by tools/generate_bindings.py from backends/contract.py: change that, not this.

from libc.stdint cimport int64_t

cdef extern from "scratchnet.h" nogil:
    ctypedef enum sn_type:
        SN_FLOAT32
        SN_FLOAT64
    ctypedef Py_ssize_t sn_size
    ctypedef int64_t sn_label
    ctypedef unsigned char sn_bool

    void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W,
                           const void *b, void *out)
    void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *x,
                            const void *W, void *dx, void *dW, void *db)
    void sn_matmul_accumulate(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W,
                              void *out)
    void sn_matmul_transposed(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *W,
                              void *dx)
    void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
    void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
    void sn_gather_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *x, const sn_label *index,
                        void *out)
    void sn_scatter_add_rows(sn_type type, sn_size N, sn_size B, sn_size D, const void *dout,
                             const sn_label *index, void *out)
    void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out)
    void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
    void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out)
    void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
    void sn_relu_forward_with_mask(sn_type type, sn_size n, const void *x, void *out, sn_bool *mask)
    void sn_relu_backward_by_mask(sn_type type, sn_size n, const void *dout, const sn_bool *mask, void *dx)
    void sn_tanh_forward(sn_type type, sn_size n, const void *x, void *out)
    void sn_tanh_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
    void sn_multiply_by_mask(sn_type type, sn_size n, const void *x, const void *mask, void *out)
    void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y)
    void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx)
    double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                    double delta, double clip)
    double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *x, const sn_label *t,
                                            double delta, double clip, void *y)
    void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                           double dout, void *dx)
    double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t,
                                            double delta, double clip, void *y)
    void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n, const void *y, const sn_label *t, double dout,
                                           void *dx)
    double sn_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t)
    void sn_squared_error_backward(sn_type type, sn_size N, sn_size C, const void *y, const void *t, double dout,
                                   void *dx)
    double sn_weighted_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t,
                                             const void *w, double delta, double clip)
    double sn_weighted_binary_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y,
                                                    const sn_label *t, const void *w, double delta, double clip)
    double sn_weighted_squared_error_forward(sn_type type, sn_size N, sn_size C, const void *y, const void *t,
                                             const void *w)
    void sn_weight_rows(sn_type type, sn_size N, sn_size C, void *dx, const void *w)
    void sn_im2col(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
                   sn_size X, const void *x, sn_size stride, sn_size pad, void *col)
    void sn_col2im(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y,
                   sn_size X, const void *col, sn_size stride, sn_size pad, void *dx)
    void sn_convolution_forward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *col,
                                const void *W, const void *b, void *out)
    void sn_convolution_backward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *dout,
                                 const void *col, const void *W, void *dcol, void *dW, void *db)
    void sn_max_pool_forward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                             const void *x, sn_size P, sn_size Q, sn_size stride, void *out, sn_label *argmax)
    void sn_max_pool_backward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                              const void *dout, const sn_label *argmax, void *dx)
    void sn_batch_normalization_forward(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                        const void *beta, double eps, void *mean, void *var, void *std, void *xhat,
                                        void *out)
    void sn_batch_normalization_inference(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                          const void *beta, const void *mean, const void *var, double eps,
                                          void *out)
    void sn_batch_normalization_backward(sn_type type, sn_size N, sn_size D, const void *dout, const void *xhat,
                                         const void *gamma, const void *std, void *dx, void *dgamma, void *dbeta)
    void sn_lstm_forward(sn_type type, sn_size N, sn_size D, const void *c_prev, const void *A, void *gates,
                         void *c, void *h)
    void sn_lstm_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *dc, const void *c_prev,
                          const void *c, const void *gates, void *dA, void *dc_prev)
    void sn_gru_gates_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *A, void *gates,
                              void *rh)
    void sn_gru_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *gates, const void *A,
                        void *h_hat, void *h)
    void sn_gru_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *gates, const void *h_hat,
                         void *dA)
    void sn_gru_gates_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *drh,
                               const void *h_prev, const void *gates, const void *h_hat, void *dA, void *dh_prev)
    void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr)
    void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
    void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
    void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr)
    void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate)
    void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v, double lr, double beta1,
                        double beta2, double epsilon)
    double sn_squared_norm(sn_type type, sn_size n, const void *g)
    void sn_scale(sn_type type, sn_size n, void *x, double factor)

    ctypedef enum sn_optimizer:
        SN_SGD
        SN_MOMENTUM
        SN_NESTEROV
        SN_ADAGRAD
        SN_RMSPROP
        SN_ADAM
