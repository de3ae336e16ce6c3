"""Every kernel's work as the books write it in NumPy: the kernel's name and arguments, outputs included.

An expression makes new arrays; they are returned, in the contract's order, and the given outputs stay as they
are. What is updated in place is updated in place, and returned too.
"""

import numpy as np


def affine_forward(x, W, b, out):
    return np.dot(x, W) if b is None else np.dot(x, W) + b


def affine_backward(dout, x, W, dx, dW, db):
    dx = None if dx is None else np.dot(dout, W.T)
    return dx, np.dot(x.T, dout), None if db is None else np.sum(dout, axis=0)


def matmul_accumulate(x, W, out):
    out += np.dot(x, W)
    return out


def matmul_transposed(dout, W, dx):
    return np.dot(dout, W.T)


def sum_rows(x, out):
    return np.sum(x, axis=0)


def repeat_rows(x, out):
    return np.repeat(x.reshape(1, -1), len(out), axis=0)


def gather_rows(x, index, out):
    return x[index]


def sigmoid_forward(x, out):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dout, y, dx):
    return dout * (1.0 - y) * y


def relu_forward(x, out):
    return np.maximum(0, x)


def relu_backward(dout, y, dx):
    dx = dout.copy()
    dx[y <= 0] = 0
    return dx


def relu_forward_with_mask(x, out, mask):
    mask = x <= 0
    out = x.copy()
    out[mask] = 0
    return out, mask


def relu_backward_by_mask(dout, mask, dx):
    dx = dout.copy()
    dx[mask] = 0
    return dx


def softmax_forward(x, y):
    x = x - x.max(axis=1, keepdims=True)
    x = np.exp(x)
    return x / x.sum(axis=1, keepdims=True)


def softmax_backward(dout, y, dx):
    dx = y * dout
    return dx - y * np.sum(dx, axis=1, keepdims=True)


def cross_entropy_forward(y, t, delta, clip):
    return -np.sum(np.log(y[np.arange(len(y)), t] + delta)) / len(y)


def softmax_cross_entropy_forward(x, t, delta, clip, y):
    y = softmax_forward(x, y)
    return y, cross_entropy_forward(y, t, delta, clip)


def softmax_cross_entropy_backward(y, t, dout, dx):
    dx = y.copy()
    dx[np.arange(len(y)), t] -= 1
    dx *= dout
    return dx / len(y)


def sigmoid_cross_entropy_forward(x, t, delta, clip, y):
    y = 1 / (1 + np.exp(-x))
    return y, cross_entropy_forward(np.c_[1 - y, y], t, delta, clip)


def sigmoid_cross_entropy_backward(y, t, dout, dx):
    return (y - t) * dout / len(y)


def squared_error_forward(y, t):
    return 0.5 * np.sum((y - t) ** 2) / len(y)


def squared_error_backward(y, t, dout, dx):
    return (y - t) * dout / len(y)


def weighted_cross_entropy_forward(y, t, w, delta, clip):
    return -np.sum(w * np.log(y[np.arange(len(y)), t] + delta)) / np.sum(w)


def weighted_binary_cross_entropy_forward(y, t, w, delta, clip):
    losses = -np.log(np.where(t == 1, y, 1 - y) + delta)
    return np.sum(w * losses.mean(axis=1)) / np.sum(w)


def weighted_squared_error_forward(y, t, w):
    return 0.5 * np.sum(w * np.sum((y - t) ** 2, axis=1)) / np.sum(w)


def weight_rows(dx, w):
    dx *= (w * len(w) / np.sum(w))[:, np.newaxis]
    return dx


def im2col(x, stride, pad, col):
    P, Q, Y, X = col.shape[2:]
    image = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros(col.shape, x.dtype)
    for p in range(P):
        for q in range(Q):
            col[:, :, p, q] = image[:, :, p : p + stride * Y : stride, q : q + stride * X : stride]
    return col


def col2im(col, stride, pad, dx):
    P, Q, Y, X = col.shape[2:]
    N, C, H, W = dx.shape
    image = np.zeros((N, C, H + 2 * pad, W + 2 * pad), col.dtype)
    for p in range(P):
        for q in range(Q):
            image[:, :, p : p + stride * Y : stride, q : q + stride * X : stride] += col[:, :, p, q]
    return image[:, :, pad : pad + H, pad : pad + W]


def convolution_forward(col, W, b, out):
    rows = col.transpose(0, 2, 1).reshape(-1, W.shape[1])
    return (np.dot(rows, W.T) + b).reshape(len(col), -1, len(W)).transpose(0, 2, 1)


def convolution_backward(dout, col, W, dcol, dW, db):
    rows = col.transpose(0, 2, 1).reshape(-1, W.shape[1])
    drows = dout.transpose(0, 2, 1).reshape(-1, len(W))
    dW += np.dot(drows.T, rows)
    db += np.sum(drows, axis=0)
    return np.dot(drows, W).reshape(len(col), -1, W.shape[1]).transpose(0, 2, 1), dW, db


