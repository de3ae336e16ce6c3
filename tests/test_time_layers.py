"""Book 2's layers for text: gradients, what they share with the book's own code, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from chain_model import Chain
from differences import assert_gradient, central_differences
from numpy_books import book2, rnnlm

from scratchnet.layers import Dropout, Embedding
from scratchnet.time_layers import (
    GRU,
    LSTM,
    RNN,
    Simple_TimeAffine,
    Simple_TimeSoftmaxWithLoss,
    TimeAffine,
    TimeBiLSTM,
    TimeDropout,
    TimeEmbedding,
    TimeGRU,
    TimeLSTM,
    TimeRNN,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
)

N, T, D, H, V = 3, 4, 5, 6, 7
CELLS = {
    "RNN": (RNN, TimeRNN, book2.time_layers.RNN, 1),
    "LSTM": (LSTM, TimeLSTM, book2.time_layers.LSTM, 4),
    "GRU": (GRU, TimeGRU, book2.time_layers.GRU, 3),
}
cells = pytest.mark.parametrize("step, sequence, books, gates", CELLS.values(), ids=CELLS)


def randn(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def weights(gates, dtype=np.float64, seed=0):
    return [
        randn(D, gates * H, dtype=dtype, seed=seed),
        randn(H, gates * H, dtype=dtype, seed=seed),
        randn(gates * H, dtype=dtype, seed=seed),
    ]


# Gradients against central differences

SEQUENCES = {
    "TimeRNN": lambda: TimeRNN(*weights(1)),
    "TimeLSTM": lambda: TimeLSTM(*weights(4)),
    "TimeGRU": lambda: TimeGRU(*weights(3)),
    "TimeGRU without bias": lambda: TimeGRU(*weights(3)[:2]),
    "TimeBiLSTM": lambda: TimeBiLSTM(*weights(4), *weights(4, seed=1)),
    "TimeAffine": lambda: TimeAffine(randn(D, H), randn(H)),
    "Simple_TimeAffine": lambda: Simple_TimeAffine(randn(D, H), randn(H)),
}


@pytest.mark.parametrize("make", SEQUENCES.values(), ids=SEQUENCES)
def test_gradients_over_sequences(make):
    layer, xs = make(), randn(N, T, D, seed=1)
    dout = randn(*layer.forward(xs).shape, seed=2)

    def weighted_output():
        return float(np.sum(layer.forward(xs) * dout))

    expected = [central_differences(weighted_output, a) for a in (xs, *layer.params)]
    layer.forward(xs)
    grads = list(layer.grads)
    dxs = layer.backward(dout)
    for analytic, numeric in zip((dxs, *layer.grads), expected, strict=True):
        assert_gradient(analytic, numeric)
    assert all(a is b for a, b in zip(grads, layer.grads, strict=True))


@cells
@pytest.mark.parametrize("form", ["arrays", "lists", "other dtypes", "every second column"])
def test_a_step_takes_its_arguments_in_any_form(step, sequence, books, gates, form):
    """The short way for arrays that a kernel takes as they lie, and the general way, give the same."""
    given = {
        "arrays": lambda a: a,
        "lists": lambda a: a.tolist(),
        "other dtypes": lambda a: a.astype(np.float32),
        "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    }[form]
    count = 2 if step is LSTM else 1
    values = [randn(N, D, seed=1), *(randn(N, H, seed=3 + k) for k in range(count))]
    douts = [randn(N, H, seed=5 + k) for k in range(count)]
    if form == "other dtypes":
        values, douts = ([a.astype(np.float32).astype(np.float64) for a in arrays] for arrays in (values, douts))
    layer, theirs = step(*weights(gates)), books(*weights(gates))
    for which in range(1 + len(values) + len(douts)):  # none of them in that form, then each in turn
        called = [given(a) if i == which - 1 else a for i, a in enumerate([*values, *douts])]
        for mine, wanted in (
            (layer.forward(*called[: len(values)]), theirs.forward(*values)),
            (layer.backward(*called[len(values) :]), theirs.backward(*douts)),
            (layer.grads, theirs.grads),
        ):
            for a, b in zip(*(v if isinstance(v, list | tuple) else [v] for v in (mine, wanted)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@cells
def test_a_step_s_gradient_is_not_forgotten(step, sequence, books, gates):
    layer, states = step(*weights(gates)), [np.zeros((N, H))] * (2 if step is LSTM else 1)
    layer.forward(randn(N, D), *states)
    with pytest.raises(TypeError, match=f"{step.__name__}: dh_next is None"):
        layer.backward(*[None] * len(states))


@cells
def test_gradients_of_one_step(step, sequence, books, gates):
    layer, x = step(*weights(gates)), randn(N, D, seed=1)
    states = [randn(N, H, seed=3 + k) for k in range(2 if step is LSTM else 1)]
    douts = [randn(N, H, seed=5 + k) for k in range(len(states))]

    def outputs():
        result = layer.forward(x, *states)
        return result if isinstance(result, tuple) else (result,)

    def weighted_output():
        return float(sum(np.sum(h * d) for h, d in zip(outputs(), douts, strict=True)))

    expected = [central_differences(weighted_output, a) for a in (x, *states, *layer.params)]
    outputs()
    got = layer.backward(*douts)
    for analytic, numeric in zip((*got, *layer.grads), expected, strict=True):
        assert_gradient(analytic, numeric)


@cells
def test_gradient_of_the_first_state(step, sequence, books, gates):
    """What a decoder hands back to its encoder."""
    layer, xs, dout = sequence(*weights(gates), stateful=True), randn(N, T, D, seed=1), randn(N, T, H, seed=2)
    h = randn(N, H, seed=3)

    def weighted_output():
        layer.reset_state()
        layer.set_state(h)
        return float(np.sum(layer.forward(xs) * dout))

    numeric = central_differences(weighted_output, h)
    weighted_output()
    layer.backward(dout)
    assert_gradient(layer.dh, numeric)


@pytest.mark.parametrize("make", [Embedding, TimeEmbedding])
@pytest.mark.parametrize("idx", [np.array([1, 3, 3, 0, 3]), np.array([[1, 6], [3, 1]]), np.array([-1, 6])])
def test_embedding_s_gradient(make, idx):
    layer = make(randn(V, D))
    dout = randn(*layer.forward(idx).shape, seed=2)
    numeric = central_differences(lambda: float(np.sum(layer.forward(idx) * dout)), layer.params[0])
    layer.forward(idx)
    layer.grads[0][...] = 99
    assert layer.backward(dout) is None
    assert_gradient(layer.grads[0], numeric)


@pytest.mark.parametrize("ignored", [0, 1, 5])
@pytest.mark.parametrize("dout", [1, 0.25])
def test_time_softmax_with_loss_s_gradient(ignored, dout):
    layer, xs, ts = TimeSoftmaxWithLoss(), randn(N, T, V), np.arange(N * T).reshape(N, T) % V
    ts.reshape(-1)[1 : 1 + ignored] = -1
    numeric = central_differences(lambda: layer.forward(xs, ts) * dout, xs)
    layer.forward(xs, ts)
    first = layer.backward(dout)
    assert_gradient(first, numeric)
    np.testing.assert_array_equal(layer.backward(dout), first)


@pytest.mark.parametrize("make", [Simple_TimeSoftmaxWithLoss, TimeSigmoidWithLoss])
def test_the_other_losses_gradients(make):
    sigmoid = make is TimeSigmoidWithLoss
    layer, xs = make(), randn(N, T) if sigmoid else randn(N, T, V)
    ts = np.arange(N * T).reshape(N, T) % (2 if sigmoid else V)

    def exact_loss():
        layer.forward(xs, ts)
        p = np.where(ts, layer.y, 1 - layer.y) if sigmoid else np.take_along_axis(layer.y, ts[..., None], 2)
        return -np.log(p).mean()

    numeric = central_differences(exact_loss, xs)
    layer.forward(xs, ts)
    assert_gradient(layer.backward(), numeric)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("make", [Dropout, TimeDropout])
def test_dropout_s_gradient(make):
    layer, x, dout = make(0.4), randn(N, T, D), randn(N, T, D, seed=2)

    def weighted_output():
        np.random.seed(3)
        return float(np.sum(layer.forward(x) * dout))

    numeric = central_differences(weighted_output, x)
    weighted_output()
    assert_gradient(layer.backward(dout), numeric)


# The book's own code, step by step


@cells
@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-13), (np.float32, 2e-5)])
def test_sequences_are_the_book_s(step, sequence, books, gates, dtype, close):
    Wx, Wh, b = (0.3 * w for w in weights(gates, dtype))
    mine, theirs = sequence(Wx, Wh, b, stateful=True), book2.time_layers.Time(books, Wx, Wh, b, stateful=True)
    for k in range(3):  # the state goes on
        xs, dhs = randn(N, T, D, dtype=dtype, seed=k), randn(N, T, H, dtype=dtype, seed=k + 9)
        hs = mine.forward(xs)
        assert hs.dtype == dtype and hs.flags.c_contiguous
        np.testing.assert_allclose(hs, theirs.forward(xs), rtol=close, atol=close)
        np.testing.assert_array_equal(mine.h, hs[:, -1])
        expected = theirs.backward(dhs)
        np.testing.assert_allclose(mine.backward(dhs), expected, rtol=close, atol=close)
        np.testing.assert_allclose(mine.dh, theirs.dh, rtol=close, atol=close)
        for got, grad in zip(mine.grads, theirs.grads, strict=True):
            np.testing.assert_allclose(got, grad, rtol=close, atol=close * np.abs(grad).max())


@cells
def test_state(step, sequence, books, gates):
    xs = randn(N, T, D)
    fresh, stateful = sequence(*weights(gates)), sequence(*weights(gates), stateful=True)
    first = fresh.forward(xs)
    np.testing.assert_array_equal(fresh.forward(xs), first)
    np.testing.assert_array_equal(stateful.forward(xs), first)
    kept = [getattr(stateful, name) for name in stateful._states]
    second = stateful.forward(xs)
    assert not np.array_equal(second, first)
    stateful.set_state(*kept)
    np.testing.assert_array_equal(stateful.forward(xs), second)
    stateful.reset_state()
    assert stateful.h is None
    np.testing.assert_array_equal(stateful.forward(xs), first)


def test_the_state_of_an_lstm_may_be_set_without_memory():
    layer, xs, h = TimeLSTM(*weights(4), stateful=True), randn(N, T, D), randn(N, H)
    layer.set_state(h)
    out = layer.forward(xs)
    layer.set_state(h, np.zeros((N, H)))
    np.testing.assert_array_equal(layer.forward(xs), out)


@cells
def test_a_sequence_is_its_steps(step, sequence, books, gates):
    xs, layer = randn(N, T, D), step(*weights(gates))
    states = [np.zeros((N, H))] * (2 if step is LSTM else 1)
    hs = sequence(*weights(gates)).forward(xs)
    for t in range(T):
        result = layer.forward(xs[:, t], *states)
        states = list(result) if isinstance(result, tuple) else [result]
        np.testing.assert_allclose(states[0], hs[:, t], rtol=1e-12, atol=1e-14)


def test_a_bidirectional_lstm_reads_both_ways():
    xs, layer = randn(N, T, D), TimeBiLSTM(*weights(4), *weights(4, seed=1))
    out = layer.forward(xs)
    np.testing.assert_array_equal(out[:, :, :H], TimeLSTM(*weights(4)).forward(xs))
    np.testing.assert_array_equal(out[:, ::-1, H:], TimeLSTM(*weights(4, seed=1)).forward(xs[:, ::-1]))
    assert [p.shape for p in layer.params] == 2 * [(D, 4 * H), (H, 4 * H), (4 * H,)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_weights_dtype_is_kept(dtype):
    for step, sequence, _, gates in CELLS.values():
        layer = sequence(*weights(gates, dtype))
        assert layer.forward(randn(N, T, D)).dtype == dtype
        assert layer.backward(randn(N, T, H)).dtype == dtype and layer.h.dtype == dtype
        result = step(*weights(gates, dtype)).forward(randn(N, D), *[randn(N, H)] * (2 if step is LSTM else 1))
        assert (result[0] if step is LSTM else result).dtype == dtype
    assert TimeEmbedding(randn(V, D, dtype=dtype)).forward(np.zeros((N, T), int)).dtype == dtype
    layer = TimeSoftmaxWithLoss()
    layer.forward(randn(N, T, V, dtype=dtype), np.zeros((N, T), int))
    assert layer.backward().dtype == dtype


def test_weights_are_read_at_every_call():
    for _, sequence, _, gates in CELLS.values():
        layer, xs = sequence(*weights(gates)), randn(N, T, D)
        layer.params[:] = weights(gates, seed=5)
        np.testing.assert_array_equal(layer.forward(xs), sequence(*weights(gates, seed=5)).forward(xs))
    layer = TimeBiLSTM(*weights(4), *weights(4))
    layer.params[:] = weights(4, seed=5) + weights(4, seed=6)
    expected = TimeBiLSTM(*weights(4, seed=5), *weights(4, seed=6)).forward(xs)
    np.testing.assert_array_equal(layer.forward(xs), expected)


def test_size_0():
    for _, sequence, _, gates in CELLS.values():
        for n, t in ((0, T), (N, 0)):
            layer = sequence(*weights(gates))
            assert layer.forward(np.zeros((n, t, D))).shape == (n, t, H)
            assert layer.backward(np.zeros((n, t, H))).shape == (n, t, D)
            assert all(np.all(g == 0) for g in layer.grads)


# Embedding and dropout


def test_embedding_is_numpy_s_choice_of_rows():
    W = randn(V, D, dtype=np.float32)
    layer = Embedding(W)
    for idx in ([0, 3, 3], [[1, 2], [-1, -7]], np.zeros((0,), int), np.array([2], np.uint8), ()):
        out = layer.forward(np.array(idx, getattr(idx, "dtype", int)))
        np.testing.assert_array_equal(out, W[np.array(idx, int)])
        assert not np.shares_memory(out, W)
    row = layer.forward(3)
    assert np.shares_memory(row, W)
    np.testing.assert_array_equal(row, W[3])
    layer.backward(np.ones(D, np.float32))
    assert np.all(layer.grads[0][3] == 1) and layer.grads[0].sum() == D
    assert layer.idx == 3


@pytest.mark.parametrize("wrong", [[V], [-V - 1], [0.5], [[0, 1], [2, V]]])
def test_embedding_refuses_what_is_no_word(wrong):
    with pytest.raises(IndexError, match="Embedding: idx"):
        Embedding(randn(V, D)).forward(np.array(wrong))


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_dropout_draws_as_the_book_does():
    x = randn(N, T, D, dtype=np.float32)
    for layer, scale in ((Dropout(0.3), 1), (TimeDropout(0.3), 1 / 0.7)):
        np.random.seed(1)
        out = layer.forward(x)
        np.random.seed(1)
        mask = (np.random.rand(*x.shape) > 0.3).astype("f") * np.float32(scale)
        np.testing.assert_array_equal(out, x * mask)
        assert out.dtype == np.float32
    state = np.random.get_state()[2]
    np.testing.assert_allclose(Dropout(0.3).forward(x, train_flg=False), x * 0.7, rtol=1e-6)
    quiet = TimeDropout(0.3)
    quiet.train_flg = False
    assert quiet.forward(x) is x and np.random.get_state()[2] == state
    with pytest.raises(ValueError, match="Dropout: dropout_ratio must be a number from 0 to 1, got"):
        Dropout(1.5)


# The loss over time


def test_the_loss_ignores_what_is_marked():
    xs, ts = randn(N, T, V), np.arange(N * T).reshape(N, T) % V
    ts[1] = -1
    layer, theirs = TimeSoftmaxWithLoss(), book2.time_layers.TimeSoftmaxWithLoss()
    loss = layer.forward(xs, ts)
    assert type(loss) is np.float64 and loss == pytest.approx(theirs.forward(xs, ts), rel=1e-14)
    dx = layer.backward()
    np.testing.assert_allclose(dx, theirs.backward(), rtol=1e-13, atol=1e-16)
    assert np.all(dx[1] == 0)


def test_all_ignored_is_no_loss():
    layer = TimeSoftmaxWithLoss()
    assert layer.forward(randn(N, T, V), np.full((N, T), -1)) == 0.0
    assert np.array_equal(layer.backward(), np.zeros((N, T, V)))


def test_one_hot_labels_over_time():
    xs, ts = randn(N, T, V), np.arange(N * T).reshape(N, T) % V
    for make in (TimeSoftmaxWithLoss, Simple_TimeSoftmaxWithLoss):
        assert make().forward(xs, np.eye(V, dtype=int)[ts]) == make().forward(xs, ts)


def test_no_1e_7_in_the_logarithm():
    xs = np.array([[[0.0, 30.0]]])
    exact = 30 + np.log1p(np.exp(-30))
    assert TimeSoftmaxWithLoss().forward(xs, np.array([[0]])) == pytest.approx(exact, rel=1e-14)
    assert Simple_TimeSoftmaxWithLoss().forward(xs, np.array([[0]])) == pytest.approx(-np.log(1e-7), rel=1e-5)


# What is refused


def test_wrong_shapes_say_what_was_expected():
    Wx, Wh, b = weights(4)
    expected = r"expected Wx \(5, 24\), Wh \(6, 24\), b \(24,\): 4 times as many columns as Wh has rows"
    for wrong in ((Wx, Wh[:, :18], b), (Wx[:, :18], Wh, b), (Wx, Wh, b[:3])):
        with pytest.raises(ValueError, match=r"LSTM: the weights have shapes Wx \(5, \d+\), Wh .*, " + expected):
            TimeLSTM(*wrong)
    layer = TimeLSTM(Wx, Wh, b, stateful=True)
    with pytest.raises(RuntimeError, match="TimeLSTM: backward was called before forward"):
        layer.backward(1)
    with pytest.raises(ValueError, match=r"TimeLSTM: xs has shape \(4, 5\), expected \(N, T, D\)"):
        layer.forward(randn(T, D))
    with pytest.raises(ValueError, match="TimeLSTM: x has 6 values per time step, expected 5"):
        layer.forward(randn(N, T, D + 1))
    layer.forward(randn(N, T, D))
    with pytest.raises(ValueError, match=r"the state h has shape \(3, 6\), expected \(2, 6\).*reset_state\(\)"):
        layer.forward(randn(N - 1, T, D))
    with pytest.raises(ValueError, match=r"TimeLSTM: dout has shape \(3, 4, 5\), expected \(3, 4, 6\)"):
        layer.backward(randn(N, T, H - 1))
    with pytest.raises(ValueError, match=r"LSTM: x has shape \(3, 4, 5\), expected \(N, D\)"):
        LSTM(Wx, Wh, b).forward(randn(N, T, D), randn(N, H), randn(N, H))
    with pytest.raises(ValueError, match=r"TimeBiLSTM: xs has shape \(4, 5\), expected \(N, T, D\)"):
        TimeBiLSTM(Wx, Wh, b, Wx, Wh, b).forward(randn(T, D))
    with pytest.raises(ValueError, match="TimeDropout: dropout_ratio must be below 1"):
        TimeDropout(1)
    with pytest.raises(ValueError, match="TimeSoftmaxWithLoss: xs is a scalar"):
        TimeSoftmaxWithLoss().forward(1.0, 0)
    with pytest.raises(ValueError, match="RNN: Wx must have a floating dtype"):
        RNN(np.ones((D, H), int), Wh, b)


@pytest.mark.parametrize("wrong", [-2, V])
def test_labels_out_of_range(wrong):
    with pytest.raises(IndexError, match=rf"TimeSoftmaxWithLoss: ts\[0\] is {wrong}"):
        TimeSoftmaxWithLoss().forward(randn(N, T, V), np.full((N, T), wrong))
    ts = np.zeros((N, T), int)
    ts[0], ts[1, 2] = -1, wrong
    with pytest.raises(IndexError, match=rf"TimeSoftmaxWithLoss: ts\[6\] is {wrong}"):
        TimeSoftmaxWithLoss().forward(randn(N, T, V), ts)


# Whole models


class Model(Chain):
    """The book's language model, of scratchnet's layers."""

    def __init__(self, weights, sequence, stateful=True):
        embed_W, Wx, Wh, b, affine_W, affine_b = weights
        layers = [TimeEmbedding(embed_W), sequence(Wx, Wh, b, stateful), TimeAffine(affine_W, affine_b)]
        super().__init__(layers, TimeSoftmaxWithLoss())

    def reset_state(self):
        self.layers[1].reset_state()


def text(words=25, length=601, seed=0):
    """Numbers of words, each of which tends to follow another."""
    rng = np.random.default_rng(seed)
    corpus = [0]
    while len(corpus) < length:
        corpus.append(int(rng.integers(words)) if rng.random() < 0.2 else (3 * corpus[-1] + 1) % words)
    return np.array(corpus)


@cells
@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_training_is_the_book_s(step, sequence, books, gates, dtype, close):
    settings = dict(lr=1.0, max_epoch=3, batch_size=5, time_size=6, max_grad=0.25)
    start = [w.astype(dtype) for w in rnnlm.weights(25, 12, 14, gates, rng=1)]
    mine = rnnlm.fit(Model([w.copy() for w in start], sequence), text(), **settings)
    exact = rnnlm.weights(25, 12, 14, gates, rng=1)
    theirs = rnnlm.fit(rnnlm.Rnnlm(exact, books), text(), **settings)
    np.testing.assert_allclose(np.log(mine), np.log(theirs), rtol=close)
    assert mine[-1] < mine[0] / 1.2
