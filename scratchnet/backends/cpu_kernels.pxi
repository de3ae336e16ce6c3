# written by tools/generate_bindings.py from backends/contract.py: change that, not this.

# Products and sums over rows

cdef Contract _affine_forward = compile_contract("affine_forward")


def affine_forward(x, W, b, out):
    """x[N,D], W[D,M], b[M]?, >out[N,M]: out = x W + b. Accuracy: sum(D+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &call):
        return affine_forward(*_prepared("affine_forward", x, W, b, out))
    state = release(<double>call.size[N] * call.size[M] * (call.size[D] + 2))
    sn_affine_forward(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                      call.data[2], call.data[3])
    restore(state)


cdef Contract _affine_backward = compile_contract("affine_backward")


def affine_backward(dout, x, W, dx, dW, db):
    """dout[N,M], x[N,D], W[D,M], >dx[N,D]?, >dW[D,M], >db[M]?: dx = dout W';  dW = x' dout;  db = rows' sum.
    Accuracy: dx sum(M+2), dW sum(N+2), db sum(N+2).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_affine_backward, [<PyObject *>dout, <PyObject *>x, <PyObject *>W, <PyObject *>dx, <PyObject *>dW,
                                    <PyObject *>db], &call):
        return affine_backward(*_prepared("affine_backward", dout, x, W, dx, dW, db))
    state = release(<double>call.size[N] * call.size[D] * (call.size[M] + 2) + <double>call.size[D] * call.size[M]
                    * (call.size[N] + 2) + <double>call.size[M] * (call.size[N] + 2))
    sn_affine_backward(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                       call.data[2], call.data[3], call.data[4], call.data[5])
    restore(state)


cdef Contract _matmul_accumulate = compile_contract("matmul_accumulate")


def matmul_accumulate(x, W, out):
    """x[N,D], W[D,M], =out[N,M]: out += x W. Accuracy: sum(D+3)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_matmul_accumulate, [<PyObject *>x, <PyObject *>W, <PyObject *>out], &call):
        return matmul_accumulate(*_prepared("matmul_accumulate", x, W, out))
    state = release(<double>call.size[N] * call.size[M] * (call.size[D] + 3))
    sn_matmul_accumulate(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                         call.data[2])
    restore(state)


cdef Contract _matmul_transposed = compile_contract("matmul_transposed")


def matmul_transposed(dout, W, dx):
    """dout[N,M], W[D,M], >dx[N,D]: dx = dout W'. Accuracy: sum(M+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_matmul_transposed, [<PyObject *>dout, <PyObject *>W, <PyObject *>dx], &call):
        return matmul_transposed(*_prepared("matmul_transposed", dout, W, dx))
    state = release(<double>call.size[N] * call.size[D] * (call.size[M] + 2))
    sn_matmul_transposed(call.type, call.size[N], call.size[D], call.size[M], call.data[0], call.data[1],
                         call.data[2])
    restore(state)


cdef Contract _sum_rows = compile_contract("sum_rows")


def sum_rows(x, out):
    """x[N,D], >out[D]: out = x[0] + x[1] + ... Accuracy: sum(N)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sum_rows, [<PyObject *>x, <PyObject *>out], &call):
        return sum_rows(*_prepared("sum_rows", x, out))
    state = release(<double>call.size[D] * call.size[N])
    sn_sum_rows(call.type, call.size[N], call.size[D], call.data[0], call.data[1])
    restore(state)


cdef Contract _repeat_rows = compile_contract("repeat_rows")


def repeat_rows(x, out):
    """x[D], >out[N,D]: out[i] = x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_repeat_rows, [<PyObject *>x, <PyObject *>out], &call):
        return repeat_rows(*_prepared("repeat_rows", x, out))
    state = release(<double>call.size[N] * call.size[D])
    sn_repeat_rows(call.type, call.size[N], call.size[D], call.data[0], call.data[1])
    restore(state)


cdef Contract _gather_rows = compile_contract("gather_rows")


