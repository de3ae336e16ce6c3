# Operations: a kernel with its output. Each allocates what the kernel writes and takes the fast path where the
# arrays fit as they are; otherwise it takes the general path, in general.py, which casts, copies, chooses the
# backend or raises an error. A user's own loop over a small network spends its time in these calls.
# `owner` is the layer, or the name of the function, that error messages name.

cdef object _general = None


cdef object the_general_way(str operation):
    """A function of general.py, which is imported on first use."""
    global _general
    if _general is None:
        from . import general
        _general = general
    return getattr(_general, operation)


cdef bint float32_alone = False


def compute_in_float32(bint whether):
    """From now on, leave float64 to the general path, which casts it; or no longer."""
    global float32_alone
    float32_alone = whether


cdef inline cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int type):
    return cnp.PyArray_EMPTY(ndim, shape, type, 0)


cdef inline cnp.ndarray new_like(object a):
    """A new array of the shape and dtype of another."""
    return new_array(cnp.PyArray_NDIM(<cnp.ndarray>a), cnp.PyArray_DIMS(<cnp.ndarray>a),
                     cnp.PyArray_TYPE(<cnp.ndarray>a))


cdef inline bint is_exact_float_array(object a) noexcept:
    """Whether it is a NumPy array, not of a subclass, of float32 or float64."""
    return cnp.PyArray_CheckExact(a) and (cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT32
                                          or cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT64)


cdef inline sn_type type_of(object a) noexcept:
    return SN_FLOAT64 if cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT64 else SN_FLOAT32


cdef inline bint is_computed_in(object a) noexcept:
    """The same, for the dtypes in which computation takes place."""
    return is_exact_float_array(a) and not (float32_alone and cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT64)


cdef cnp.ndarray as_rows(cnp.ndarray a):
    """View an array [..., D] as [N, D]; copy it if it is not contiguous."""
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


cdef inline bint have_the_same_rows(object a, object b) noexcept:
    """Whether two arrays have the same number of axes, at least two, and agree in all but the last."""
    cdef int i, ndim = cnp.PyArray_NDIM(<cnp.ndarray>a)
    if ndim < 2 or cnp.PyArray_NDIM(<cnp.ndarray>b) != ndim:
        return False
    for i in range(ndim - 1):
        if cnp.PyArray_DIM(<cnp.ndarray>a, i) != cnp.PyArray_DIM(<cnp.ndarray>b, i):
            return False
    return True


# Products


def op_affine_forward(x, W, b, owner):
    """Return x W + b, of shape [...,M], for x of shape [...,D]; b may be None."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef cnp.ndarray out, rows, out_rows
    cdef int i, ndim
    if is_exact_float_array(x) and is_computed_in(W) and cnp.PyArray_NDIM(<cnp.ndarray>W) == 2:
        ndim = cnp.PyArray_NDIM(<cnp.ndarray>x)
        if (2 <= ndim <= MOST_AXES
                and cnp.PyArray_DIM(<cnp.ndarray>x, ndim - 1) == cnp.PyArray_DIM(<cnp.ndarray>W, 0)):
            for i in range(ndim - 1):
                shape[i] = cnp.PyArray_DIM(<cnp.ndarray>x, i)
            shape[ndim - 1] = cnp.PyArray_DIM(<cnp.ndarray>W, 1)
            out = new_array(ndim, shape, cnp.PyArray_TYPE(<cnp.ndarray>W))
            rows, out_rows = as_rows(<cnp.ndarray>x), as_rows(out)
            if bind(&_affine_forward, [<PyObject *>rows, <PyObject *>W, <PyObject *>b, <PyObject *>out_rows],
                    &call):
                state = release(<double>call.size[N] * call.size[D] * call.size[M])
                sn_affine_forward(call.type, call.size[N], call.size[D], call.size[M],
                                  call.data[0], call.data[1], call.data[2], call.data[3])
                restore(state)
                return out
    return the_general_way("affine_forward")(x, W, b, owner)


def op_affine_backward(dout, x, W, grads, owner):
    """Return dx of x's shape, with the gradients [dW] or [dW, db] written."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray dx, rows, dout_rows, dx_rows
    if (is_exact_float_array(dout) and is_exact_float_array(x) and is_computed_in(W)
            and type(grads) is list and 1 <= len(<list>grads) <= 2 and have_the_same_rows(x, dout)):
        dW, db = (<list>grads)[0], (<list>grads)[1] if len(<list>grads) > 1 else None
        dx = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x),
                       cnp.PyArray_TYPE(<cnp.ndarray>W))
        rows, dout_rows, dx_rows = as_rows(<cnp.ndarray>x), as_rows(<cnp.ndarray>dout), as_rows(dx)
        if bind(&_affine_backward, [<PyObject *>dout_rows, <PyObject *>rows, <PyObject *>W,
                                    <PyObject *>dx_rows, <PyObject *>dW, <PyObject *>db], &call):
            state = release(2.0 * call.size[N] * call.size[D] * call.size[M])
            sn_affine_backward(call.type, call.size[N], call.size[D], call.size[M],
                               call.data[0], call.data[1], call.data[2], call.data[3], call.data[4], call.data[5])
            restore(state)
            return dx
    return the_general_way("affine_backward")(dout, x, W, grads, owner)


