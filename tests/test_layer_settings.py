"""What layers take beside arrays, and what they say: numbers, word numbers, settings, losses, how they print."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_books import book1

from scratchnet import layers as layers2
from scratchnet import time_layers
from scratchnet.book1 import layers as layers1
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.gradient import gradient_check
from scratchnet.layers import Affine, Dropout, Embedding, Relu, Sigmoid, SoftmaxWithLoss
from scratchnet.models import TwoLayerNet

N, T, D, H, V = 3, 4, 5, 6, 7


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def kind(value):
    """What a test's value is, for its name."""
    return f"{type(value).__name__}{np.shape(value) or ''}"


# Numbers that NumPy broadcasts


@pytest.mark.parametrize(
    "gamma, beta",
    [
        (1, 0),
        (1.5, 0.5),
        (np.float32(2), np.int64(1)),
        (np.array([1.5]), np.array([0.5])),
        (np.array(1.5), np.array(0.5)),
        (randn(1, D), randn(1, D)),
        (randn(D), 0),
        (2, randn(D)),
    ],
    ids=kind,
)
def test_batch_normalization_by_a_number(gamma, beta):
    x, dout = randn(8, D), randn(8, D, seed=1)
    mine, theirs = layers1.BatchNormalization(gamma, beta), book1.layers.BatchNormalization(gamma, beta)
    np.testing.assert_allclose(mine.forward(x), theirs.forward(x), rtol=1e-12)
    np.testing.assert_allclose(mine.backward(dout), theirs.backward(dout), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mine.dgamma, theirs.dgamma, rtol=1e-12)
    np.testing.assert_allclose(mine.dbeta, theirs.dbeta, rtol=1e-12)
    assert mine.dgamma.shape == mine.dbeta.shape == (D,) and mine.gamma is gamma
    np.testing.assert_allclose(mine.forward(x, False), theirs.forward(x, False), rtol=1e-12)
    if not np.ndim(gamma) and not np.ndim(beta):
        assert mine.forward(x.astype(np.float32)).dtype == np.float32


BIASES = [0.0, 2, np.float32(1), np.array([0.5]), np.array(0.5), randn(1, H), randn(H)]


@pytest.mark.parametrize("b", BIASES, ids=kind)
def test_a_bias_that_numpy_broadcasts(b):
    W, x, dout = randn(D, H), randn(N, D), randn(N, H)
    mine, theirs = layers1.Affine(W, b), book1.layers.Affine(W, b)
    np.testing.assert_allclose(mine.forward(x), theirs.forward(x), rtol=1e-12)
    np.testing.assert_allclose(mine.backward(dout), theirs.backward(dout), rtol=1e-12)
    np.testing.assert_allclose(mine.dW, theirs.dW, rtol=1e-12)
    np.testing.assert_allclose(mine.db, theirs.db, rtol=1e-12)
    assert mine.db.shape == (H,) and mine.b is b
    second = Affine(W, b)
    np.testing.assert_array_equal(second.forward(x), mine.forward(x))
    if np.size(b) == 1:  # the book's grads[1][...] = db has no room either
        with pytest.raises(ValueError, match=r"Affine: grads\[1\] has shape \(1?,?\), expected \(6,\)"):
            second.backward(dout)
    else:
        second.backward(dout)
        np.testing.assert_array_equal(second.grads[1].reshape(H), mine.db)
        assert second.grads[1].shape == b.shape
    for cells, gates in ((time_layers.TimeRNN, 1), (time_layers.TimeLSTM, 4), (time_layers.TimeGRU, 3)):
        if np.ndim(b) == 0 or len(b) == 1:
            many = np.tile(b, gates) if np.size(b) > 1 else b
            weights = randn(D, gates * H), randn(H, gates * H)
            full = np.broadcast_to(np.asarray(many, float), (1, gates * H))[0].copy()
            xs = randn(N, T, D)
            np.testing.assert_array_equal(
                cells(*weights, many).forward(xs), cells(*weights, full).forward(xs), err_msg=cells.__name__
            )
    filters, images = randn(H, 2, 2, 2), randn(2, 2, 3, 3)
    mine, theirs = layers1.Convolution(filters, b), book1.layers.Convolution(filters, b)
    np.testing.assert_allclose(mine.forward(images), theirs.forward(images), rtol=1e-12, atol=1e-14)
    mine.backward(np.ones((2, H, 2, 2)))
    assert mine.db.tolist() == [8] * H


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_loss_is_a_number_of_numpy_s(dtype):
    x, t = randn(2, 3).astype(dtype), np.array([0, 2])
    losses = [SoftmaxWithLoss().forward(np.ones((0, 3), dtype), [])]
    for cls in (SoftmaxWithLoss, layers1.SoftmaxWithLoss):
        losses += [cls().forward(x, labels) for labels in (t, np.eye(3)[t], t.tolist())]
    for cls in (layers2.SigmoidWithLoss, time_layers.TimeSigmoidWithLoss):
        losses.append(cls().forward(x, x > 0))
    for cls in (time_layers.TimeSoftmaxWithLoss, time_layers.Simple_TimeSoftmaxWithLoss):
        losses.append(cls().forward(x[None], t[None]))
    models = TwoLayerNet(3, 4, 3), MultiLayerNet(3, [4], 3), MultiLayerNet(3, [4], 3, weight_decay_lambda=0.1)
    losses += [model.loss(x, t) for model in models]
    for loss in losses:
        assert type(loss) is np.float64
        assert loss.round(2) == round(float(loss), 2) and loss.item() == loss and loss.dtype == np.float64


