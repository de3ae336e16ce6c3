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

    ctypedef enum sn_activation:
        SN_NO_ACTIVATION
        SN_SIGMOID
        SN_RELU
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
        sn_size D, M
        sn_activation activation
        const void *W
        const void *b
        void *dW
        void *db
        void *out
    ctypedef struct sn_parameter:
        sn_size n
        void *p
        void *g
        void *state[2]

    void sn_update(sn_type type, sn_optimizer optimizer, const sn_parameter *parameter, const double *numbers)

    ctypedef struct sn_plan:
        sn_type type
        sn_size batch
        int layers, parameters
        sn_layer *layer
        sn_parameter *parameter
        sn_optimizer optimizer
        double numbers[3]
        double max_grad
        void *x
        sn_label *t
        void *y
        void *dout
        void *dx

    void sn_plan_run(const sn_plan *plan, sn_size steps, const sn_label *order, const void *data,
                     sn_data data_type, sn_size row_bytes, const sn_label *labels, const double *rates,
                     double *loss)
