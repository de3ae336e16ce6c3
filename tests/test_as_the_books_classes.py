"""What the books' classes allow and show: layers may be extended, restored and looked into as theirs."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from numpy_books import book1, book2
from numpy_books.functions import softmax

from scratchnet import layers as layers2
from scratchnet import time_layers
from scratchnet.book1 import layers as layers1
from scratchnet.layers import Affine, Dropout, Embedding, MatMul, Relu, Sigmoid, Softmax, SoftmaxWithLoss

N, T, D, H, V = 3, 4, 5, 6, 7


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# Whose changes of an array a layer notices

IMAGES = (2, 3, 6, 5)
PAIRS = {
    "Relu": (layers1.Relu, book1.layers.Relu, (), (N, D)),
    "Sigmoid": (Sigmoid, book2.layers.Sigmoid, (), (N, D)),
    "Softmax": (Softmax, book2.layers.Softmax, (), (N, D)),
    "MatMul": (MatMul, book2.layers.MatMul, ((D, H),), (N, D)),
    "Affine": (Affine, book2.layers.Affine, ((D, H), (H,)), (N, D)),
    "TimeAffine": (time_layers.TimeAffine, book2.time_layers.TimeAffine, ((D, H), (H,)), (N, T, D)),
    "Affine of book 1": (layers1.Affine, book1.layers.Affine, ((D, H), (H,)), (N, D)),
    "Affine of images": (layers1.Affine, book1.layers.Affine, ((90, H), (H,)), IMAGES),
    "BatchNormalization": (layers1.BatchNormalization, book1.layers.BatchNormalization, ((D,), (D,)), (N, D)),
    "Convolution": (layers1.Convolution, book1.layers.Convolution, ((4, 3, 2, 2), (4,)), IMAGES),
    "Pooling": (lambda: layers1.Pooling(2, 2), lambda: book1.layers.Pooling(2, 2), (), IMAGES),
    "Dropout": (Dropout, book1.layers.Dropout, (), (N, D)),
    "TimeDropout": (time_layers.TimeDropout, book2.time_layers.TimeDropout, (), (N, T, D)),
}


def numbers_of(make, shapes, x_shape, change):
    """All that backward gives after an array was changed behind the layer's back."""
    weights, x = [randn(*shape, seed=i) for i, shape in enumerate(shapes)], randn(*x_shape, seed=9)
    layer = make(*weights)
    np.random.seed(3)
    out = layer.forward(x)
    dout = randn(*out.shape, seed=5)
    if change == "what forward was given":
        x += 5
    elif change == "what forward returned":
        out -= 5
    elif change == "the weights":
        for W in weights:
            W *= 2
    dx = layer.backward(dout.copy())
    named = [getattr(layer, name) for name in ("dW", "db", "dgamma", "dbeta") if hasattr(layer, name)]
    return [dx, *(named or getattr(layer, "grads", []))]


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize(
    "change", ["nothing", "what forward was given", "what forward returned", "the weights"], ids=str
)
@pytest.mark.parametrize("name", PAIRS)
def test_a_change_behind_the_layer_s_back_counts_where_it_does_in_the_book(name, change):
    ours, theirs, shapes, x_shape = PAIRS[name]
    mine, expected = (numbers_of(make, shapes, x_shape, change) for make in (ours, theirs))
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_residual_connection_takes_relu_s_own_input():
    layer, h = Relu(), np.array([[-1.0, 2.0]])
    layer.forward(h)
    h += 5
    assert layer.backward(1).tolist() == [[0, 1]]
    assert layer.mask.dtype == bool and layer.mask.tolist() == [[True, False]]


@pytest.mark.parametrize("flavour, one_hot", [(layers2, False), (layers1, False), (layers1, True)], ids=str)
def test_labels_that_are_changed_after_forward(flavour, one_hot):
    t = np.eye(D)[[0, 1, 2]] if one_hot else np.array([0, 1, 2])
    mine, theirs = flavour.SoftmaxWithLoss(), book1.layers.SoftmaxWithLoss()
    for layer in (mine, theirs):
        layer.forward(randn(N, D), t)
    t[...] = np.roll(t, 1, axis=0)
    np.testing.assert_allclose(mine.backward(), theirs.backward(), atol=1e-14)