# Word numbers, gradients, settings


@pytest.mark.parametrize("idx", [2**64 - 1, 2**64 - 7, 2**63, V, -V - 1])
@pytest.mark.parametrize("form", ["a number", "of NumPy", "in an array", "in a matrix", "in a list"])
@pytest.mark.parametrize("make", [Embedding, time_layers.TimeEmbedding])
def test_a_word_number_that_is_none(make, idx, form):
    dtype = np.uint64 if idx > 0 else np.int64
    given = {"a number": idx, "of NumPy": dtype(idx), "in an array": np.array([0, idx], dtype)}
    given |= {"in a matrix": np.array([[0], [idx]], dtype), "in a list": [idx]}
    layer = make(randn(V, D))
    if make is not Embedding and form in ("a number", "of NumPy"):
        form = "in a matrix"
    with pytest.raises(IndexError, match="Embedding: idx"):
        layer.forward(given[form])
    layer.idx = given[form]
    with pytest.raises(IndexError):
        layer.backward(np.ones((*np.shape(given[form]), D)))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.uint64, ">i8", ">u8"])
def test_word_numbers_of_every_dtype(dtype):
    layer, idx = Embedding(randn(V, D)), np.array([[0, 6], [3, 3]], dtype)
    np.testing.assert_array_equal(layer.forward(idx), layer.W[idx.astype(int)])
    layer.backward(np.ones((2, 2, D)))
    assert layer.grads[0][:, 0].tolist() == [1, 0, 0, 2, 0, 0, 1]


class Scores:
    """Scores of 10,000 words that depend on three numbers."""

    def __init__(self, loss_layer, words=10_000):
        self.params, self.grads = [randn(3) * 0.1], [np.zeros(3)]
        self.features, self.loss_layer, self.words = randn(3, 2 * words), loss_layer, words

    def forward(self, x, t):
        return self.loss_layer.forward((self.params[0] @ self.features).reshape(1, 2, self.words), t)

    def backward(self, dout=1):
        self.grads[0][...] = self.features @ self.loss_layer.backward(dout).reshape(-1)


@pytest.mark.parametrize("cls", [time_layers.TimeSoftmaxWithLoss, time_layers.Simple_TimeSoftmaxWithLoss])
def test_gradient_check_knows_which_loss_has_a_delta(cls):
    errors = gradient_check(Scores(cls()), np.zeros(2), np.array([[7, 9_999]]))
    assert errors["param0"] < 1e-6 if "param0" in errors else max(errors.values()) < 1e-6


