# Declarations of csrc/scratchnet.h, in its order, and nothing else.

from libc.stdint cimport int64_t

cdef extern from "scratchnet.h" nogil:
    ctypedef enum sn_type:
        SN_FLOAT32
        SN_FLOAT64
    ctypedef Py_ssize_t sn_size
    ctypedef int64_t sn_label

    const char *sn_isa()
    const char *sn_isa_available(int i)
    bint sn_use_isa(const char *name)
    sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit)

    void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M,
                           const void *x, const void *W, const void *b, void *out)
    void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M,
                            const void *dout, const void *x, const void *W, void *dx, void *dW, void *db)
    void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
    void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
    void sn_take_rows(sn_type type, sn_size B, sn_size D, const void *x, const sn_label *index, void *out)

    void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out)
    void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
    void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out)
    void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
    void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y)
    void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx)

    double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t)
    double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C,
                                            const void *x, const sn_label *t, void *y)
    void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C,
                                           const void *y, const sn_label *t, double dout, void *dx)
    double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, void *y)
    void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n,
                                           const void *y, const sn_label *t, double dout, void *dx)

    void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr)
    void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
    void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
    void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr)
    void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate)
    void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v,
                        double lr, double beta1, double beta2)
    double sn_squared_norm(sn_type type, sn_size n, const void *g)
    void sn_scale(sn_type type, sn_size n, void *x, double factor)
