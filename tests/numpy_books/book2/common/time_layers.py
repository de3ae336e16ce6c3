"""Book 2's recurrent layers: a step, and whole sequences as a loop over the steps."""

import numpy as np

from numpy_books.functions import sigmoid, softmax

from .layers import Embedding, Layer

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TimeAffine",
    "TimeDropout",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
    "TimeSoftmaxWithLoss",
    "np",
]


class RNN(Layer):
    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        self.cache = x, h_prev, np.tanh(np.dot(h_prev, Wh) + np.dot(x, Wx) + b)
        return (self.cache[-1],)

    def backward(self, dh):
        Wx, Wh, _ = self.params
        x, h_prev, h = self.cache
        dA = dh * (1 - h**2)
        self.put(np.dot(x.T, dA), np.dot(h_prev.T, dA), np.sum(dA, axis=0))
        return np.dot(dA, Wx.T), np.dot(dA, Wh.T)


class LSTM(Layer):
    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        A, H = np.dot(x, Wx) + np.dot(h_prev, Wh) + b, h_prev.shape[1]
        f, g = sigmoid(A[:, :H]), np.tanh(A[:, H : 2 * H])
        i, o = sigmoid(A[:, 2 * H : 3 * H]), sigmoid(A[:, 3 * H :])
        c = f * c_prev + g * i
        h = o * np.tanh(c)
        self.cache = x, h_prev, c_prev, f, g, i, o, c
        return h, c

    def backward(self, dh, dc):
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, f, g, i, o, c = self.cache
        tanh_c = np.tanh(c)
        s = dc + dh * o * (1 - tanh_c**2)
        dA = np.hstack(
            (s * c_prev * f * (1 - f), s * i * (1 - g**2), s * g * i * (1 - i), dh * tanh_c * o * (1 - o))
        )
        self.put(np.dot(x.T, dA), np.dot(h_prev.T, dA), dA.sum(axis=0))
        return np.dot(dA, Wx.T), np.dot(dA, Wh.T), s * f


class GRU(Layer):
    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        H = len(Wh)
        A = np.dot(x, Wx) + b
        z = sigmoid(A[:, :H] + np.dot(h_prev, Wh[:, :H]))
        r = sigmoid(A[:, H : 2 * H] + np.dot(h_prev, Wh[:, H : 2 * H]))
        h_hat = np.tanh(A[:, 2 * H :] + np.dot(r * h_prev, Wh[:, 2 * H :]))
        self.cache = x, h_prev, z, r, h_hat
        return ((1 - z) * h_prev + z * h_hat,)

    def backward(self, dh):
        Wx, Wh, _ = self.params
        x, h_prev, z, r, h_hat = self.cache
        H = len(Wh)
        d_hat = dh * z * (1 - h_hat**2)
        drh = np.dot(d_hat, Wh[:, 2 * H :].T)
        dz, dr = dh * (h_hat - h_prev) * z * (1 - z), drh * h_prev * r * (1 - r)
        dh_prev = dh * (1 - z) + drh * r + np.dot(dz, Wh[:, :H].T) + np.dot(dr, Wh[:, H : 2 * H].T)
        dA = np.hstack((dz, dr, d_hat))
        dWh = np.hstack((np.dot(h_prev.T, dz), np.dot(h_prev.T, dr), np.dot((r * h_prev).T, d_hat)))
        self.put(np.dot(x.T, dA), dWh, dA.sum(axis=0))
        return np.dot(dA, Wx.T), dh_prev