BAD = {
    "a ratio of text": (lambda: Dropout("0.5"), "Dropout: dropout_ratio must be a number from 0 to 1, got '0.5'"),
    "a ratio that is None": (lambda: Dropout(None), "must be a number from 0 to 1, got None"),
    "ratios": (lambda: Dropout([0.5, 0.5]), "must be a number from 0 to 1"),
    "all of a sequence": (lambda: time_layers.TimeDropout(1.0), "below 1"),
    "a stride that is too large": (
        lambda: layers1.Pooling(2, 2, stride=2**70).forward(np.ones((1, 1, 4, 4))),
        "Pooling: stride must be at most 2147483647",
    ),
    "much padding": (
        lambda: layers1.Convolution(np.ones((1, 1, 2, 2)), 0, 1, 2**63).forward(np.ones((1, 1, 4, 4))),
        "Convolution: pad must be at most 2147483647",
    ),
    "a momentum of text": (lambda: layers1.BatchNormalization(1, 0, "a"), "momentum must be a number, got 'a'"),
    "no inputs": (
        lambda: MultiLayerNet(0, [3], 2),
        "MultiLayerNet: a size must be a positive integer",
    ),
    "half a unit": (lambda: MultiLayerNet(2, [1.5], 2), "a size must be a positive integer, got 1.5"),
    "one size": (lambda: MultiLayerNet(2, 3, 2), "hidden_size_list must be a list of sizes, got 3"),
    "activations": (lambda: MultiLayerNet(2, [3], 2, ["relu"]), "activation must be 'relu' or 'sigmoid'"),
    "no scale": (lambda: MultiLayerNet(2, [3], 2, weight_init_std=None), "weight_init_std must be a number"),
    "no decay": (lambda: MultiLayerNet(2, [3], 2, weight_decay_lambda="x"), "_lambda must be a number"),
    "gamma of text": (lambda: layers1.BatchNormalization("1", 0), "gamma must be a NumPy array"),
    "gamma of another size": (
        lambda: layers1.BatchNormalization(np.ones(2), 0).forward(np.ones((4, 3))),
        "expected rows of 2 values",
    ),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_settings_are_told_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("ratio", [7, -1, float("nan"), "0.5", None, 1j])
@pytest.mark.parametrize("make", [Dropout, time_layers.TimeDropout])
def test_a_ratio_that_is_set_later_is_looked_at(make, ratio):
    layer = make()
    layer.dropout_ratio = ratio
    with pytest.raises(ValueError, match="dropout_ratio must be a number from 0 to 1"):
        layer.forward(np.ones((2, 2)))


@pytest.mark.parametrize("dout", ["2", b"2", 10**400, 1j, None, [1, 2], np.ones(2), np.complex64(1)], ids=kind)
def test_what_a_loss_goes_back_by_is_a_number(dout):
    for layer, x, t in (
        (SoftmaxWithLoss(), randn(2, 3), [0, 1]),
        (layers1.SoftmaxWithLoss(), randn(2, 3), np.eye(3)[:2]),
        (time_layers.TimeSoftmaxWithLoss(), randn(1, 2, 3), [[0, 1]]),
        (layers2.SigmoidWithLoss(), randn(2), [0, 1]),
    ):
        layer.forward(x, t)
        with pytest.raises(ValueError, match="dout must be a number"):
            layer.backward(dout)
        np.testing.assert_array_equal(layer.backward(np.array([2.0])), layer.backward(2))


def test_a_number_that_is_no_gradient():
    for layer in (Affine(randn(D, H), randn(H)), Sigmoid(), Relu(), Dropout()):
        layer.forward(randn(N, D))
        for dout in (10**400, np.complex64(1)):
            with pytest.raises(ValueError, match="dout must be a number"):
                layer.backward(dout)


# How they are printed


def test_layers_and_models_say_what_they_are():
    f = np.float32
    assert repr(Affine(np.ones((784, 50), f), np.ones(50, f))) == "Affine(W=(784, 50), b=(50,), dtype=float32)"
    assert repr(layers1.BatchNormalization(1, 0)) == "BatchNormalization(gamma=1, beta=0, momentum=0.9)"
    assert repr(layers1.Pooling(2, 3)) == "Pooling(pool_h=2, pool_w=3, stride=2, pad=0)"
    assert repr(Dropout(f(0.25))) == "Dropout(dropout_ratio=0.25)" and repr(Relu()) == "Relu()"
    lstm = time_layers.TimeLSTM(np.ones((3, 8)), np.ones((2, 8)), np.ones(8, f), stateful=True)
    assert repr(lstm) == "TimeLSTM(Wx=(3, 8), Wh=(2, 8), b=(8,), stateful=True, dtype=float64/float32)"
    assert repr(TwoLayerNet(2, 10, 3)) == (
        "TwoLayerNet(layers=[Affine(W=(2, 10), b=(10,), dtype=float32), Sigmoid(), "
        "Affine(W=(10, 3), b=(3,), dtype=float32)], loss_layer=SoftmaxWithLoss())"
    )
    assert "Affine2: Affine(W=(4, 3), b=(3,), dtype=float64)" in repr(MultiLayerNet(2, [4], 3))
    many = repr(MultiLayerNet(2, [4] * 99, 3))
    assert "..." in many and len(many) < 1000


@pytest.mark.parametrize("module", [layers1, layers2, time_layers])
def test_a_half_made_layer_can_be_printed(module):
    """Also a subclass whose attributes raise."""
    for name, cls in vars(module).items():
        if isinstance(cls, type) and issubclass(cls, layers2.Layer):
            broken = type(cls.__name__, (cls,), {n: property(lambda self: 1 / 0) for n in ("W", "b", "Wx")})
            for layer in (cls.__new__(cls), broken.__new__(broken)):
                assert repr(layer).startswith(f"{cls.__name__}("), name
    own = TwoLayerNet(2, 3, 2)
    own.layers.append(own)
    assert repr(own).startswith("TwoLayerNet(") and repr(TwoLayerNet.__new__(TwoLayerNet)) == "TwoLayerNet()"