def gather_rows(x, index, out):
    """x[N,D], index[B]<N, >out[B,D]: out[i] = x[index[i]]. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gather_rows, [<PyObject *>x, <PyObject *>index, <PyObject *>out], &call):
        return gather_rows(*_prepared("gather_rows", x, index, out))
    state = release(call.size[B] + <double>call.size[B] * call.size[D])
    sn_gather_rows(call.type, call.size[N], call.size[B], call.size[D], call.data[0], <sn_label *>call.data[1],
                   call.data[2])
    restore(state)


cdef Contract _scatter_add_rows = compile_contract("scatter_add_rows")


def scatter_add_rows(dout, index, out):
    """dout[B,D], index[B]<N, >out[N,D]: out = 0;  out[index[i]] += dout[i], in order. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_scatter_add_rows, [<PyObject *>dout, <PyObject *>index, <PyObject *>out], &call):
        return scatter_add_rows(*_prepared("scatter_add_rows", dout, index, out))
    state = release(call.size[B] + <double>call.size[N] * call.size[D])
    sn_scatter_add_rows(call.type, call.size[N], call.size[B], call.size[D], call.data[0],
                        <sn_label *>call.data[1], call.data[2])
    restore(state)


# Activations

cdef Contract _sigmoid_forward = compile_contract("sigmoid_forward")


def sigmoid_forward(x, out):
    """x[...], >out[...]~x: out = 1 / (1 + exp(-x)). Accuracy: 3 ulp."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sigmoid_forward, [<PyObject *>x, <PyObject *>out], &call):
        return sigmoid_forward(*_prepared("sigmoid_forward", x, out))
    state = release(call.size[n])
    sn_sigmoid_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


cdef Contract _sigmoid_backward = compile_contract("sigmoid_backward")


def sigmoid_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = dout (1 - y) y. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_sigmoid_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return sigmoid_backward(*_prepared("sigmoid_backward", dout, y, dx))
    state = release(call.size[n])
    sn_sigmoid_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


cdef Contract _relu_forward = compile_contract("relu_forward")


def relu_forward(x, out):
    """x[...], >out[...]~x: out = 0 where x <= 0, else x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_forward, [<PyObject *>x, <PyObject *>out], &call):
        return relu_forward(*_prepared("relu_forward", x, out))
    state = release(call.size[n])
    sn_relu_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


cdef Contract _relu_backward = compile_contract("relu_backward")


def relu_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = 0 where y <= 0, else dout. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return relu_backward(*_prepared("relu_backward", dout, y, dx))
    state = release(call.size[n])
    sn_relu_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


cdef Contract _relu_forward_with_mask = compile_contract("relu_forward_with_mask")


def relu_forward_with_mask(x, out, mask):
    """x[...], >out[...], >mask[...]:bool: mask = x <= 0;  out = 0 where mask, else x. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_forward_with_mask, [<PyObject *>x, <PyObject *>out, <PyObject *>mask], &call):
        return relu_forward_with_mask(*_prepared("relu_forward_with_mask", x, out, mask))
    state = release(call.size[n])
    sn_relu_forward_with_mask(call.type, call.size[n], call.data[0], call.data[1], <sn_bool *>call.data[2])
    restore(state)


cdef Contract _relu_backward_by_mask = compile_contract("relu_backward_by_mask")


def relu_backward_by_mask(dout, mask, dx):
    """dout[...], mask[...]:bool, >dx[...]: dx = 0 where mask, else dout. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_relu_backward_by_mask, [<PyObject *>dout, <PyObject *>mask, <PyObject *>dx], &call):
        return relu_backward_by_mask(*_prepared("relu_backward_by_mask", dout, mask, dx))
    state = release(call.size[n])
    sn_relu_backward_by_mask(call.type, call.size[n], call.data[0], <sn_bool *>call.data[1], call.data[2])
    restore(state)


cdef Contract _tanh_forward = compile_contract("tanh_forward")


def tanh_forward(x, out):
    """x[...], >out[...]~x: out = tanh(x). Accuracy: 3 ulp."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_tanh_forward, [<PyObject *>x, <PyObject *>out], &call):
        return tanh_forward(*_prepared("tanh_forward", x, out))
    state = release(call.size[n])
    sn_tanh_forward(call.type, call.size[n], call.data[0], call.data[1])
    restore(state)


cdef Contract _tanh_backward = compile_contract("tanh_backward")


def tanh_backward(dout, y, dx):
    """dout[...], y[...], >dx[...]~dout: dx = dout (1 - y^2). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_tanh_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return tanh_backward(*_prepared("tanh_backward", dout, y, dx))
    state = release(call.size[n])
    sn_tanh_backward(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


cdef Contract _multiply_by_mask = compile_contract("multiply_by_mask")


def multiply_by_mask(x, mask, out):
    """x[...], mask[...], >out[...]~x: out = x mask. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_multiply_by_mask, [<PyObject *>x, <PyObject *>mask, <PyObject *>out], &call):
        return multiply_by_mask(*_prepared("multiply_by_mask", x, mask, out))
    state = release(call.size[n])
    sn_multiply_by_mask(call.type, call.size[n], call.data[0], call.data[1], call.data[2])
    restore(state)


cdef Contract _softmax_forward = compile_contract("softmax_forward")


def softmax_forward(x, y):
    """x[N,C], >y[N,C]: y = exp(x) / sum over the row of exp(x)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_softmax_forward, [<PyObject *>x, <PyObject *>y], &call):
        return softmax_forward(*_prepared("softmax_forward", x, y))
    state = release(<double>call.size[N] * call.size[C])
    sn_softmax_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)


