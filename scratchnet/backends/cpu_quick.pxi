# Short cuts for the layers: allocate the output, check, and run the kernel in one call. They return None when
# an argument is not exactly what the kernel takes; the layer then goes the general way, which casts, copies
# or says what is wrong. A reader's own loop over a small net spends its time in these calls.

_OPTIMIZERS = {
    "sgd_update": SN_SGD, "momentum_update": SN_MOMENTUM, "nesterov_update": SN_NESTEROV,
    "adagrad_update": SN_ADAGRAD, "rmsprop_update": SN_RMSPROP, "adam_update": SN_ADAM,
}


cdef inline cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int type):
    return cnp.PyArray_EMPTY(ndim, shape, type, 0)


cdef inline bint is_plain(object a) noexcept:
    """A NumPy array, no subclass, of a compiled dtype."""
    return cnp.PyArray_CheckExact(a) and (cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT32
                                          or cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT64)


cdef inline sn_type real_type(cnp.ndarray a) noexcept:
    return SN_FLOAT64 if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64 else SN_FLOAT32


cdef cnp.ndarray as_rows(cnp.ndarray a):
    """View an array [..., D] as [N, D]; where it is not contiguous, a copy."""
    cdef cnp.PyArray_Dims dims
    cdef cnp.npy_intp shape[2]
    cdef int ndim = cnp.PyArray_NDIM(a)
    if ndim == 2:
        return a
    shape[1] = cnp.PyArray_DIM(a, ndim - 1)
    shape[0] = 1
    for i in range(ndim - 1):
        shape[0] *= cnp.PyArray_DIM(a, i)
    dims.ptr, dims.len = shape, 2
    return cnp.PyArray_Newshape(a, &dims, cnp.NPY_CORDER)


def quick_affine_forward(x, W, b):
    """Return x W + b, for x of shape [...,D] with two axes or more, or None."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef cnp.ndarray out, rows, out_rows
    cdef int i, ndim
    if not (is_plain(x) and is_plain(W) and cnp.PyArray_NDIM(<cnp.ndarray>W) == 2):
        return None
    ndim = cnp.PyArray_NDIM(<cnp.ndarray>x)
    if (ndim < 2 or ndim > MOST_AXES
            or cnp.PyArray_DIM(<cnp.ndarray>x, ndim - 1) != cnp.PyArray_DIM(<cnp.ndarray>W, 0)):
        return None
    for i in range(ndim - 1):
        shape[i] = cnp.PyArray_DIM(<cnp.ndarray>x, i)
    shape[ndim - 1] = cnp.PyArray_DIM(<cnp.ndarray>W, 1)
    out = new_array(ndim, shape, cnp.PyArray_TYPE(<cnp.ndarray>W))
    rows, out_rows = as_rows(<cnp.ndarray>x), as_rows(out)
    if not bind(&_affine_forward, [<PyObject *>rows, <PyObject *>W, <PyObject *>b, <PyObject *>out_rows], &c):
        return None
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M])
    sn_affine_forward(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)
    return out


def quick_affine_backward(dout, x, W, dW, db):
    """Return dx, with dW and db (or None) written, or None. dout and x may have more axes, the same."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx, rows, dout_rows, dx_rows
    cdef int i, ndim
    if not (is_plain(dout) and is_plain(x) and is_plain(W)):
        return None
    ndim = cnp.PyArray_NDIM(<cnp.ndarray>x)
    if ndim < 2 or cnp.PyArray_NDIM(<cnp.ndarray>dout) != ndim:
        return None
    for i in range(ndim - 1):
        if cnp.PyArray_DIM(<cnp.ndarray>x, i) != cnp.PyArray_DIM(<cnp.ndarray>dout, i):
            return None
    dx = new_array(ndim, cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.PyArray_TYPE(<cnp.ndarray>W))
    rows, dout_rows, dx_rows = as_rows(<cnp.ndarray>x), as_rows(<cnp.ndarray>dout), as_rows(dx)
    if not bind(&_affine_backward, [<PyObject *>dout_rows, <PyObject *>rows, <PyObject *>W,
                                    <PyObject *>dx_rows, <PyObject *>dW, <PyObject *>db], &c):
        return None
    state = release(c.written + 2.0 * c.size[N] * c.size[D] * c.size[M])
    sn_affine_backward(c.type, c.size[N], c.size[D], c.size[M],
                       c.data[0], c.data[1], c.data[2], c.data[3], c.data[4], c.data[5])
    restore(state)
    return dx