def test_word_numbers_that_are_changed_after_forward():
    idx = np.array([[0, 1], [2, 2]])
    mine, theirs = Embedding(randn(V, D)), book2.layers.Embedding(randn(V, D))
    for layer in (mine, theirs):
        layer.forward(idx)
    idx[0] = 5
    for layer in (mine, theirs):
        layer.backward(np.ones((2, 2, D)))
    np.testing.assert_array_equal(mine.grads[0], theirs.grads[0])


# Subclasses that set what the books' classes let them set


class LeakyMask(Relu):
    def forward(self, x):
        self.mask = x <= 1
        return np.where(self.mask, 0, x)


class BoolDropout(Dropout):
    def forward(self, x, train_flg=True):
        self.mask = x > 0
        return x * self.mask


class OwnTanh(Sigmoid):
    def forward(self, x):
        self.out = np.asfortranarray(x)
        return self.out


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("init", ["the layer's", "none"])
def test_a_mask_that_a_subclass_sets(dtype, init):
    x = np.array([[-1, 0.5, 2]], dtype)
    for cls in (LeakyMask, BoolDropout):
        layer = cls() if init == "the layer's" else cls.__new__(cls)
        layer.forward(x)
        dx = layer.backward(np.array([[1, 2, 3]], dtype))
        assert dx.dtype == dtype and dx.tolist() == ([[0, 0, 3]] if cls is LeakyMask else [[0, 2, 3]])
    layer = Relu()
    layer.mask = np.array([1, 2])
    with pytest.raises(ValueError, match="Relu: mask must be an array of bool, got dtype int64"):
        layer.backward(np.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mask_s_backward_has_the_gradient_s_dtype(dtype):
    layer = Relu()
    layer.forward(np.ones((2, 2), np.float32))
    assert layer.backward(np.ones((2, 2), dtype)).dtype == dtype


def test_an_output_that_a_subclass_sets():
    layer, out = OwnTanh(), randn(4, 3)
    layer.forward(out)
    np.testing.assert_allclose(layer.backward(np.ones((4, 3))), (1 - out) * out, rtol=1e-12)
    for cls in (SoftmaxWithLoss, layers1.SoftmaxWithLoss):
        for t in (np.array([0, 1, 2, 1]), np.array([0, 1, 2, 1], np.uint8), [0, 1, 2, 1]):
            loss = cls.__new__(cls)
            loss.y, loss.t = np.asfortranarray(out), t
            np.testing.assert_allclose(loss.backward(), (out - np.eye(3)[[0, 1, 2, 1]]) / 4, rtol=1e-12)


class OnlyW1(layers1.Affine):
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x, self.original_x_shape = x, x.shape
        return x @ self.W


class OnlyW2(Affine):
    def __init__(self, W):
        self.W = W


class BackToFront(Affine):
    def __init__(self, W, b):
        self.b = b
        self.W = W
        self.kept = self.W, self.b


def test_a_subclass_of_affine_with_an_init_of_its_own():
    W, b, x = randn(D, H), randn(H), randn(N, D)
    first = OnlyW1(W)
    assert first.forward(x).shape == (N, H) and first.W is W
    np.testing.assert_allclose(first.backward(np.ones((N, H))), np.ones((N, H)) @ W.T)
    np.testing.assert_allclose(first.dW, x.T @ np.ones((N, H)))
    assert first.db.tolist() == [N] * H
    second = OnlyW2(W)
    np.testing.assert_allclose(second.forward(x), x @ W)
    second.backward(np.ones((N, H)))
    np.testing.assert_array_equal(second.grads[0], first.dW)
    assert second.params[0] is W and not hasattr(second, "b")
    third = BackToFront(W, b)
    np.testing.assert_allclose(third.forward(x), x @ W + b)
    third.backward(np.ones((N, H)))
    assert third.params[0] is W and third.params[1] is b and third.grads[1].tolist() == [N] * H
    assert repr(first) == "OnlyW1(W=(5, 6), dtype=float64)"


# Objects that were pickled as the books' classes


class OfTheBook:
    """Stands for the reader's `common.layers`, under whose name scratchnet's class is found later."""


def restored(cls, by: str, **state):
    """An object of one of our classes with the attributes that the book's class gave it."""
    if by == "attributes":
        layer = cls.__new__(cls)
        vars(layer).update(state)
        return layer
    layer = OfTheBook()
    vars(layer).update(state)

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            return cls if name == "OfTheBook" else super().find_class(module, name)

    return Reader(io.BytesIO(pickle.dumps(layer))).load()


W, B = randn(D, H), randn(H)
RESTORED = {
    "Affine of book 1": (layers1.Affine, dict(W=W, b=B, x=None, original_x_shape=None, dW=None, db=None), (N, D)),
    "Affine": (Affine, dict(params=[W, B], grads=[W * 0, B * 0], x=None), (N, D)),
    "MatMul": (MatMul, dict(params=[W], grads=[W * 0], x=None), (N, D)),
    "Relu": (Relu, dict(mask=None), (N, D)),
    "Relu without anything": (Relu, {}, (N, D)),
    "Sigmoid of book 1": (Sigmoid, dict(out=None), (N, D)),
    "Softmax": (Softmax, dict(params=[], grads=[], out=None), (N, D)),
    "Dropout": (Dropout, dict(dropout_ratio=0.5, mask=None), (N, D)),
    "BatchNormalization": (
        layers1.BatchNormalization,
        dict(gamma=np.ones(D), beta=np.ones(D), momentum=0.9, input_shape=None, running_mean=None)
        | dict(running_var=None, batch_size=None, xc=None, std=None, dgamma=None, dbeta=None),
        (N, D),
    ),
    "Convolution": (
        layers1.Convolution,
        dict(W=randn(2, 3, 2, 2), b=np.ones(2), stride=1, pad=0, x=None, col=None, col_W=None, dW=None, db=None),
        IMAGES,
    ),
    "Pooling": (layers1.Pooling, dict(pool_h=2, pool_w=2, stride=2, pad=0, x=None, arg_max=None), IMAGES),
    "RNN's sequence": (
        time_layers.TimeRNN,
        dict(params=[W, randn(H, H), B], grads=[W * 0, randn(H, H), B * 0], layers=None, h=None, dh=None)
        | dict(stateful=False),
        (N, T, D),
    ),
    "LSTM's sequence": (
        time_layers.TimeLSTM,
        dict(params=[randn(D, 8), randn(2, 8), randn(8)], grads=[randn(D, 8), randn(2, 8), randn(8)])
        | dict(layers=[], h=None, c=None, dh=None, stateful=True),
        (N, T, D),
    ),
    "TimeDropout": (
        time_layers.TimeDropout,
        dict(params=[], grads=[], dropout_ratio=0.5, mask=None, train_flg=True),
        (N, T, D),
    ),
}


@pytest.mark.parametrize("by", ["pickle", "attributes"])
@pytest.mark.parametrize("name", RESTORED)
def test_an_object_of_the_book_s_class_goes_on_as_ours(name, by):
    cls, state, shape = RESTORED[name]
    state = copy.deepcopy(state)
    layer = restored(cls, by, **state)
    assert cls.__name__ in repr(layer)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(1)
    x = randn(*shape)
    out = layer.forward(x)
    dx = layer.backward(np.ones_like(out))
    assert dx.shape == x.shape and np.isfinite(dx).all()
    for name in ("W", "b", "gamma"):
        if name in state:
            assert getattr(layer, name) is not None
            assert getattr(layer, f"d{name}").shape == state[name].shape
    assert all(grad.any() for grad in (layer.grads if "params" in state else ()))
    if hasattr(type(layer), "layers"):
        assert len(layer.layers) == T


def test_losses_and_gru_of_the_books_classes():
    for cls, state in (
        (SoftmaxWithLoss, dict(params=[], grads=[], y=None, t=None)),
        (layers1.SoftmaxWithLoss, dict(loss=None, y=None, t=None)),
        (time_layers.TimeSoftmaxWithLoss, dict(params=[], grads=[], cache=None, ignore_label=-1)),
        (time_layers.Simple_TimeSoftmaxWithLoss, dict(params=[], grads=[], cache=None)),
    ):
        layer, fresh, x, t = restored(cls, "attributes", **state), cls(), randn(N, T, V), randn(N, T) > 0
        assert layer.forward(x, t.astype(int)) == fresh.forward(x, t.astype(int))
        np.testing.assert_array_equal(layer.backward(), fresh.backward())
    weights = dict(Wx=randn(D, 3 * H), Wh=randn(H, 3 * H))
    gru = restored(
        time_layers.TimeGRU, "pickle", **weights, dWh=None, layers=None, h=None, dh=None, stateful=False
    )
    plain = time_layers.TimeGRU(*weights.values())
    np.testing.assert_array_equal(gru.forward(randn(N, T, D)), plain.forward(randn(N, T, D)))
    gru.backward(np.ones((N, T, H)))
    assert gru.dWx.shape == (D, 3 * H) and gru.dWx.any() and gru.dWh is gru.grads[1]


def test_our_own_layers_keep_their_arrays_through_pickle_and_copies():
    affine, lstm = Affine(W.copy(), B.copy()), time_layers.TimeLSTM(randn(D, 8), randn(2, 8), randn(8))
    affine.forward(randn(N, D))
    lstm.forward(randn(N, T, D))
    for make in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(make(affine).backward(np.ones((N, H))), affine.backward(np.ones((N, H))))
        np.testing.assert_array_equal(make(lstm).backward(np.ones((N, T, 2))), lstm.backward(np.ones((N, T, 2))))
    shallow = copy.copy(affine)
    assert shallow.W is affine.W and shallow.params is affine.params


# What readers look at


def test_what_book_1_s_layers_keep():
    x, theirs = randn(*IMAGES), book1.layers.Convolution(randn(4, 3, 3, 2), randn(4), 2, 1)
    layer = layers1.Convolution(theirs.W, theirs.b, 2, 1)
    assert layer.col is layer.col_W is layer.x is layer.dW is None
    for each in (layer, theirs):
        each.forward(x)
    assert layer.x is x
    np.testing.assert_array_equal(layer.col, theirs.col)
    np.testing.assert_array_equal(layer.col_W, theirs.filters)
    layer.col = "mine"
    assert layer.col == "mine"
    layer.forward(x)
    np.testing.assert_array_equal(layer.col, theirs.col)

    pooling, plain = layers1.Pooling(2, 3, 1), book1.layers.Pooling(2, 3, 1)
    assert pooling.x is pooling.arg_max is None
    for each in (pooling, plain):
        each.forward(x)
    np.testing.assert_array_equal(pooling.arg_max, plain.best)
    assert pooling.x is x
    taken = layers1.Pooling(2, 3, 1)  # as a subclass with a forward of its own would leave it
    taken.x, taken.arg_max = x, plain.best
    dout = randn(2, 3, 5, 3)
    np.testing.assert_array_equal(taken.backward(dout), pooling.backward(dout))

    x = randn(8, D)
    norm, same = (
        layers1.BatchNormalization(randn(D), randn(D)),
        book1.layers.BatchNormalization(randn(D), randn(D)),
    )
    assert norm.xc is norm.batch_size is norm.std is norm.dgamma is norm.input_shape is None
    for each in (norm, same):
        each.forward(x)
    np.testing.assert_allclose(norm.xc, x - x.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(norm.xn, same.xn, rtol=1e-12)
    np.testing.assert_allclose(norm.std, same.std, rtol=1e-12)
    assert norm.batch_size == 8 and norm.input_shape == (8, D)

    affine, loss = layers1.Affine(randn(90, H), B), layers1.SoftmaxWithLoss()
    assert affine.x is affine.dW is affine.db is affine.original_x_shape is loss.loss is loss.y is loss.t is None
    images, t = randn(*IMAGES), np.eye(H)[[0, 1]]
    assert loss.forward(affine.forward(images), t) == loss.loss
    assert loss.t is t and loss.y.shape == (2, H)
    assert affine.x.base is images and affine.original_x_shape == IMAGES


@pytest.mark.parametrize("name, gates", [("RNN", 1), ("LSTM", 4), ("GRU", 3)])
def test_what_book_2_s_recurrent_layers_keep(name, gates):
    weights = randn(D, gates * H), randn(H, gates * H), randn(gates * H)
    layer, theirs = getattr(time_layers, f"Time{name}")(*weights), getattr(book2.time_layers, name)
    assert layer.layers is layer.h is layer.dh is None and layer.stateful is False
    sequence, xs, dhs = book2.time_layers.Time(theirs, *weights), randn(N, T, D), randn(N, T, H)
    for each in (layer, sequence):
        each.forward(xs)
    assert [len(step.cache) for step in layer.layers] == [{"RNN": 3, "LSTM": 8, "GRU": 5}[name]] * T
    for each in (layer, sequence):
        each.backward(dhs)
    assert len(layer.layers) == T and all(type(s) is getattr(time_layers, name) for s in layer.layers)
    order = {"LSTM": [0, 1, 2, 5, 3, 4, 6, 7]}.get(name, range(5))  # the test's own book keeps f, g, i, o
    for mine, plain in zip(layer.layers, sequence.layers, strict=True):
        for i, value in enumerate(mine.cache):
            np.testing.assert_allclose(value, plain.cache[order[i]], rtol=1e-10, atol=1e-12)
        for a, b in zip(mine.grads, plain.grads, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    step = getattr(time_layers, name)(*weights)
    assert step.cache is None
    step.forward(*([xs[:, 0]] + [randn(N, H)] * (2 if name == "LSTM" else 1)))
    other = getattr(time_layers, name)(*weights)
    other.cache = step.cache  # as a subclass with a forward of its own would leave it
    ends = [randn(N, H)] * (2 if name == "LSTM" else 1)
    for a, b in zip(other.backward(*ends), step.backward(*ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_what_book_2_s_other_layers_over_time_keep():
    words, dout = np.array([[0, 1, 1], [2, 0, 2]]), randn(2, 3, D)
    embedding = time_layers.TimeEmbedding(randn(V, D))
    assert embedding.layers is None and embedding.W is embedding.params[0]
    embedding.forward(words)
    embedding.backward(dout)
    assert [layer.idx.tolist() for layer in embedding.layers] == words.T.tolist()
    np.testing.assert_allclose(sum(layer.grads[0] for layer in embedding.layers), embedding.grads[0], atol=1e-14)
    affine = time_layers.Simple_TimeAffine(W, B)
    affine.forward(randn(N, T, D))
    affine.backward(np.ones((N, T, H)))
    assert len(affine.layers) == T and affine.dW is affine.grads[0] and affine.db.tolist() == [N * T] * H
    loss, xs, ts = time_layers.TimeSoftmaxWithLoss(), randn(2, 3, V), np.array([[0, -1, 2], [3, 4, -1]])
    assert loss.cache is None
    loss.forward(xs, ts)
    t, y, counts, shape = loss.cache
    assert t.tolist() == ts.reshape(-1).tolist() and counts.tolist() == (ts.reshape(-1) != -1).tolist()
    np.testing.assert_allclose(y, softmax(xs.reshape(6, V)), rtol=1e-12)
    assert shape == xs.shape
    other = time_layers.TimeSoftmaxWithLoss()
    other.cache = loss.cache
    np.testing.assert_allclose(other.backward(), loss.backward(), rtol=1e-12)
    simple = time_layers.Simple_TimeSoftmaxWithLoss()
    simple.forward(xs, np.abs(ts))
    steps, seen = simple.cache
    assert len(steps) == 3 and seen is xs and steps[0].y.shape == (2, V) and steps[1].t.tolist() == [1, 4]
    yes = time_layers.TimeSigmoidWithLoss()
    assert yes.xs_shape is yes.layers is None
    yes.forward(randn(2, 3), np.ones((2, 3), int))
    assert yes.xs_shape == (2, 3) and len(yes.layers) == 3 and yes.layers[0].t.tolist() == [1, 1]
    second = layers2.SigmoidWithLoss()
    assert second.loss is None and second.forward(randn(3), [0, 1, 1]) == second.loss
