"""Book 2's language models in plain NumPy, step by step as the book teaches them: what scratchnet is held against.

Our own words; the plain `common` of tests/scripts/book2 is made of it. Every layer has params, grads, forward and
backward; states and losses are loops over time. The dtype is that of the weights.
"""

import importlib
import sys
from pathlib import Path

import numpy as np


def book(number: int, module: str = "layers"):
    """The plain NumPy layers that scripts are compared with."""
    folder = str(Path(__file__).parent / f"scripts/book{number}")

    def taken_out():
        return {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "common"}

    others, finders = taken_out(), sys.meta_path[:]
    sys.path.insert(0, folder)
    sys.meta_path[:] = [finder for finder in finders if getattr(finder, "__module__", "") != "scratchnet.dropin"]
    try:
        return importlib.import_module(f"common.{module}")
    finally:
        sys.path.remove(folder)
        sys.meta_path[:] = finders
        taken_out()
        sys.modules.update(others)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    z = np.exp(x - x.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


class Weighted:
    def __init__(self, *params):
        self.params = list(params)
        self.grads = [np.zeros_like(p) for p in params]

    def put(self, *grads):
        for kept, grad in zip(self.grads, grads, strict=True):
            kept[...] = grad


class Embedding(Weighted):
    def forward(self, idx):
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.idx, dout)


class MatMul(Weighted):
    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0])

    def backward(self, dout):
        self.put(np.dot(self.x.T, dout))
        return np.dot(dout, self.params[0].T)


class Affine(Weighted):
    def forward(self, xs):
        self.xs = xs
        return np.dot(xs.reshape(-1, xs.shape[-1]), self.params[0]).reshape(*xs.shape[:-1], -1) + self.params[1]

    def backward(self, dout):
        d, x = dout.reshape(-1, dout.shape[-1]), self.xs.reshape(-1, self.xs.shape[-1])
        self.put(np.dot(x.T, d), np.sum(d, axis=0))
        return np.dot(d, self.params[0].T).reshape(self.xs.shape)


class RNN(Weighted):
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


class LSTM(Weighted):
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


class GRU(Weighted):
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


class Time(Weighted):
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


class TimeEmbedding(Weighted):
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


class TimeSoftmaxWithLoss(Weighted):
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


class Rnnlm:
    """Embedding, recurrent layer, affine, loss: the book's language model."""

    def __init__(self, weights, step=LSTM, stateful=True):
        embed_W, Wx, Wh, b, affine_W, affine_b = weights
        self.layers = [TimeEmbedding(embed_W), Time(step, Wx, Wh, b, stateful), Affine(affine_W, affine_b)]
        self.loss = TimeSoftmaxWithLoss()
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]

    def forward(self, xs, ts):
        for layer in self.layers:
            xs = layer.forward(xs)
        return self.loss.forward(xs, ts)

    def backward(self):
        dout = self.loss.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)

    def reset_state(self):
        self.layers[1].states = None


def rnnlm_weights(V, D, H, gates=4, dtype=np.float64, rng=None):
    """Embedding, Wx, Wh, b, affine W and b, as the book scales them."""
    rn = np.random.default_rng(rng).standard_normal
    shapes = (V, D), (D, gates * H), (H, gates * H), (gates * H,), (H, V), (V,)
    scales = 0.01, D**-0.5, H**-0.5, 0, H**-0.5, 0
    return [(scale * rn(shape)).astype(dtype) for scale, shape in zip(scales, shapes, strict=True)]


def batches(corpus, batch_size, time_size):
    """Yield (xs, ts) as the book's RnnlmTrainer does, for ever: sequences that begin spread over the text."""
    x, t = corpus[:-1], corpus[1:]
    starts = [i * (len(x) // batch_size) for i in range(batch_size)]
    time = 0
    while True:
        xs, ts = np.empty((batch_size, time_size), int), np.empty((batch_size, time_size), int)
        for step in range(time_size):
            for i, start in enumerate(starts):
                xs[i, step], ts[i, step] = x[(start + time) % len(x)], t[(start + time) % len(x)]
            time += 1
        yield xs, ts


def clip_grads(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads))
    for g in grads:
        g *= min(1, max_norm / (norm + 1e-6))


def fit(model, corpus, *, lr, max_epoch, batch_size, time_size, max_grad=None, eval_interval=1):
    """Train in place with plain gradient descent; return the perplexities that the book's trainer would list."""
    steps = (len(corpus) - 1) // (batch_size * time_size)
    stream, window, perplexities = batches(corpus, batch_size, time_size), [], []
    for _ in range(max_epoch):
        for step in range(steps):
            window.append(model.forward(*next(stream)))
            model.backward()
            if max_grad is not None:
                clip_grads(model.grads, max_grad)
            for p, g in zip(model.params, model.grads, strict=True):
                p -= lr * g
            if step % eval_interval == 0:
                perplexities.append(np.exp(np.mean(window)))
                window = []
    return perplexities


def create_co_matrix(corpus, vocab_size, window_size=1):
    C = np.zeros((vocab_size, vocab_size), np.int32)
    for i, word in enumerate(corpus):
        for distance in range(1, window_size + 1):
            for j in (i - distance, i + distance):
                if 0 <= j < len(corpus):
                    C[word, corpus[j]] += 1
    return C


def ppmi(C, eps=1e-8):
    M, total, sums = np.zeros_like(C, dtype=np.float32), np.sum(C), np.sum(C, axis=0)
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            M[i, j] = max(0, np.log2(C[i, j] * total / (sums[j] * sums[i]) + eps))
    return M