def are_rows_like(x, W):
    """Whether x [N,D] is what a product with W takes as it is."""
    return (is_exact_float_array(x) and is_computed_in(W) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2
            and cnp.PyArray_TYPE(<cnp.ndarray>x) == cnp.PyArray_TYPE(<cnp.ndarray>W)
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x))


def op_rnn_forward(x, h_prev, Wx, Wh, b, owner):
    """Return the next state, tanh(x Wx + h_prev Wh + b), of x [N,D] and the state before, [N,H]; b may be None."""
    cdef Call by_input, by_state
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray h
    if (is_computed_in(Wx) and cnp.PyArray_NDIM(<cnp.ndarray>Wx) == 2
            and is_exact_float_array(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2):
        shape[0], shape[1] = cnp.PyArray_DIM(<cnp.ndarray>x, 0), cnp.PyArray_DIM(<cnp.ndarray>Wx, 1)
        h = new_array(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>Wx))
        if (bind(&_affine_forward, [<PyObject *>x, <PyObject *>Wx, <PyObject *>b, <PyObject *>h], &by_input)
                and bind(&_matmul_accumulate, [<PyObject *>h_prev, <PyObject *>Wh, <PyObject *>h], &by_state)
                and by_state.size[D] == by_state.size[M]):
            state = release(<double>shape[0] * shape[1] * (by_input.size[D] + by_state.size[D]))
            sn_affine_forward(by_input.type, by_input.size[N], by_input.size[D], by_input.size[M],
                              by_input.data[0], by_input.data[1], by_input.data[2], by_input.data[3])
            sn_matmul_accumulate(by_state.type, by_state.size[N], by_state.size[D], by_state.size[M],
                                 by_state.data[0], by_state.data[1], by_state.data[2])
            sn_tanh_forward(by_input.type, shape[0] * shape[1], by_input.data[3], by_input.data[3])
            restore(state)
            return h
    return the_general_way("rnn_forward")(x, h_prev, owner)


def op_rnn_backward(dh_next, cache, Wx, Wh, grads, owner):
    """Return dx and dh_prev, with the gradients [dWx, dWh] or [dWx, dWh, db] written; cache is (x, h_prev, h)."""
    cdef Call of_tanh, of_input, of_state
    cdef PyThreadState *state
    cdef cnp.ndarray dA, dx, dh_prev
    if type(cache) is tuple and len(<tuple>cache) == 3 and type(grads) is list and 2 <= len(<list>grads) <= 3:
        x, h_prev, h = <tuple>cache
        dWx, dWh, db = (<list>grads)[0], (<list>grads)[1], (<list>grads)[2] if len(<list>grads) == 3 else None
        if (is_computed_in(Wx) and is_exact_float_array(x) and is_exact_float_array(h_prev)
                and is_exact_float_array(h)):
            dA, dx, dh_prev = new_like(h), new_like(x), new_like(h_prev)
            if (bind(&_tanh_backward, [<PyObject *>dh_next, <PyObject *>h, <PyObject *>dA], &of_tanh)
                    and bind(&_affine_backward, [<PyObject *>dA, <PyObject *>x, <PyObject *>Wx,
                                                 <PyObject *>dx, <PyObject *>dWx, <PyObject *>db], &of_input)
                    and bind(&_affine_backward, [<PyObject *>dA, <PyObject *>h_prev, <PyObject *>Wh,
                                                 <PyObject *>dh_prev, <PyObject *>dWh, <PyObject *>None],
                             &of_state)):
                state = release(2.0 * of_tanh.size[n] * (of_input.size[D] + of_state.size[D]))
                sn_tanh_backward(of_tanh.type, of_tanh.size[n], of_tanh.data[0], of_tanh.data[1], of_tanh.data[2])
                sn_affine_backward(of_input.type, of_input.size[N], of_input.size[D], of_input.size[M],
                                   of_input.data[0], of_input.data[1], of_input.data[2], of_input.data[3],
                                   of_input.data[4], of_input.data[5])
                sn_affine_backward(of_state.type, of_state.size[N], of_state.size[D], of_state.size[M],
                                   of_state.data[0], of_state.data[1], of_state.data[2], of_state.data[3],
                                   of_state.data[4], NULL)
                restore(state)
                return dx, dh_prev
    return the_general_way("rnn_backward")(dh_next, owner)