class Time(Layer):
    """A recurrent layer over whole sequences: one step's layer for each time step."""

    def __init__(self, step, Wx, Wh, b, stateful=False):
        super().__init__(Wx, Wh, b)
        self.step, self.stateful, self.states = step, stateful, None

    def forward(self, xs):
        N, T, _ = xs.shape
        Wh = self.params[1]
        if not self.stateful or self.states is None:
            zeros = np.zeros((N, len(Wh)), Wh.dtype)
            self.states = (zeros, zeros) if self.step is LSTM else (zeros,)
        self.layers = []
        hs = np.empty((N, T, len(Wh)), Wh.dtype)
        for t in range(T):
            layer = self.step(*self.params)
            self.states = layer.forward(xs[:, t], *self.states)
            hs[:, t] = self.states[0]
            self.layers.append(layer)
        return hs

    def backward(self, dhs):
        N, T, _ = dhs.shape
        Wx = self.params[0]
        dxs = np.empty((N, T, len(Wx)), Wx.dtype)
        grads = [np.zeros_like(p) for p in self.params]
        states = [np.zeros_like(dhs[:, 0]) for _ in self.states]
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, *states = layer.backward(dhs[:, t] + states[0], *states[1:])
            dxs[:, t] = dx
            for total, grad in zip(grads, layer.grads, strict=True):
                total += grad
        self.put(*grads)
        self.dh = states[0]
        return dxs


class TimeRNN(Time):
    def __init__(self, Wx, Wh, b, stateful=False):
        super().__init__(RNN, Wx, Wh, b, stateful)

    def set_state(self, h):
        self.states = (h,)

    def reset_state(self):
        self.states = None


class TimeLSTM(TimeRNN):
    def __init__(self, Wx, Wh, b, stateful=False):
        super().__init__(Wx, Wh, b, stateful)
        self.step = LSTM

    def set_state(self, h, c=None):
        self.states = h, np.zeros_like(h) if c is None else c


class TimeGRU(TimeRNN):
    def __init__(self, Wx, Wh, b, stateful=False):
        super().__init__(Wx, Wh, b, stateful)
        self.step = GRU


class TimeEmbedding(Layer):
    def forward(self, xs):
        self.layers = []
        out = np.empty((*xs.shape, self.params[0].shape[1]), self.params[0].dtype)
        for t in range(xs.shape[1]):
            layer = Embedding(self.params[0])
            out[:, t] = layer.forward(xs[:, t])
            self.layers.append(layer)
        return out

    def backward(self, dout):
        total = 0
        for t, layer in enumerate(self.layers):
            layer.backward(dout[:, t])
            total = total + layer.grads[0]
        self.put(total)


class TimeAffine(Layer):
    def forward(self, xs):
        self.xs = xs
        return np.dot(xs.reshape(-1, xs.shape[-1]), self.params[0]).reshape(*xs.shape[:-1], -1) + self.params[1]

    def backward(self, dout):
        d, x = dout.reshape(-1, dout.shape[-1]), self.xs.reshape(-1, self.xs.shape[-1])
        self.put(np.dot(x.T, d), np.sum(d, axis=0))
        return np.dot(d, self.params[0].T).reshape(self.xs.shape)


class TimeDropout(Layer):
    def __init__(self, dropout_ratio=0.5):
        super().__init__()
        self.ratio, self.train_flg = dropout_ratio, True

    def forward(self, xs):
        if not self.train_flg:
            return xs
        kept = np.random.rand(*xs.shape) > self.ratio
        self.mask = kept.astype(xs.dtype) * xs.dtype.type(1 / (1 - self.ratio))
        return xs * self.mask

    def backward(self, dout):
        return dout * self.mask


class TimeSoftmaxWithLoss(Layer):
    def forward(self, xs, ts):
        rows, labels = xs.reshape(-1, xs.shape[-1]), ts.reshape(-1)
        mask = labels != -1
        y = softmax(rows)
        loss = -np.sum(np.log(y[np.arange(len(y)), labels]) * mask) / mask.sum()
        self.cache = y, labels, mask, xs.shape
        return loss

    def backward(self, dout=1):
        y, labels, mask, shape = self.cache
        dx = y.copy()
        dx[np.arange(len(y)), labels] -= 1
        dx *= dout
        dx /= mask.sum()
        dx *= mask[:, np.newaxis]
        return dx.reshape(shape)
