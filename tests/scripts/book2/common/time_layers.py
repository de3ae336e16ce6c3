"""Book 2's layers over time in plain NumPy, in our own words."""

import numpy as np
from books2_numpy import LSTM, RNN, Affine, Time, TimeEmbedding, TimeSoftmaxWithLoss, Weighted

__all__ = [
    "TimeAffine",
    "TimeDropout",
    "TimeEmbedding",
    "TimeLSTM",
    "TimeRNN",
    "TimeSoftmaxWithLoss",
    "np",
]

TimeAffine = Affine


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


class TimeDropout(Weighted):
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