def op_gather_rows(W, index, owner):
    """Return the rows of W [N,D] selected by index, of any shape; a view if it is a scalar."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef cnp.ndarray out, rows, indices
    cdef int i, ndim
    if is_computed_in(W) and cnp.PyArray_CheckExact(index) and cnp.PyArray_NDIM(<cnp.ndarray>W) == 2:
        ndim = cnp.PyArray_NDIM(<cnp.ndarray>index)
        if 1 <= ndim < MOST_AXES and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>index):
            for i in range(ndim):
                shape[i] = cnp.PyArray_DIM(<cnp.ndarray>index, i)
            shape[ndim] = cnp.PyArray_DIM(<cnp.ndarray>W, 1)
            out = new_array(ndim + 1, shape, cnp.PyArray_TYPE(<cnp.ndarray>W))
            rows, indices = as_rows(out), cnp.PyArray_Ravel(<cnp.ndarray>index, cnp.NPY_CORDER)
            if bind(&_gather_rows, [<PyObject *>W, <PyObject *>indices, <PyObject *>rows], &call):
                state = release(<double>call.size[B] * call.size[D])
                sn_gather_rows(call.type, call.size[N], call.size[B], call.size[D],
                               call.data[0], <sn_label *>call.data[1], call.data[2])
                restore(state)
                return out
    return the_general_way("gather_rows")(W, index, owner)


def op_scatter_add_rows(dout, index, W, grads, owner):
    """Write the gradient [dW] of gather_rows: for each row of W, the sum of its copies' rows of dout."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray rows, indices
    cdef int i, ndim
    if (is_exact_float_array(dout) and cnp.PyArray_CheckExact(index)
            and type(grads) is list and len(<list>grads) == 1):
        ndim = cnp.PyArray_NDIM(<cnp.ndarray>index)
        if (ndim >= 1 and cnp.PyArray_NDIM(<cnp.ndarray>dout) == ndim + 1
                and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>index)):
            for i in range(ndim):
                if cnp.PyArray_DIM(<cnp.ndarray>dout, i) != cnp.PyArray_DIM(<cnp.ndarray>index, i):
                    break
            else:
                dW = (<list>grads)[0]
                rows, indices = as_rows(<cnp.ndarray>dout), cnp.PyArray_Ravel(<cnp.ndarray>index, cnp.NPY_CORDER)
                if (is_exact_float_array(W) and cnp.PyArray_CheckExact(dW)
                        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>W, <cnp.ndarray>dW)
                        and bind(&_scatter_add_rows, [<PyObject *>rows, <PyObject *>indices, <PyObject *>dW],
                                 &call)):
                    state = release((<double>call.size[B] + call.size[N]) * call.size[D])
                    sn_scatter_add_rows(call.type, call.size[N], call.size[B], call.size[D],
                                        call.data[0], <sn_label *>call.data[1], call.data[2])
                    restore(state)
                    return
    the_general_way("scatter_add_rows")(dout, index, W, grads, owner)


# Activations

ctypedef void (*forward_kernel)(sn_type, sn_size, const void *, void *) noexcept nogil
ctypedef void (*backward_kernel)(sn_type, sn_size, const void *, const void *, void *) noexcept nogil