cdef Contract _softmax_backward = compile_contract("softmax_backward")


def softmax_backward(dout, y, dx):
    """dout[N,C], y[N,C], >dx[N,C]: dx = y (dout - sum over the row of dout y)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_softmax_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &call):
        return softmax_backward(*_prepared("softmax_backward", dout, y, dx))
    state = release(<double>call.size[N] * call.size[C])
    sn_softmax_backward(call.type, call.size[N], call.size[C], call.data[0], call.data[1], call.data[2])
    restore(state)


# Losses

cdef Contract _cross_entropy_forward = compile_contract("cross_entropy_forward")


def cross_entropy_forward(y, t, delta, clip):
    """y[N,C], t[N]<C, delta, clip: p = y_t, in [clip, 1 - clip] where clip > 0; mean of -log(p + delta)."""
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_cross_entropy_forward, [<PyObject *>y, <PyObject *>t], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return cross_entropy_forward(*_prepared("cross_entropy_forward", y, t, delta, clip))
    state = release(call.size[N])
    result = sn_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                      <sn_label *>call.data[1], delta_, clip_)
    restore(state)
    return result


cdef Contract _softmax_cross_entropy_forward = compile_contract("softmax_cross_entropy_forward")


def softmax_cross_entropy_forward(x, t, delta, clip, y):
    """x[N,C], t[N]<C, delta, clip, >y[N,C]: y = softmax(x);  mean of -log(p + delta), p = y_t, in [clip, 1 - clip]
    where clip > 0.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return softmax_cross_entropy_forward(*_prepared("softmax_cross_entropy_forward", x, t, delta, clip, y))
    state = release(call.size[N] + <double>call.size[N] * call.size[C])
    result = sn_softmax_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                              <sn_label *>call.data[1], delta_, clip_, call.data[2])
    restore(state)
    return result


cdef Contract _softmax_cross_entropy_backward = compile_contract("softmax_cross_entropy_backward")


def softmax_cross_entropy_backward(y, t, dout, dx):
    """y[N,C], t[N]<C, dout, >dx[N,C]: dx = (y - onehot(t)) dout / N. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return softmax_cross_entropy_backward(*_prepared("softmax_cross_entropy_backward", y, t, dout, dx))
    state = release(call.size[N] + <double>call.size[N] * call.size[C])
    sn_softmax_cross_entropy_backward(call.type, call.size[N], call.size[C], call.data[0],
                                      <sn_label *>call.data[1], dout_, call.data[2])
    restore(state)


cdef Contract _sigmoid_cross_entropy_forward = compile_contract("sigmoid_cross_entropy_forward")


def sigmoid_cross_entropy_forward(x, t, delta, clip, y):
    """x[n], t[n]<2, delta, clip, >y[n]: y = sigmoid(x);  mean of -log(p + delta), p = y where t is 1, else 1 - y,
    in [clip, 1 - clip] where clip > 0.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_sigmoid_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return sigmoid_cross_entropy_forward(*_prepared("sigmoid_cross_entropy_forward", x, t, delta, clip, y))
    state = release(call.size[n])
    result = sn_sigmoid_cross_entropy_forward(call.type, call.size[n], call.data[0], <sn_label *>call.data[1],
                                              delta_, clip_, call.data[2])
    restore(state)
    return result


cdef Contract _sigmoid_cross_entropy_backward = compile_contract("sigmoid_cross_entropy_backward")


def sigmoid_cross_entropy_backward(y, t, dout, dx):
    """y[n], t[n]<2, dout, >dx[n]: dx = (y - t) dout / n. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_sigmoid_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return sigmoid_cross_entropy_backward(*_prepared("sigmoid_cross_entropy_backward", y, t, dout, dx))
    state = release(call.size[n])
    sn_sigmoid_cross_entropy_backward(call.type, call.size[n], call.data[0], <sn_label *>call.data[1], dout_,
                                      call.data[2])
    restore(state)


cdef Contract _squared_error_forward = compile_contract("squared_error_forward")


def squared_error_forward(y, t):
    """y[N,C], t[N,C]: 0.5 sum of (y - t)^2 / N."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_squared_error_forward, [<PyObject *>y, <PyObject *>t], &call):
        return squared_error_forward(*_prepared("squared_error_forward", y, t))
    state = release(<double>call.size[N] * call.size[C])
    result = sn_squared_error_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)
    return result


