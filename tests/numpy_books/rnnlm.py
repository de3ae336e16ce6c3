"""Book 2's language model, and a fit of it as the book's RnnlmTrainer makes one."""

import numpy as np
from chain_model import Chain

from .book2.common.time_layers import LSTM, Time, TimeAffine, TimeEmbedding, TimeSoftmaxWithLoss
from .book2.common.trainer import RnnlmTrainer
from .optimizers import SGD


class Rnnlm(Chain):
    """Embedding, recurrent layer, affine, loss: the book's language model."""

    def __init__(self, weights, step=LSTM, stateful=True):
        embed_W, Wx, Wh, b, affine_W, affine_b = weights
        layers = [TimeEmbedding(embed_W), Time(step, Wx, Wh, b, stateful), TimeAffine(affine_W, affine_b)]
        super().__init__(layers, TimeSoftmaxWithLoss())

    def reset_state(self):
        self.layers[1].states = None


def weights(V, D, H, gates=4, dtype=np.float64, rng=None):
    """Embedding, Wx, Wh, b, affine W and b, as the book scales them."""
    rn = np.random.default_rng(rng).standard_normal
    shapes = (V, D), (D, gates * H), (H, gates * H), (gates * H,), (H, V), (V,)
    scales = 0.01, D**-0.5, H**-0.5, 0, H**-0.5, 0
    return [(scale * rn(shape)).astype(dtype) for scale, shape in zip(scales, shapes, strict=True)]


def fit(model, corpus, *, lr, max_epoch, batch_size, time_size, max_grad=None, eval_interval=1):
    """Train in place with plain gradient descent; return the perplexities of the book's trainer."""
    trainer = RnnlmTrainer(model, SGD(lr))
    trainer.fit(corpus[:-1], corpus[1:], max_epoch, batch_size, time_size, max_grad, eval_interval, verbose=False)
    return trainer.ppl_list