cdef inline object elementwise_forward(str name, forward_kernel kernel, const Contract *contract, object x,
                                       object owner):
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray out
    if is_computed_in(x):
        out = new_like(x)
        if bind(contract, [<PyObject *>x, <PyObject *>out], &call):
            state = release(call.size[n])
            kernel(call.type, call.size[n], call.data[0], call.data[1])
            restore(state)
            return out
    return the_general_way("elementwise_forward")(name, x, owner)


cdef inline object elementwise_backward(str name, backward_kernel kernel, const Contract *contract, object dout,
                                        object y, object owner):
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    if is_exact_float_array(y):
        dx = new_like(y)
        if bind(contract, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
            state = release(call.size[n])
            kernel(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
            restore(state)
            return dx
    return the_general_way("elementwise_backward")(name, dout, y, owner)


def op_sigmoid_forward(x, owner):
    """Return 1 / (1 + exp(-x))."""
    return elementwise_forward("sigmoid_forward", sn_sigmoid_forward, &_sigmoid_forward, x, owner)


def op_sigmoid_backward(dout, y, owner):
    """Return dout (1 - y) y."""
    return elementwise_backward("sigmoid_backward", sn_sigmoid_backward, &_sigmoid_backward, dout, y, owner)


def op_tanh_forward(x, owner):
    """Return tanh(x)."""
    return elementwise_forward("tanh_forward", sn_tanh_forward, &_tanh_forward, x, owner)


def op_tanh_backward(dout, y, owner):
    """Return dout (1 - y^2)."""
    return elementwise_backward("tanh_backward", sn_tanh_backward, &_tanh_backward, dout, y, owner)


def op_relu_forward(x, owner):
    """Return x where it is positive, else 0, and the mask: where x <= 0."""
    cdef PyThreadState *state
    cdef cnp.ndarray out, mask
    cdef Py_ssize_t count
    if is_computed_in(x) and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x):  # all that bind would check: outputs are new
        out = new_like(x)
        mask = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.NPY_BOOL)
        count = cnp.PyArray_SIZE(out)
        state = release(count)
        sn_relu_forward_with_mask(type_of(x), count, cnp.PyArray_DATA(<cnp.ndarray>x), cnp.PyArray_DATA(out),
                                  <sn_bool *>cnp.PyArray_DATA(mask))
        restore(state)
        return out, mask
    return the_general_way("relu_forward")(x, owner)


def op_relu_backward(dout, mask, owner):
    """Return dout where the mask is False, else 0."""
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    cdef Py_ssize_t count
    if (is_exact_float_array(dout) and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>dout) and cnp.PyArray_CheckExact(mask)
            and cnp.PyArray_TYPE(<cnp.ndarray>mask) == cnp.NPY_BOOL and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>mask)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>dout, <cnp.ndarray>mask)):
        dx = new_like(dout)
        count = cnp.PyArray_SIZE(dx)
        state = release(count)
        sn_relu_backward_by_mask(type_of(dout), count, cnp.PyArray_DATA(<cnp.ndarray>dout),
                                 <sn_bool *>cnp.PyArray_DATA(<cnp.ndarray>mask), cnp.PyArray_DATA(dx))
        restore(state)
        return dx
    return the_general_way("relu_backward")(dout, mask, owner)


def op_multiply_by_mask(x, mask, owner):
    """Return x mask, for a mask of bool or of factors."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray out
    if is_exact_float_array(x) and cnp.PyArray_CheckExact(mask):
        factors = mask
        if cnp.PyArray_TYPE(<cnp.ndarray>mask) == cnp.NPY_BOOL:
            factors = cnp.PyArray_Cast(<cnp.ndarray>mask, cnp.PyArray_TYPE(<cnp.ndarray>x))
        out = new_like(x)
        if bind(&_multiply_by_mask, [<PyObject *>x, <PyObject *>factors, <PyObject *>out], &call):
            state = release(call.size[n])
            sn_multiply_by_mask(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
            restore(state)
            return out
    return the_general_way("multiply_by_mask")(x, mask, owner)


def op_softmax_forward(x, owner):
    """Return the softmax of x [...,C] over its last axis."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray y, rows, y_rows
    if is_computed_in(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) >= 2:
        y = new_like(x)
        rows, y_rows = as_rows(<cnp.ndarray>x), as_rows(y)
        if bind(&_softmax_forward, [<PyObject *>rows, <PyObject *>y_rows], &call):
            state = release(<double>call.size[N] * call.size[C])
            sn_softmax_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
            restore(state)
            return y
    return the_general_way("softmax_forward")(x, owner)


