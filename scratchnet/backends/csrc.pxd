# Declarations of csrc/scratchnet.h, in its order, and nothing else; those of csrc/kernels.h are in kernels.pxd.

from libc.stdint cimport int64_t, uint32_t

from .kernels cimport sn_label, sn_optimizer, sn_size, sn_type

cdef extern from "scratchnet.h" nogil:
    const char *sn_isa()
    const char *sn_isa_available(int i)
    bint sn_use_isa(const char *name)
    int sn_threads()
    void sn_set_threads(int n)
    sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit)

    void sn_shuffle(uint32_t (*next)(void *state) noexcept nogil, void *state, sn_size n, sn_label *order)

    ctypedef enum sn_kind:
        SN_AFFINE
        SN_SIGMOID
        SN_RELU
        SN_TANH
        SN_DROPOUT
        SN_CONVOLUTION
        SN_POOLING
        SN_NORMALIZATION
    ctypedef enum sn_loss:
        SN_SOFTMAX_LOSS
        SN_SIGMOID_LOSS
        SN_SQUARED_LOSS
    ctypedef enum sn_data:
        SN_DATA_BOOL
        SN_DATA_U8
        SN_DATA_I8
        SN_DATA_I16
        SN_DATA_I32
        SN_DATA_I64
        SN_DATA_F32
        SN_DATA_F64
    ctypedef struct sn_layer:
        sn_kind kind
        sn_size D, M, C, H, W, P, Q, Y, X, stride, pad, L, at_once
        const void *weights
        const void *b
        void *dW
        void *db
        void *running[2]
        double number
        void *cache[6]
        void *out
    ctypedef struct sn_gradient:
        sn_size n
        void *g
        const void *decayed
    ctypedef struct sn_parameter:
        sn_size n
        void *p
        void *g
        void *state[2]

    void sn_update(sn_type type, sn_optimizer optimizer, const sn_parameter *parameter, const double *numbers)

    ctypedef struct sn_plan:
        sn_type type
        sn_size batch, inputs, outputs
        int layers, first, parameters, gradients
        sn_layer *layer
        sn_parameter *parameter
        sn_gradient *gradient
        sn_optimizer optimizer
        sn_loss loss
        double delta, clip, loss_factor, gradient_factor
        double numbers[3]
        double max_grad
        double decay
        bint is_decay_shared
        sn_size masks
        void *x
        sn_label *t
        void *y
        void *w
        void *dout
        void *dx

    ctypedef struct sn_rows:
        const void *data
        sn_data type
        sn_size row_bytes

    ctypedef struct sn_samples:
        sn_rows x
        const sn_label *t
        sn_rows targets
        const double *w

    double sn_plan_gradients(const sn_plan *plan, sn_size B, const sn_label *order, const sn_samples *samples,
                             const void *masks)
    void sn_plan_run(const sn_plan *plan, sn_size steps, sn_size epoch, sn_size left, const sn_label *order,
                     const sn_samples *samples, const void *masks, const double *rates, double *loss)
