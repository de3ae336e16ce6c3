"""What may be an array, a label or a number: the same at every door, and everything else is refused in words."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest

from scratchnet import functions, gradient, layers, models, optimizer, plotting, time_layers, trainer, util
from scratchnet.book1 import functions as book1_functions
from scratchnet.book1 import layers as book1_layers
from scratchnet.book1 import trainer as book1_trainer
from scratchnet.book1 import util as book1_util
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.rnnlm_trainer import RnnlmTrainer

X = np.random.default_rng(0).random((30, 2))
T = np.arange(30) % 3
SCORES = np.random.default_rng(1).random((30, 3))
WORDS = np.arange(30) % 7


def net():
    return models.TwoLayerNet(2, 5, 3, dtype=np.float64, rng=0)


def fit(x, t, **options):
    model = net()
    trainer.Trainer(model, optimizer.SGD(0.1), **options).fit(x, t, 1, 10, verbose=False, rng=0)
    return model.params[0]


def validated(x, t):
    run = trainer.Trainer(net(), optimizer.SGD(0.1))
    run.fit(X, T, 1, 10, verbose=False, rng=0, validation=(x, t))
    return run.history[-1]["val_loss"], run.history[-1]["val_accuracy"]


def book1_net():
    np.random.seed(0)
    return MultiLayerNet(2, [4], 3)


def book1_train(x, t):
    run = book1_trainer.Trainer(book1_net(), x, t, x, t, 1, 10, verbose=False)
    run.train()
    return run.train_loss_list, run.test_acc_list


def words(layer, *rest):
    np.random.seed(0)
    return lambda idx: layer(np.random.rand(7, 4), *rest).forward(idx)


class Asked:
    """A language model that looks at the words it is given."""

    params = grads = ()

    def forward(self, xs, ts):
        assert type(xs) is np.ndarray and xs.dtype == np.int64
        return float(xs.sum() * 300 + ts.sum()) * 1e-9

    def backward(self):
        pass


class Losing(Asked):
    """A model that has this loss."""

    def __init__(self, loss):
        self.loss, self.params, self.grads = loss, [np.ones(2)], [np.ones(2)]

    def forward(self, xs, ts):
        return self.loss


def texts(x):
    with contextlib.redirect_stdout(io.StringIO()):
        return util.eval_perplexity(Asked(), x, 2, 3)


SAMPLES = {
    "predict": lambda x: net().predict(x),
    "loss": lambda x: net().loss(x, T),
    "accuracy": lambda x: net().accuracy(x, T),
    "fit": lambda x: fit(x, T),
    "fit by layers": lambda x: fit(x, T, compile=False),
    "validation": lambda x: validated(x, T),
    "util.predict": lambda x: util.predict(net(), x),
    "util.accuracy": lambda x: util.accuracy(net(), x, T),
    "gradient_check": lambda x: gradient.gradient_check(net(), x, T),
    "Affine": lambda x: layers.Affine(np.ones((2, 4)), np.zeros(4)).forward(x),
    "Sigmoid": lambda x: layers.Sigmoid().forward(x),
    "Relu": lambda x: layers.Relu().forward(x),
    "Softmax": lambda x: layers.Softmax().forward(x),
    "Dropout": lambda x: layers.Dropout().forward(x, False),
    "Sum": lambda x: layers.Sum().forward(x),
    "a gradient": lambda x: layers.Layer()._as_dout(x, (30, 2), X),
    "W": lambda x: layers.Affine(x, np.zeros(2)).forward(np.ones((1, 30))),
    "dW": lambda x: layers.Affine(x, np.zeros(2)).grads[0],
    "Embedding's W": lambda x: layers.Embedding(x).grads[0],
    "TimeAffine": lambda x: time_layers.TimeAffine(np.ones((2, 4)), np.zeros(4)).forward(x),
    "sigmoid": functions.sigmoid,
    "relu": functions.relu,
    "softmax": functions.softmax,
    "step_function": functions.step_function,
    "cross_entropy_error": lambda x: functions.cross_entropy_error(x, T % 2),
    "sum_squared_error": lambda x: functions.sum_squared_error(X, x),
    "relu_grad": book1_functions.relu_grad,
    "MultiLayerNet": lambda x: book1_net().predict(x),
    "MultiLayerNet.accuracy": lambda x: book1_net().accuracy(x, T),
    "Trainer of book 1": lambda x: book1_train(x, T),
    "BatchNormalization": lambda x: book1_layers.BatchNormalization(np.ones(2), np.zeros(2)).forward(x),
    "im2col": lambda x: book1_util.im2col(x.reshape(1, 1, 30, 2) if hasattr(x, "reshape") else x, 2, 2),
    "shuffle_dataset": lambda x: book1_util.shuffle_dataset(x, T)[0].sort(),
    "numerical_gradient": lambda x: gradient.numerical_gradient(np.sum, x),
    "gradient_descent": lambda x: gradient.gradient_descent(np.sum, x, step_num=1),
    "numerical_diff": lambda x: gradient.numerical_diff(np.sum, x),
    "decision_regions": lambda x: plotting.decision_regions(net(), x, h=0.5)[2],
    "ppmi": lambda x: util.ppmi(x[:2] if hasattr(x, "shape") else x),
    "clip_grads": lambda x: util.clip_grads([x], 1.0),
    "SGD": lambda x: optimizer.SGD().update([x], [np.ones((30, 2))]),
    "SGD's gradient": lambda x: optimizer.SGD().update([np.ones((30, 2))], [x]),
    "to_cpu": util.to_cpu,
}
LABELS = {
    "loss": lambda t: net().loss(X, t),
    "gradient": lambda t: net().gradient(X, t)[0].sum(),
    "accuracy": lambda t: net().accuracy(X, t),
    "util.accuracy": lambda t: util.accuracy(net(), X, t),
    "class_indices": lambda t: util.class_indices("t", t, 3, rows=30).tolist(),
    "fit": lambda t: fit(X, t).tolist(),
    "fit by layers": lambda t: fit(X, t, compile=False).tolist(),
    "validation": lambda t: validated(X, t),
    "gradient_check": lambda t: gradient.gradient_check(net(), X[:30], t) and 0,
    "cross_entropy_error": lambda t: functions.cross_entropy_error(SCORES, t),
    "softmax_loss": lambda t: book1_functions.softmax_loss(SCORES, t),
    "SoftmaxWithLoss": lambda t: float(layers.SoftmaxWithLoss().forward(SCORES, t)),
    "SoftmaxWithLoss of book 1": lambda t: float(book1_layers.SoftmaxWithLoss().forward(SCORES, t)),
    "MultiLayerNet.loss": lambda t: book1_net().loss(X, t),
    "MultiLayerNet.accuracy": lambda t: book1_net().accuracy(X, t),
    "Trainer of book 1": lambda t: book1_train(X, t),
}
WORD_NUMBERS = {
    "Embedding": words(layers.Embedding),
    "TimeEmbedding": lambda idx: words(time_layers.TimeEmbedding)([idx]),
    "convert_one_hot": lambda idx: util.convert_one_hot(idx, 7),
    "create_co_matrix": lambda idx: util.create_co_matrix(idx, 7, 2),
    "create_contexts_target": lambda idx: util.create_contexts_target(idx, 2)[0],
    "eval_perplexity": texts,
    "get_batch": lambda idx: RnnlmTrainer(Asked(), optimizer.SGD()).get_batch(idx, idx, 2, 3)[0],
}


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix's own
        yield


class Table:
    """What pandas and PyTorch hand in: something that makes an array of itself."""

    def __init__(self, numbers, error=None):
        self.numbers, self.error = numbers, error

    def __len__(self):
        return len(self.numbers)

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return np.array(self.numbers, dtype)


NO_ARRAYS = {
    "masked": lambda a: np.ma.array(a, mask=a > a.mean()),
    "masked in a list": lambda a: [np.ma.array(row, mask=True) for row in a],
    "masked constants": lambda a: [[np.ma.masked] * a[0].size] * len(a),
    "ragged": lambda a: [[1.0], [1.0, 2.0]] * (len(a) // 2),
    "needs a gradient": lambda a: Table(a, RuntimeError("call detach() first")),
    "on another device": lambda a: Table(a, TypeError("copy it to the host")),
}
NO_REAL_NUMBERS = {
    "complex": lambda a: a + 0j,
    "objects": lambda a: a.astype(object),
    "records": lambda a: np.zeros(a.shape, [("a", "f4")]),
    "a table of records": lambda a: np.zeros(a.shape, [("a", "f4")]).view(np.recarray),
    "dates": lambda a: np.zeros(a.shape, "M8[s]"),
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S"),
}
IN_PLACE = {"W", "dW", "Embedding's W", "clip_grads", "SGD"}
HOLDS_ANYTHING = {"to_cpu", "shuffle_dataset"}


@pytest.mark.parametrize("door", SAMPLES)
def test_what_is_no_array_of_real_numbers_is_refused(door):
    refused = NO_ARRAYS if door in HOLDS_ANYTHING else NO_ARRAYS | NO_REAL_NUMBERS
    for name, make in refused.items():
        with pytest.raises(ValueError):
            pytest.fail(f"{name}: {SAMPLES[door](make(X.copy()))}")


@pytest.mark.parametrize("door", WORD_NUMBERS)
def test_word_numbers_have_no_mask_either(door):
    for make in (lambda a: np.ma.array(a, mask=a > 3), lambda a: [np.ma.masked] * len(a)):
        with pytest.raises((ValueError, IndexError)):
            pytest.fail(str(WORD_NUMBERS[door](make(WORDS))))


def test_the_error_says_what_to_do_with_a_mask():
    with pytest.raises(ValueError, match=r"fit: x is a masked array.*filled"):
        fit(np.ma.array(X), T)
    with pytest.raises(ValueError, match=r"predict: x is a masked array"):
        net().predict([np.ma.array([1.0, 2.0], mask=[True, False])])


KINDS = {
    "np.matrix": lambda a: np.matrix(a),
    "np.recarray": lambda a: a.view(np.recarray),
    "np.memmap": lambda a: a.view(np.memmap),
    "a table": Table,
}


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("door", SAMPLES)
def test_arrays_of_other_classes_count_as_their_numbers(door):
    np.random.seed(0)
    expected = SAMPLES[door](X.copy())
    for name, make in KINDS.items():
        if name == "a table" and (door in IN_PLACE or door in ("im2col", "ppmi")):
            continue
        if name == "np.matrix" and door == "im2col":
            continue
        np.random.seed(0)
        result = SAMPLES[door](make(X.copy()))
        assert type(result) is type(expected), name
        if isinstance(expected, np.ndarray):
            assert type(result) is np.ndarray
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("number", [1j, 0.5 + 0j, np.complex64(0.5), np.complex128(0.5 + 1j), np.array(0.5 + 1j)])
@pytest.mark.parametrize(
    "door",
    {
        "dout": lambda c: net().loss_layer.__class__._as_number(layers.SoftmaxWithLoss(), c),
        "dout of an array": lambda c: layers.Layer()._as_dout(c, (30, 2), X),
        "lr": optimizer.SGD,
        "momentum": lambda c: optimizer.Momentum(0.1, c),
        "max_norm": lambda c: util.clip_grads([np.ones(3)], c),
        "a loss": lambda c: trainer.Trainer(Losing(c), optimizer.SGD()).fit(X, T, 1, 10, verbose=False),
        "a text's loss": lambda c: RnnlmTrainer(Losing(c), optimizer.SGD()).fit(WORDS, WORDS, 1, 2, 3),
        "perplexity": lambda c: util.eval_perplexity(Losing(c), WORDS, 2, 3),
        "max_grad": lambda c: trainer.Trainer(net(), optimizer.SGD()).fit(X, T, 1, 10, c),
        "gradient_descent": lambda c: gradient.gradient_descent(np.sum, X.copy(), c, 1),
        "f(x)": lambda c: gradient.numerical_gradient(lambda x: c, X.copy()),
        "eps": lambda c: util.cos_similarity(X[0], X[1], c),
        "margin": lambda c: plotting.decision_regions(net(), X, margin=c),
        "conv_output_size": lambda c: book1_util.conv_output_size(7, 3, c),
    }.items(),
    ids=lambda door: door[0],
)
def test_complex_numbers_never_lose_their_imaginary_part(door, number):
    with pytest.raises(ValueError):
        pytest.fail(f"{door[0]}: {door[1](number)}")


# Labels

SAME = {
    "list": lambda t: t.tolist(),
    "uint8": lambda t: t.astype(np.uint8),
    "uint64, the other byte order": lambda t: t.astype(">u8"),
    "strided": lambda t: np.repeat(t, 2)[::2],
    "column": lambda t: t[:, None],
    "np.matrix": lambda t: np.matrix(t).T,
    "one-hot": lambda t: np.eye(3)[t],
    "one-hot of bool": lambda t: np.eye(3, dtype=bool)[t],
    "one-hot in lists": lambda t: np.eye(3, dtype=int)[t].tolist(),
}
OTHER = {
    "out of range": (T + 1, IndexError),
    "negative": (T - 1, IndexError),
    "beyond 63 bits": (np.full(30, 2**64 - 1, np.uint64), IndexError),
    "floating": (T.astype(float), ValueError),
    "fractions": (T + 0.5, ValueError),
    "NaN": ([np.nan] * 30, ValueError),
    "one label": ([1], ValueError),
    "a number": (1, ValueError),
    "None": (None, ValueError),
    "none": ([], ValueError),
    "one too many": ([0] * 31, ValueError),
    "one-hot of other classes": (np.eye(4)[T], ValueError),
    "text": (["1"] * 30, ValueError),
    "objects": (T.astype(object), ValueError),
    "complex": (T + 0j, ValueError),
    "one-hot of complex": (np.eye(3, dtype=complex)[T], ValueError),
    "ragged": ([[0], [1, 2]] * 15, ValueError),
    "masked": (np.ma.array(T, mask=T == 1), ValueError),
    "dates": (np.zeros(30, "M8[s]"), ValueError),
    "a set": ({0, 1, 2}, ValueError),
}


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("door", LABELS)
def test_labels_are_read_in_one_way(door):
    read = LABELS[door]
    expected = read(T)
    for name, form in SAME.items():
        assert read(form(T)) == expected, name
    for name, (t, error) in OTHER.items():
        with pytest.raises(error) as raised:
            pytest.fail(f"{name}: {read(t)}")
        assert raised.type is error or error is not IndexError, name


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("model", [net(), book1_net()], ids=["models", "book 1"])
def test_an_empty_set_has_no_accuracy(model):
    with pytest.raises(ValueError, match="no samples"):
        model.accuracy(np.empty((0, 2)), [])


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_accuracy_of_many_samples_is_book_1_s():
    model, x = book1_net(), np.random.default_rng(0).normal(size=(9000, 2))
    t = np.arange(9000) % 3
    expected = np.sum(np.argmax(model.predict(x), axis=1) == t) / float(len(x))
    assert model.accuracy(x, t) == model.accuracy(x, t[:, None]) == model.accuracy(x, np.eye(3)[t]) == expected


# Numbers of NumPy's own types, in which products and sums overflow


@pytest.mark.thread_unsafe(reason="redirects the process's output")
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.uint64, ">i2"])
def test_indices_are_reckoned_in_64_bits_whatever_their_type(dtype):
    rng = np.random.default_rng(0)
    text, V = rng.integers(0, 120, 400), 120
    narrow = text.astype(dtype)
    np.testing.assert_array_equal(util.create_co_matrix(narrow, V, 3), util.create_co_matrix(text, V, 3))
    np.testing.assert_array_equal(util.convert_one_hot(narrow, V), np.eye(V, dtype=np.int32)[text])
    W = rng.random((V, 3))
    np.testing.assert_array_equal(layers.Embedding(W).forward(narrow), W[text])
    for each, wide in zip(
        util.create_contexts_target(narrow, 2), util.create_contexts_target(text, 2), strict=True
    ):
        np.testing.assert_array_equal(each, wide)
        assert each.dtype == np.dtype(dtype)
    for trainer_of_words in (narrow, text):
        run = RnnlmTrainer(Asked(), optimizer.SGD())
        run.time_idx = 390
        xs, ts = run.get_batch(trainer_of_words[:-1], trainer_of_words[1:], 20, 35)
        np.testing.assert_array_equal(xs, text[(np.arange(20)[:, None] * 19 + 390 + np.arange(35)) % 399])
        assert xs.dtype == ts.dtype == np.int64
    assert texts(narrow) == texts(text)
    y = rng.random((400, V))
    assert functions.cross_entropy_error(y, narrow) == functions.cross_entropy_error(y, text)


def test_sizes_are_reckoned_as_python_s_whole_numbers():
    u8 = np.uint8
    corpus = np.arange(1000) % 250
    np.testing.assert_array_equal(
        util.create_co_matrix(corpus, u8(250), u8(2)), util.create_co_matrix(corpus, 250, 2)
    )
    np.testing.assert_array_equal(util.convert_one_hot(corpus[:9], u8(250)), util.convert_one_hot(corpus[:9], 250))
    np.testing.assert_array_equal(
        util.create_contexts_target(corpus, u8(200))[0], util.create_contexts_target(corpus, 200)[0]
    )
    run = RnnlmTrainer(Asked(), optimizer.SGD())
    np.testing.assert_array_equal(
        run.get_batch(corpus, corpus, u8(20), u8(35))[0],
        RnnlmTrainer(Asked(), optimizer.SGD()).get_batch(corpus, corpus, 20, 35)[0],
    )
    run.fit(corpus, corpus, 1, u8(20), u8(35), eval_interval=u8(1), verbose=False)
    assert len(run.ppl_list) == 1 and run.time_idx == 35
    assert book1_util.conv_output_size(u8(200), u8(3), u8(1), u8(100)) == 398
    x, t = np.ones((300, 2)), np.arange(300) % 3
    for compile in (None, False):
        histories = []
        for batch_size, every in ((u8(3), u8(7)), (3, 7)):
            run = trainer.Trainer(net(), optimizer.SGD(0.1), compile=compile)
            run.fit(x, t, u8(2), batch_size, eval_interval=every, verbose=False, rng=0)
            histories.append((run.history, run.loss_list))
        assert histories[0] == histories[1] and len(histories[0][1]) == 2 * 15
    assert util.accuracy(net(), x, t, block_size=u8(200)) == util.accuracy(net(), x, t)