def max_pool_forward(x, P, Q, stride, out, argmax):
    Y, X = out.shape[2:]
    col = im2col(x, stride, 0, np.empty((*x.shape[:2], P, Q, Y, X)))
    rows = col.transpose(0, 1, 4, 5, 2, 3).reshape(*out.shape, P * Q)
    k = np.argmax(rows, axis=-1)
    top, left = np.arange(Y)[:, None] * stride, np.arange(X) * stride
    return np.max(rows, axis=-1), (top + k // Q) * x.shape[3] + left + k % Q


def max_pool_backward(dout, argmax, dx):
    shape = dx.shape
    dx = np.zeros((shape[0] * shape[1], shape[2] * shape[3]), dout.dtype)
    places = argmax.reshape(len(dx), -1)
    np.add.at(dx, (np.arange(len(dx))[:, None], places), dout.reshape(places.shape))
    return dx.reshape(shape)


def batch_normalization_forward(x, gamma, beta, eps, mean, var, std, xhat, out):
    mean = x.mean(axis=0)
    centred = x - mean
    var = np.mean(centred**2, axis=0)
    std = np.sqrt(var + eps)
    xhat = centred / std
    return mean, var, std, xhat, gamma * xhat + beta


def batch_normalization_inference(x, gamma, beta, mean, var, eps, out):
    return gamma * ((x - mean) / np.sqrt(var + eps)) + beta


def batch_normalization_backward(dout, xhat, gamma, std, dx, dgamma, dbeta):
    dbeta, dgamma = dout.sum(axis=0), np.sum(xhat * dout, axis=0)
    return gamma / std * (dout - (dbeta + xhat * dgamma) / len(dout)), dgamma, dbeta


def sgd_update(p, g, lr):
    p -= lr * g
    return p


def momentum_update(p, g, v, lr, momentum):
    v *= momentum
    v -= lr * g
    p += v
    return p, v


def nesterov_update(p, g, v, lr, momentum):
    p += momentum * momentum * v
    p -= (1 + momentum) * lr * g
    v *= momentum
    v -= lr * g
    return p, v


def adagrad_update(p, g, h, lr):
    h += g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)
    return p, h


def rmsprop_update(p, g, h, lr, decay_rate):
    h *= decay_rate
    h += (1 - decay_rate) * g * g
    p -= lr * g / (np.sqrt(h) + 1e-7)
    return p, h


def adam_update(p, g, m, v, lr, beta1, beta2, epsilon):
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g**2 - v)
    p -= lr * m / (np.sqrt(v) + epsilon)
    return p, m, v


def squared_norm(g):
    return np.sum(g**2)


def scale(x, factor):
    x *= factor
    return x


def scatter_add_rows(dout, index, out):
    out = np.zeros_like(out)
    np.add.at(out, index, dout)
    return out


def tanh_forward(x, out):
    return np.tanh(x)


def tanh_backward(dout, y, dx):
    return dout * (1 - y**2)


def multiply_by_mask(x, mask, out):
    return x * mask


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_forward(c_prev, A, gates, c, h):
    D = c_prev.shape[1]
    f, g = sigmoid(A[:, :D]), np.tanh(A[:, D : 2 * D])
    i, o = sigmoid(A[:, 2 * D : 3 * D]), sigmoid(A[:, 3 * D :])
    c = f * c_prev + g * i
    return np.hstack((f, g, i, o)), c, o * np.tanh(c)


def lstm_backward(dh, dc, c_prev, c, gates, dA, dc_prev):
    f, g, i, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c)
    s = dc + (dh * o) * (1 - tanh_c**2)
    df = s * c_prev * f * (1 - f)
    dg = s * i * (1 - g**2)
    di = s * g * i * (1 - i)
    do = dh * tanh_c * o * (1 - o)
    return np.hstack((df, dg, di, do)), s * f


def gru_gates_forward(h_prev, A, gates, rh):
    gates = sigmoid(A)
    return gates, gates[:, h_prev.shape[1] :] * h_prev


def gru_forward(h_prev, gates, A, h_hat, h):
    z, h_hat = gates[:, : h_prev.shape[1]], np.tanh(A)
    return h_hat, (1 - z) * h_prev + z * h_hat


def gru_backward(dh, gates, h_hat, dA):
    return dh * gates[:, : dh.shape[1]] * (1 - h_hat**2)


def gru_gates_backward(dh, drh, h_prev, gates, h_hat, dA, dh_prev):
    z, r = np.split(gates, 2, axis=1)
    dz, dr = dh * h_hat - dh * h_prev, drh * h_prev
    return np.hstack((dz * z * (1 - z), dr * r * (1 - r))), dh * (1 - z) + drh * r
