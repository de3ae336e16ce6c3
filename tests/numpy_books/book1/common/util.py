"""Book 1's helpers."""

import numpy as np


def im2col(images, P, Q, stride=1, pad=0):
    N, C, H, W = images.shape
    Y, X = (H + 2 * pad - P) // stride + 1, (W + 2 * pad - Q) // stride + 1
    padded = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, P, Q, Y, X))
    for p in range(P):
        for q in range(Q):
            col[:, :, p, q] = padded[:, :, p : p + stride * Y : stride, q : q + stride * X : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * Y * X, -1)


def col2im(col, shape, P, Q, stride=1, pad=0):
    N, C, H, W = shape
    Y, X = (H + 2 * pad - P) // stride + 1, (W + 2 * pad - Q) // stride + 1
    col = col.reshape(N, Y, X, C, P, Q).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for p in range(P):
        for q in range(Q):
            padded[:, :, p : p + stride * Y : stride, q : q + stride * X : stride] += col[:, :, p, q]
    return padded[:, :, pad : H + pad, pad : W + pad]


def shuffle_dataset(x, t):
    order = np.random.permutation(x.shape[0])
    return x[order], t[order]


def smooth_curve(x):
    weights = np.kaiser(11, 2)
    mirrored = np.r_[x[10:0:-1], x, x[-1:-11:-1]]
    return np.convolve(weights / weights.sum(), mirrored, mode="valid")[5:-5]