cdef Contract _squared_error_backward = compile_contract("squared_error_backward")


def squared_error_backward(y, t, dout, dx):
    """y[N,C], t[N,C], dout, >dx[N,C]: dx = (y - t) dout / N. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double dout_
    if not (bind(&_squared_error_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &call)
            and real(dout, &dout_)):
        return squared_error_backward(*_prepared("squared_error_backward", y, t, dout, dx))
    state = release(<double>call.size[N] * call.size[C])
    sn_squared_error_backward(call.type, call.size[N], call.size[C], call.data[0], call.data[1], dout_,
                              call.data[2])
    restore(state)


cdef Contract _weighted_cross_entropy_forward = compile_contract("weighted_cross_entropy_forward")


def weighted_cross_entropy_forward(y, t, w, delta, clip):
    """y[N,C], t[N]<C, w[N], delta, clip: sum of w l / sum of w, 0 if that is 0, of the rows' losses l as in
    cross_entropy_forward.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_weighted_cross_entropy_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return weighted_cross_entropy_forward(*_prepared("weighted_cross_entropy_forward", y, t, w, delta, clip))
    state = release(call.size[N])
    result = sn_weighted_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                               <sn_label *>call.data[1], call.data[2], delta_, clip_)
    restore(state)
    return result


cdef Contract _weighted_binary_cross_entropy_forward = compile_contract("weighted_binary_cross_entropy_forward")


def weighted_binary_cross_entropy_forward(y, t, w, delta, clip):
    """y[N,C], t[N,C]<2, w[N], delta, clip: the same of l = mean over a row of the losses as in
    sigmoid_cross_entropy_forward.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double delta_, clip_
    cdef double result
    if not (bind(&_weighted_binary_cross_entropy_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call)
            and real(delta, &delta_)
            and real(clip, &clip_)):
        return weighted_binary_cross_entropy_forward(*_prepared("weighted_binary_cross_entropy_forward", y, t, w,
                                                                delta, clip))
    state = release(<double>call.size[N] * call.size[C])
    result = sn_weighted_binary_cross_entropy_forward(call.type, call.size[N], call.size[C], call.data[0],
                                                      <sn_label *>call.data[1], call.data[2], delta_, clip_)
    restore(state)
    return result


cdef Contract _weighted_squared_error_forward = compile_contract("weighted_squared_error_forward")


def weighted_squared_error_forward(y, t, w):
    """y[N,C], t[N,C], w[N]: the same of l = 0.5 sum over the row of (y - t)^2."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_weighted_squared_error_forward, [<PyObject *>y, <PyObject *>t, <PyObject *>w], &call):
        return weighted_squared_error_forward(*_prepared("weighted_squared_error_forward", y, t, w))
    state = release(call.size[N])
    result = sn_weighted_squared_error_forward(call.type, call.size[N], call.size[C], call.data[0], call.data[1],
                                               call.data[2])
    restore(state)
    return result


cdef Contract _weight_rows = compile_contract("weight_rows")


def weight_rows(dx, w):
    """=dx[N,C], w[N]: dx[i] *= w[i] N / sum of w, 0 if that is 0."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_weight_rows, [<PyObject *>dx, <PyObject *>w], &call):
        return weight_rows(*_prepared("weight_rows", dx, w))
    state = release(<double>call.size[N] * call.size[C])
    sn_weight_rows(call.type, call.size[N], call.size[C], call.data[0], call.data[1])
    restore(state)


# Windows of images

cdef Contract _im2col = compile_contract("im2col")


def im2col(x, stride, pad, col):
    """x[N,C,H,W], stride:1, pad:0, >col[N,C,P,Q,Y,X]: col[n,c,p,q,y,x] = x[n,c, y stride + p - pad, x stride + q -
    pad], 0 outside of x. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t stride_, pad_
    if not (bind(&_im2col, [<PyObject *>x, <PyObject *>col], &call)
            and whole(stride, 1, &stride_)
            and whole(pad, 0, &pad_)
            and windows_fit(&call, call.size[P], call.size[Q], stride_, pad_)):
        return im2col(*_prepared("im2col", x, stride, pad, col))
    state = release(<double>call.size[N] * call.size[C] * call.size[P] * call.size[Q] * call.size[Y] *
                    call.size[X])
    sn_im2col(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[P], call.size[Q],
              call.size[Y], call.size[X], call.data[0], stride_, pad_, call.data[1])
    restore(state)