def quick_matmul_accumulate(x, W, out):
    """Add x W to out and return True; or change nothing and return False."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_matmul_accumulate, [<PyObject *>x, <PyObject *>W, <PyObject *>out], &c):
        return False
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M])
    sn_matmul_accumulate(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2])
    restore(state)
    return True


def quick_gather_rows(x, index):
    """Return x[index], or None. x has shape [N,D]; index is int64, of any shape, with all entries in [0, N)."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray out
    if not (is_plain(x) and cnp.PyArray_CheckExact(index) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2):
        return None
    if cnp.PyArray_NDIM(<cnp.ndarray>index) != 1:
        if cnp.PyArray_NDIM(<cnp.ndarray>index) == 0:
            return None
        out = quick_gather_rows(x, index.reshape(-1))
        return None if out is None else out.reshape((*index.shape, x.shape[1]))
    shape[0], shape[1] = cnp.PyArray_DIM(<cnp.ndarray>index, 0), cnp.PyArray_DIM(<cnp.ndarray>x, 1)
    out = new_array(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>x))
    if not bind(&_gather_rows, [<PyObject *>x, <PyObject *>index, <PyObject *>out], &c):
        return None
    state = release(<double>c.size[B] * c.size[D])
    sn_gather_rows(c.type, c.size[B], c.size[D], c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)
    return out


def quick_scatter_add_rows(dout, index, out):
    """Write the sum of the rows of dout that each index got into out and return True; or change nothing, False.

    dout has index's shape and one axis more; index is int64 with all entries in [0, N), out has shape [N,D].
    """
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray rows, indices
    cdef int i, ndim
    if not (is_plain(dout) and cnp.PyArray_CheckExact(index)):
        return False
    ndim = cnp.PyArray_NDIM(<cnp.ndarray>index)
    if ndim < 1 or cnp.PyArray_NDIM(<cnp.ndarray>dout) != ndim + 1:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(<cnp.ndarray>dout, i) != cnp.PyArray_DIM(<cnp.ndarray>index, i):
            return False
    rows, indices = as_rows(<cnp.ndarray>dout), cnp.PyArray_Ravel(<cnp.ndarray>index, cnp.NPY_CORDER)
    if not bind(&_scatter_add_rows, [<PyObject *>rows, <PyObject *>indices, <PyObject *>out], &c):
        return False
    state = release(<double>c.size[B] * c.size[D] + c.size[N] * c.size[D])
    sn_scatter_add_rows(c.type, c.size[B], c.size[N], c.size[D], c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)
    return True


ctypedef void (*forward_kernel)(sn_type, sn_size, const void *, void *) noexcept nogil
ctypedef void (*backward_kernel)(sn_type, sn_size, const void *, const void *, void *) noexcept nogil


cdef object elementwise_forward(forward_kernel kernel, const Contract *contract, object x):
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray out
    if not is_plain(x):
        return None
    out = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x),
                    cnp.PyArray_TYPE(<cnp.ndarray>x))
    if not bind(contract, [<PyObject *>x, <PyObject *>out], &c):
        return None
    state = release(c.size[n])
    kernel(c.type, c.size[n], c.data[0], c.data[1])
    restore(state)
    return out


cdef object elementwise_backward(backward_kernel kernel, const Contract *contract, object dout, object y):
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    if not is_plain(y):
        return None
    dx = new_array(cnp.PyArray_NDIM(<cnp.ndarray>y), cnp.PyArray_DIMS(<cnp.ndarray>y),
                   cnp.PyArray_TYPE(<cnp.ndarray>y))
    if not bind(contract, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return None
    state = release(c.size[n])
    kernel(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)
    return dx


def quick_sigmoid_forward(x):
    """Return the sigmoid of x, or None."""
    return elementwise_forward(sn_sigmoid_forward, &_sigmoid_forward, x)


def quick_sigmoid_backward(dout, y):
    """Return dout (1 - y) y, or None."""
    return elementwise_backward(sn_sigmoid_backward, &_sigmoid_backward, dout, y)


def quick_tanh_backward(dout, y):
    """Return dout (1 - y^2), or None."""
    return elementwise_backward(sn_tanh_backward, &_tanh_backward, dout, y)


cdef inline bint is_mask(object a) noexcept:
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_BOOL
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>a))


def quick_relu_forward(x):
    """Return relu of x and where x <= 0, or None."""
    cdef PyThreadState *state
    cdef cnp.ndarray out, mask
    cdef Py_ssize_t count
    if not (is_plain(x) and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x)):
        return None
    count = cnp.PyArray_SIZE(<cnp.ndarray>x)
    out = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x),
                    cnp.PyArray_TYPE(<cnp.ndarray>x))
    mask = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.NPY_BOOL)
    state = release(count)
    sn_relu_forward_with_mask(real_type(<cnp.ndarray>x), count, cnp.PyArray_DATA(<cnp.ndarray>x),
                              cnp.PyArray_DATA(out), <sn_bool *>cnp.PyArray_DATA(mask))
    restore(state)
    return out, mask


def quick_relu_backward(dout, mask):
    """Return dout where the mask is False, else 0, or None."""
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    cdef Py_ssize_t count
    if not (is_plain(dout) and is_mask(mask) and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>dout)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>dout, <cnp.ndarray>mask)):
        return None
    count = cnp.PyArray_SIZE(<cnp.ndarray>dout)
    dx = new_array(cnp.PyArray_NDIM(<cnp.ndarray>dout), cnp.PyArray_DIMS(<cnp.ndarray>dout),
                   cnp.PyArray_TYPE(<cnp.ndarray>dout))
    state = release(count)
    sn_relu_backward_by_mask(real_type(<cnp.ndarray>dout), count, cnp.PyArray_DATA(<cnp.ndarray>dout),
                             <const sn_bool *>cnp.PyArray_DATA(<cnp.ndarray>mask), cnp.PyArray_DATA(dx))
    restore(state)
    return dx


cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype dtype, object base)

cdef cnp.dtype _DOUBLE = np.dtype(np.float64)


def quick_softmax_cross_entropy_forward(x, t):
    """Return the loss, the probabilities and the labels as class indices, or None.

    x has shape [N,C]; t is int64 [N], or one-hot of x's shape with C > 1.
    """
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray y, labels
    cdef double loss
    if not (is_plain(x) and cnp.PyArray_CheckExact(t) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2):
        return None
    labels = <cnp.ndarray>t
    if (cnp.PyArray_NDIM(labels) == 2 and cnp.PyArray_SAMESHAPE(labels, <cnp.ndarray>x)
            and cnp.PyArray_DIM(labels, 1) > 1 and cnp.PyArray_TYPE(labels) <= cnp.NPY_DOUBLE):
        labels = labels.argmax(1)
    y = new_array(2, cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.PyArray_TYPE(<cnp.ndarray>x))
    if not bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>labels, <PyObject *>y], &c):
        return None
    state = release(<double>c.size[N] * c.size[C])
    loss = sn_softmax_cross_entropy_forward(c.type, c.size[N], c.size[C],
                                            c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)
    return PyArray_Scalar(&loss, _DOUBLE, None), y, labels  # np.float64


def quick_softmax_cross_entropy_backward(y, t, dout):
    """Return (y - onehot(t)) dout / N, or None."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    cdef double number
    if not (is_plain(y) and cnp.PyArray_NDIM(<cnp.ndarray>y) == 2):
        return None
    dx = new_array(2, cnp.PyArray_DIMS(<cnp.ndarray>y), cnp.PyArray_TYPE(<cnp.ndarray>y))
    if not (bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c)
            and real(dout, &number)):
        return None
    state = release(<double>c.size[N] * c.size[C])
    sn_softmax_cross_entropy_backward(c.type, c.size[N], c.size[C],
                                      c.data[0], <const sn_label *>c.data[1], number, c.data[2])
    restore(state)
    return dx


cdef int fill_numbers(double *values, numbers) except -1:
    """Fill in the numbers of an optimizer's kernel, at most three; the others are 0."""
    cdef int i = 0
    values[0] = values[1] = values[2] = 0
    for number in numbers:
        if i == 3:
            raise ValueError("an optimizer's kernel takes at most three numbers")
        values[i] = number
        i += 1
    return 0


def quick_update(str kernel, params, grads, list states, numbers):
    """Update all parameters by one optimizer's kernel and return True; or change nothing and return False.

    `states` holds the optimizer's lists of arrays, one entry a parameter.
    """
    cdef Call few[32]
    cdef Call *calls = few
    cdef cnp.ndarray many  # the calls, where there are more
    cdef PyObject *given[4]
    cdef sn_parameter parameter
    cdef double values[3]
    cdef PyThreadState *state
    cdef Py_ssize_t count, i, k, work = 0
    cdef const Contract *contract = &_sgd_update
    cdef sn_optimizer optimizer = _OPTIMIZERS[kernel]
    if optimizer == SN_ADAM:
        contract = &_adam_update
    elif optimizer != SN_SGD:
        contract = &_momentum_update
    if len(states) != contract.count - 2:
        return False
    if type(params) is not list or type(grads) is not list:
        return False
    count = len(<list>params)
    if len(<list>grads) != count:
        return False
    for state_list in states:
        if type(state_list) is not list or len(<list>state_list) != count:
            return False
    # Copies of the lists hold the arrays, which another thread may take out of them while C works.
    params, grads, states = list(params), list(grads), [list(state_list) for state_list in states]
    if len(<list>params) != count or len(<list>grads) != count:
        return False
    for state_list in states:
        if len(<list>state_list) != count:
            return False
    if count > 32:
        many = np.empty(count * sizeof(Call), np.uint8)
        calls = <Call *>cnp.PyArray_DATA(many)
    for i in range(count):
        given[0], given[1] = <PyObject *>(<list>params)[i], <PyObject *>(<list>grads)[i]
        for k in range(len(states)):
            given[2 + k] = <PyObject *>(<list>states[k])[i]
        if not bind(contract, given, &calls[i]):
            return False
        work += calls[i].size[n]
    fill_numbers(values, numbers)
    state = release(work)
    for i in range(count):
        parameter.n = calls[i].size[n]
        parameter.p, parameter.g = calls[i].data[0], calls[i].data[1]
        parameter.state[0], parameter.state[1] = calls[i].data[2], calls[i].data[3]
        sn_update(calls[i].type, optimizer, &parameter, values)
    restore(state)
    return True