def op_softmax_backward(dout, y, owner):
    """Return y (dout - sum of dout y over the last axis)."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray dx, rows, dout_rows, dx_rows
    if (is_exact_float_array(dout) and is_exact_float_array(y)
            and cnp.PyArray_NDIM(<cnp.ndarray>y) >= 2
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>dout, <cnp.ndarray>y)):
        dx = new_like(y)
        dout_rows, rows, dx_rows = as_rows(<cnp.ndarray>dout), as_rows(<cnp.ndarray>y), as_rows(dx)
        if bind(&_softmax_backward, [<PyObject *>dout_rows, <PyObject *>rows, <PyObject *>dx_rows], &call):
            state = release(<double>call.size[N] * call.size[C])
            sn_softmax_backward(call.type, call.size[N], call.size[C], call.data[0], call.data[1], call.data[2])
            restore(state)
            return dx
    return the_general_way("softmax_backward")(dout, y, owner)


# The loss

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype dtype, object base)

cdef cnp.dtype _DOUBLE = np.dtype(np.float64)


def op_softmax_cross_entropy_forward(x, t, delta, owner):
    """Return the loss, the probabilities and the labels as class indices: for x [...,C] and one label per row.

    Labels are class indices, or one-hot of x's shape. A float64 loss stays float64 even with float32 computation.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray y, labels
    cdef double loss, delta_
    if is_exact_float_array(x) and cnp.PyArray_CheckExact(t) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2:
        labels = <cnp.ndarray>t
        if (cnp.PyArray_NDIM(labels) == 2 and cnp.PyArray_SAMESHAPE(labels, <cnp.ndarray>x)
                and cnp.PyArray_DIM(labels, 1) > 1 and cnp.PyArray_TYPE(labels) <= cnp.NPY_DOUBLE):
            labels = labels.argmax(1)
        y = new_like(x)
        if (bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>labels, <PyObject *>y], &call)
                and real(delta, &delta_)):
            state = release(<double>call.size[N] * call.size[C])
            loss = sn_softmax_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                                    <sn_label *>call.data[1], delta_, 0, call.data[2])
            restore(state)
            return PyArray_Scalar(&loss, _DOUBLE, None), y, labels  # np.float64
    return the_general_way("softmax_cross_entropy_forward")(x, t, delta, owner)


def op_softmax_cross_entropy_backward(y, t, dout, owner):
    """Return (y - onehot(t)) dout / N."""
    cdef Call call
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    cdef double dout_
    if is_exact_float_array(y) and cnp.PyArray_NDIM(<cnp.ndarray>y) == 2:
        dx = new_like(y)
        if (bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
                and real(dout, &dout_)):
            state = release(<double>call.size[N] * call.size[C])
            sn_softmax_cross_entropy_backward(call.type, call.size[N], call.size[C], call.data[0],
                                              <sn_label *>call.data[1], dout_, call.data[2])
            restore(state)
            return dx
    return the_general_way("softmax_cross_entropy_backward")(y, t, dout, owner)


# Updates

cdef int fill_numbers(double *values, numbers) except -1:
    """Fill in the scalars of an optimizer's kernel, at most four; the rest are 0."""
    cdef int i = 0
    values[0] = values[1] = values[2] = values[3] = 0
    for number in numbers:
        if i == 4:
            raise ValueError("an optimizer's kernel takes at most four scalars")
        values[i] = number
        i += 1
    return 0


def op_update(str kernel, params, grads, list states, numbers):
    """Update all parameters with one optimizer's kernel and return True; or change nothing and return False.

    `states` holds the optimizer's lists of arrays, one entry per parameter.
    """
    cdef Call few[32]
    cdef Call *calls = few
    cdef cnp.ndarray many  # the calls, if there are more
    cdef PyObject *given[4]
    cdef sn_parameter parameter
    cdef double values[4]
    cdef PyThreadState *state
    cdef Py_ssize_t count, i, k, work = 0
    cdef const Contract *contract = &_sgd_update
    cdef sn_optimizer optimizer = <sn_optimizer><int>_UPDATES[kernel]
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
    # Copies of the lists keep the arrays alive: another thread may remove them from the lists while C works.
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