cdef Contract _col2im = compile_contract("col2im")


def col2im(col, stride, pad, dx):
    """col[N,C,P,Q,Y,X], stride:1, pad:0, >dx[N,C,H,W]: dx = the sum of col where im2col reads x. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t stride_, pad_
    if not (bind(&_col2im, [<PyObject *>col, <PyObject *>dx], &call)
            and whole(stride, 1, &stride_)
            and whole(pad, 0, &pad_)
            and windows_fit(&call, call.size[P], call.size[Q], stride_, pad_)):
        return col2im(*_prepared("col2im", col, stride, pad, dx))
    state = release(<double>call.size[N] * call.size[C] * call.size[H] * call.size[W])
    sn_col2im(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[P], call.size[Q],
              call.size[Y], call.size[X], call.data[0], stride_, pad_, call.data[1])
    restore(state)


cdef Contract _convolution_forward = compile_contract("convolution_forward")


def convolution_forward(col, W, b, out):
    """col[N,K,L], W[M,K], b[M], >out[N,M,L]: out[n] = W col[n] + b. Accuracy: sum(K+2)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_convolution_forward, [<PyObject *>col, <PyObject *>W, <PyObject *>b, <PyObject *>out], &call):
        return convolution_forward(*_prepared("convolution_forward", col, W, b, out))
    state = release(<double>call.size[N] * call.size[M] * call.size[L] * (call.size[K] + 2))
    sn_convolution_forward(call.type, call.size[N], call.size[K], call.size[L], call.size[M], call.data[0],
                           call.data[1], call.data[2], call.data[3])
    restore(state)


cdef Contract _convolution_backward = compile_contract("convolution_backward")


def convolution_backward(dout, col, W, dcol, dW, db):
    """dout[N,M,L], col[N,K,L], W[M,K], >dcol[N,K,L], =dW[M,K], =db[M]: dcol[n] = W' dout[n]; dW += sum of dout[n]
    col[n]'; db += sum of dout over n and l. Accuracy: dcol sum(M+2), dW sum(N*L+3), db sum(N*L+3).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_convolution_backward, [<PyObject *>dout, <PyObject *>col, <PyObject *>W, <PyObject *>dcol,
                                         <PyObject *>dW, <PyObject *>db], &call):
        return convolution_backward(*_prepared("convolution_backward", dout, col, W, dcol, dW, db))
    state = release(<double>call.size[N] * call.size[K] * call.size[L] * (call.size[M] + 2) + <double>call.size[M]
                    * call.size[K] * (call.size[N] * call.size[L] + 3) + <double>call.size[M] * (call.size[N] *
                    call.size[L] + 3))
    sn_convolution_backward(call.type, call.size[N], call.size[K], call.size[L], call.size[M], call.data[0],
                            call.data[1], call.data[2], call.data[3], call.data[4], call.data[5])
    restore(state)


cdef Contract _max_pool_forward = compile_contract("max_pool_forward")


def max_pool_forward(x, P, Q, stride, out, argmax):
    """x[N,C,H,W], P:1, Q:1, stride:1, >out[N,C,Y,X], >argmax[N,C,Y,X]<H*W: out = the largest x of each window of P
    x Q; argmax = its place y W + x, first of equals. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef Py_ssize_t P_, Q_, stride_
    if not (bind(&_max_pool_forward, [<PyObject *>x, <PyObject *>out, <PyObject *>argmax], &call)
            and whole(P, 1, &P_)
            and whole(Q, 1, &Q_)
            and whole(stride, 1, &stride_)
            and windows_fit(&call, P_, Q_, stride_, 0)
            and <double>(P_ - 1) * call.size[W] + Q_ <= LARGEST):
        return max_pool_forward(*_prepared("max_pool_forward", x, P, Q, stride, out, argmax))
    state = release(<double>call.size[N] * call.size[C] * call.size[Y] * call.size[X])
    sn_max_pool_forward(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[Y],
                        call.size[X], call.data[0], P_, Q_, stride_, call.data[1], <sn_label *>call.data[2])
    restore(state)


cdef Contract _max_pool_backward = compile_contract("max_pool_backward")


def max_pool_backward(dout, argmax, dx):
    """dout[N,C,Y,X], argmax[N,C,Y,X]<H*W, >dx[N,C,H,W]: dx = the sum of dout where argmax points to x. Accuracy:
    exact.
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_max_pool_backward, [<PyObject *>dout, <PyObject *>argmax, <PyObject *>dx], &call):
        return max_pool_backward(*_prepared("max_pool_backward", dout, argmax, dx))
    state = release(<double>call.size[N] * call.size[C] * call.size[Y] * call.size[X] + <double>call.size[N] *
                    call.size[C] * call.size[H] * call.size[W])
    sn_max_pool_backward(call.type, call.size[N], call.size[C], call.size[H], call.size[W], call.size[Y],
                         call.size[X], call.data[0], <sn_label *>call.data[1], call.data[2])
    restore(state)


# Batch normalization

cdef Contract _batch_normalization_forward = compile_contract("batch_normalization_forward")


def batch_normalization_forward(x, gamma, beta, eps, mean, var, std, xhat, out):
    """x[N,D], gamma[D], beta[D], eps, >mean[D], >var[D], >std[D], >xhat[N,D], >out[N,D]: std = sqrt(var + eps);
    xhat = (x - mean) / std; out = gamma xhat + beta.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double eps_
    if not (bind(&_batch_normalization_forward, [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta,
                                                 <PyObject *>mean, <PyObject *>var, <PyObject *>std,
                                                 <PyObject *>xhat, <PyObject *>out], &call)
            and real(eps, &eps_)):
        return batch_normalization_forward(*_prepared("batch_normalization_forward", x, gamma, beta, eps, mean,
                                                      var, std, xhat, out))
    state = release(call.size[D] + <double>call.size[N] * call.size[D])
    sn_batch_normalization_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                                   eps_, call.data[3], call.data[4], call.data[5], call.data[6], call.data[7])
    restore(state)


cdef Contract _batch_normalization_inference = compile_contract("batch_normalization_inference")


def batch_normalization_inference(x, gamma, beta, mean, var, eps, out):
    """x[N,D], gamma[D], beta[D], mean[D], var[D], eps, >out[N,D]: out = gamma xhat + beta, by mean and var.
    Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double eps_
    if not (bind(&_batch_normalization_inference, [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta,
                                                   <PyObject *>mean, <PyObject *>var, <PyObject *>out], &call)
            and real(eps, &eps_)):
        return batch_normalization_inference(*_prepared("batch_normalization_inference", x, gamma, beta, mean, var,
                                                        eps, out))
    state = release(<double>call.size[N] * call.size[D])
    sn_batch_normalization_inference(call.type, call.size[N], call.size[D], call.data[0], call.data[1],
                                     call.data[2], call.data[3], call.data[4], eps_, call.data[5])
    restore(state)


cdef Contract _batch_normalization_backward = compile_contract("batch_normalization_backward")


def batch_normalization_backward(dout, xhat, gamma, std, dx, dgamma, dbeta):
    """dout[N,D], xhat[N,D], gamma[D], std[D], >dx[N,D], >dgamma[D], >dbeta[D]: dbeta = rows' sum of dout; dgamma =
    rows' sum of dout xhat; dx = gamma / std times (dout - (dbeta + xhat dgamma) / N).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_batch_normalization_backward, [<PyObject *>dout, <PyObject *>xhat, <PyObject *>gamma,
                                                 <PyObject *>std, <PyObject *>dx, <PyObject *>dgamma,
                                                 <PyObject *>dbeta], &call):
        return batch_normalization_backward(*_prepared("batch_normalization_backward", dout, xhat, gamma, std, dx,
                                                       dgamma, dbeta))
    state = release(<double>call.size[N] * call.size[D] + call.size[D])
    sn_batch_normalization_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1],
                                    call.data[2], call.data[3], call.data[4], call.data[5], call.data[6])
    restore(state)


# Recurrent cells

cdef Contract _lstm_forward = compile_contract("lstm_forward")


def lstm_forward(c_prev, A, gates, c, h):
    """c_prev[N,D], A[N,4D], >gates[N,4D], >c[N,D], >h[N,D]: gates = f, g, i, o = sigmoid(A), of g tanh(A); c = f
    c_prev + g i;  h = o tanh(c).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_forward, [<PyObject *>c_prev, <PyObject *>A, <PyObject *>gates, <PyObject *>c,
                                 <PyObject *>h], &call):
        return lstm_forward(*_prepared("lstm_forward", c_prev, A, gates, c, h))
    state = release(<double>call.size[N] * call.size[D] * 4 + <double>call.size[N] * call.size[D])
    sn_lstm_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                    call.data[4])
    restore(state)


cdef Contract _lstm_backward = compile_contract("lstm_backward")


def lstm_backward(dh, dc, c_prev, c, gates, dA, dc_prev):
    """dh[N,D], dc[N,D], c_prev[N,D], c[N,D], gates[N,4D], >dA[N,4D], >dc_prev[N,D]: s = dc + dh o (1 - tanh(c)^2);
    dc_prev = s f; dA = s c_prev f (1 - f), s i (1 - g^2), s g i (1 - i), dh tanh(c) o (1 - o).
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_backward, [<PyObject *>dh, <PyObject *>dc, <PyObject *>c_prev, <PyObject *>c,
                                  <PyObject *>gates, <PyObject *>dA, <PyObject *>dc_prev], &call):
        return lstm_backward(*_prepared("lstm_backward", dh, dc, c_prev, c, gates, dA, dc_prev))
    state = release(<double>call.size[N] * call.size[D] * 4 + <double>call.size[N] * call.size[D])
    sn_lstm_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                     call.data[4], call.data[5], call.data[6])
    restore(state)


cdef Contract _gru_gates_forward = compile_contract("gru_gates_forward")


def gru_gates_forward(h_prev, A, gates, rh):
    """h_prev[N,D], A[N,2D], >gates[N,2D], >rh[N,D]: gates = z, r = sigmoid(A);  rh = r h_prev."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_gates_forward, [<PyObject *>h_prev, <PyObject *>A, <PyObject *>gates,
                                      <PyObject *>rh], &call):
        return gru_gates_forward(*_prepared("gru_gates_forward", h_prev, A, gates, rh))
    state = release(<double>call.size[N] * call.size[D] * 2 + <double>call.size[N] * call.size[D])
    sn_gru_gates_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                         call.data[3])
    restore(state)


cdef Contract _gru_forward = compile_contract("gru_forward")


def gru_forward(h_prev, gates, A, h_hat, h):
    """h_prev[N,D], gates[N,2D], A[N,D], >h_hat[N,D], >h[N,D]: h_hat = tanh(A);  h = (1 - z) h_prev + z h_hat."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_forward, [<PyObject *>h_prev, <PyObject *>gates, <PyObject *>A, <PyObject *>h_hat,
                                <PyObject *>h], &call):
        return gru_forward(*_prepared("gru_forward", h_prev, gates, A, h_hat, h))
    state = release(<double>call.size[N] * call.size[D])
    sn_gru_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3],
                   call.data[4])
    restore(state)


cdef Contract _gru_backward = compile_contract("gru_backward")


def gru_backward(dh, gates, h_hat, dA):
    """dh[N,D], gates[N,2D], h_hat[N,D], >dA[N,D]: dA = dh z (1 - h_hat^2). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_backward, [<PyObject *>dh, <PyObject *>gates, <PyObject *>h_hat, <PyObject *>dA], &call):
        return gru_backward(*_prepared("gru_backward", dh, gates, h_hat, dA))
    state = release(<double>call.size[N] * call.size[D])
    sn_gru_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2], call.data[3])
    restore(state)


cdef Contract _gru_gates_backward = compile_contract("gru_gates_backward")


def gru_gates_backward(dh, drh, h_prev, gates, h_hat, dA, dh_prev):
    """dh[N,D], drh[N,D], h_prev[N,D], gates[N,2D], h_hat[N,D], >dA[N,2D], >dh_prev[N,D]: dA = dh (h_hat - h_prev)
    z (1 - z), drh h_prev r (1 - r); dh_prev = dh (1 - z) + drh r. Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_gru_gates_backward, [<PyObject *>dh, <PyObject *>drh, <PyObject *>h_prev, <PyObject *>gates,
                                       <PyObject *>h_hat, <PyObject *>dA, <PyObject *>dh_prev], &call):
        return gru_gates_backward(*_prepared("gru_gates_backward", dh, drh, h_prev, gates, h_hat, dA, dh_prev))
    state = release(<double>call.size[N] * call.size[D] * 2 + <double>call.size[N] * call.size[D])
    sn_gru_gates_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                          call.data[3], call.data[4], call.data[5], call.data[6])
    restore(state)


# Optimizers

cdef Contract _sgd_update = compile_contract("sgd_update")


def sgd_update(p, g, lr):
    """=p[...], g[...], lr: p -= lr g. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_
    if not (bind(&_sgd_update, [<PyObject *>p, <PyObject *>g], &call)
            and real(lr, &lr_)):
        return sgd_update(*_prepared("sgd_update", p, g, lr))
    state = release(call.size[n])
    sn_sgd_update(call.type, call.size[n], call.data[0], call.data[1], lr_)
    restore(state)


cdef Contract _momentum_update = compile_contract("momentum_update")


def momentum_update(p, g, v, lr, momentum):
    """=p[...], g[...], =v[...], lr, momentum: v = momentum v - lr g;  p += v. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, momentum_
    if not (bind(&_momentum_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(momentum, &momentum_)):
        return momentum_update(*_prepared("momentum_update", p, g, v, lr, momentum))
    state = release(call.size[n])
    sn_momentum_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, momentum_)
    restore(state)


cdef Contract _nesterov_update = compile_contract("nesterov_update")


def nesterov_update(p, g, v, lr, momentum):
    """=p[...], g[...], =v[...], lr, momentum: p += momentum^2 v - (1 + momentum) lr g; v = momentum v - lr g.
    Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, momentum_
    if not (bind(&_nesterov_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(momentum, &momentum_)):
        return nesterov_update(*_prepared("nesterov_update", p, g, v, lr, momentum))
    state = release(call.size[n])
    sn_nesterov_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, momentum_)
    restore(state)


cdef Contract _adagrad_update = compile_contract("adagrad_update")


def adagrad_update(p, g, h, lr):
    """=p[...], g[...], =h[...], lr: h += g^2;  p -= lr g / (sqrt(h) + 1e-7). Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_
    if not (bind(&_adagrad_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &call)
            and real(lr, &lr_)):
        return adagrad_update(*_prepared("adagrad_update", p, g, h, lr))
    state = release(call.size[n])
    sn_adagrad_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_)
    restore(state)


cdef Contract _rmsprop_update = compile_contract("rmsprop_update")


def rmsprop_update(p, g, h, lr, decay_rate):
    """=p[...], g[...], =h[...], lr, decay_rate: h = decay_rate h + (1 - decay_rate) g^2; p -= lr g / (sqrt(h) +
    1e-7). Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, decay_rate_
    if not (bind(&_rmsprop_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &call)
            and real(lr, &lr_)
            and real(decay_rate, &decay_rate_)):
        return rmsprop_update(*_prepared("rmsprop_update", p, g, h, lr, decay_rate))
    state = release(call.size[n])
    sn_rmsprop_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], lr_, decay_rate_)
    restore(state)


cdef Contract _adam_update = compile_contract("adam_update")


def adam_update(p, g, m, v, lr, beta1, beta2, epsilon):
    """=p[...], g[...], =m[...], =v[...], lr, beta1, beta2, epsilon: m += (1 - beta1)(g - m); v += (1 - beta2)(g^2
    - v); p -= lr m / (sqrt(v) + epsilon). Accuracy: exact.
    """
    cdef Call call
    cdef PyThreadState *state
    cdef double lr_, beta1_, beta2_, epsilon_
    if not (bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>m, <PyObject *>v], &call)
            and real(lr, &lr_)
            and real(beta1, &beta1_)
            and real(beta2, &beta2_)
            and real(epsilon, &epsilon_)):
        return adam_update(*_prepared("adam_update", p, g, m, v, lr, beta1, beta2, epsilon))
    state = release(call.size[n])
    sn_adam_update(call.type, call.size[n], call.data[0], call.data[1], call.data[2], call.data[3], lr_, beta1_,
                   beta2_, epsilon_)
    restore(state)


cdef Contract _squared_norm = compile_contract("squared_norm")


def squared_norm(g):
    """g[...]: sum of g^2."""
    cdef Call call
    cdef PyThreadState *state
    cdef double result
    if not bind(&_squared_norm, [<PyObject *>g], &call):
        return squared_norm(*_prepared("squared_norm", g))
    state = release(call.size[n])
    result = sn_squared_norm(call.type, call.size[n], call.data[0])
    restore(state)
    return result


cdef Contract _scale = compile_contract("scale")


def scale(x, factor):
    """=x[...], factor: x *= factor. Accuracy: exact."""
    cdef Call call
    cdef PyThreadState *state
    cdef double factor_
    if not (bind(&_scale, [<PyObject *>x], &call)
            and real(factor, &factor_)):
        return scale(*_prepared("scale", x, factor))
    state = release(call.size[n])
    sn_scale(call.type, call.size[n], call.data[0], factor_)
    restore(state)
