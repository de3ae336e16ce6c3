"""Arguments that make no sense: a ValueError that names them, before anything is printed or waited for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scratchnet import (
    SGD,
    MultiLayerNet,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    evaluation,
    functions,
    gradient,
    layers,
    plotting,
    util,
)
from scratchnet.book1 import functions as book1_functions
from scratchnet.book1 import gradient as book1_gradient
from scratchnet.book1 import util as book1
from scratchnet.models import Sequential
from scratchnet.time_layers import TimeSoftmaxWithLoss

NO_NUMBERS = ["a", b"1", None, {}, [1, [2]], 1j, ["1"], object()]
NO_SIZES = ["a", None, 1.5, -1, True, 2**64, [2], np.array([2, 3])]
IDS = {"word": 0, "other": 1}
WORDS = {0: "word", 1: "other"}
VECTORS = np.eye(2)
IMAGES = np.ones((1, 1, 4, 4))


class Model:
    def predict(self, x):
        return np.asarray(x)

    def forward(self, xs, ts):
        return 1.0

    def generate(self, question, start, length):
        return [1] * length


FUNCTIONS = [
    functions.sigmoid,
    functions.relu,
    functions.softmax,
    functions.step_function,
    lambda x: functions.cross_entropy_error(x, [0]),
    lambda x: functions.sum_squared_error(x, [1.0]),
    lambda x: functions.sum_squared_error([1.0], x),
    book1_functions.sigmoid_grad,
    book1_functions.relu_grad,
    lambda x: book1_functions.softmax_loss(x, [0]),
    book1.smooth_curve,
    lambda x: util.cos_similarity(x, [1.0]),
    lambda x: util.cos_similarity([1.0], [1.0], x),
    lambda x: util.ppmi(x),
    lambda x: util.ppmi(VECTORS, eps=x),
    util.normalize,
    lambda x: util.clip_grads([np.ones(2)], x),
    lambda x: util.clip_grads([x], 1),
    lambda x: util.most_similar("word", IDS, WORDS, x),
    lambda x: util.most_similar("word", IDS, WORDS, VECTORS, x),
    lambda x: util.analogy("word", "word", "word", IDS, WORDS, VECTORS, x),
    lambda x: gradient.numerical_gradient(np.sum, x),
    lambda x: gradient.numerical_gradient(lambda _: x, np.ones(2)),
    lambda x: gradient.numerical_gradient(x, np.ones(2)),
    lambda x: gradient.numerical_diff(np.sum, x),
    lambda x: gradient.numerical_diff(x, 1.0),
    lambda x: gradient.gradient_descent(np.sum, np.ones(2), x),
    lambda x: gradient.gradient_descent(np.sum, x),
    lambda x: gradient.gradient_descent(x, np.ones(2)),
    lambda x: plotting.decision_regions(Model(), x),
    lambda x: plotting.decision_regions(Model(), VECTORS, h=x) if x is not None else functions.sigmoid(x),
    lambda x: plotting.decision_regions(Model(), VECTORS, margin=x),
    lambda x: plotting.plot_loss([1.0], (0, x)),
    lambda x: plotting.plot_loss(x),
    lambda x: plotting.plot_descent(x),
    lambda x: plotting.plot_descent([[0.0, 1.0]], lambda _: x),
    lambda x: book1.conv_output_size(x, 1),
    lambda x: book1.conv_output_size(1, 1, x),
    lambda x: book1.im2col(x, 2, 2),
    lambda x: book1.col2im(x, IMAGES.shape, 2, 2),
]
SIZES = [
    lambda n: util.convert_one_hot([0], n),
    lambda n: util.create_co_matrix([0], n),
    lambda n: util.create_co_matrix([0], 1, n) if n != 2**64 else util.create_co_matrix([0], n),
    lambda n: util.create_contexts_target([0], n),
    lambda n: util.eval_perplexity(Model(), np.arange(9), n, 1),
    lambda n: util.eval_perplexity(Model(), np.arange(9), 1, n),
    lambda n: evaluation.bptt_segments(9, n, 1, 0),
    lambda n: evaluation.bptt_segments(9, 1, n, 0),
    lambda n: util.predict(Model(), VECTORS, block_size=n),
    lambda n: util.accuracy(Model(), VECTORS, [0, 1], block_size=n),
    lambda n: gradient.gradient_descent(np.sum, np.ones(2), 0.1, n),
    lambda n: book1.im2col(IMAGES, n, 2),
    lambda n: book1.im2col(IMAGES, 2, n),
    lambda n: book1.im2col(IMAGES, 2, 2, n),
    lambda n: book1.im2col(IMAGES, 2, 2, 1, n),
    lambda n: book1.col2im(np.ones((9, 4)), (1, 1, 4, n), 2, 2),
    lambda n: book1.col2im(np.ones((9, 4)), n, 2, 2),
]
OTHERS = {
    "a text of bytes": lambda: util.preprocess(b"you say"),
    "no text": lambda: util.preprocess(None),
    "a vocabulary of None": lambda: util.most_similar("word", None, WORDS, VECTORS),
    "words of None": lambda: util.most_similar("word", IDS, None, VECTORS),
    "too few vectors": lambda: util.most_similar("word", IDS, WORDS, VECTORS[:1]),
    "an answer that is no word": lambda: util.analogy("word", "word", "word", IDS, WORDS, VECTORS, answer="?"),
    "vectors of two lengths": lambda: util.cos_similarity([1.0, 2.0], [1.0]),
    "a column beside a vector": lambda: util.cos_similarity([1, 2], [[2], [4]]),
    "counts that are no square": lambda: util.ppmi(np.ones((2, 3))),
    "a text of two axes": lambda: util.create_co_matrix(np.zeros((2, 2), int), 1),
    "contexts of two axes": lambda: util.create_contexts_target(np.zeros((9, 2), int)),
    "contexts of a number": lambda: util.create_contexts_target(5),
    "words with fractions": lambda: util.convert_one_hot([0.5], 3),
    "a model without forward": lambda: util.eval_perplexity(object(), np.arange(9)),
    "a model without predict": lambda: util.predict(None, VECTORS),
    "accuracy of no model": lambda: util.accuracy(None, VECTORS, [0, 1]),
    "samples of None": lambda: util.accuracy(Model(), None, [0, 1]),
    "a model without generate": lambda: util.eval_seq2seq(None, [0], [0, 1], WORDS),
    "an answer without start": lambda: util.eval_seq2seq(Model(), [0], [], WORDS),
    "a question of text": lambda: util.eval_seq2seq(Model(), "ab", [0, 1], WORDS),
    "normalizing integers": lambda: util.normalize(np.arange(3)),
    "gradient_check of None": lambda: gradient.gradient_check(Model(), None, None),
    "regions of no model": lambda: plotting.decision_regions(None, VECTORS),
    "limits that are none": lambda: plotting.plot_loss([1.0], 5),
    "an unhashable word": lambda: util.most_similar([], IDS, WORDS, VECTORS),
    "characters that are none": lambda: util.eval_seq2seq(Model(), [0], [0, 1], [1, 2]),
    "characters of None": lambda: util.eval_seq2seq(Model(), [0], [0, 1], None),
    "gradients of None": lambda: util.remove_duplicate([np.ones(2)], None),
    "images of a number": lambda: book1.col2im(np.ones((9, 4)), np.array(0.5), 2, 2),
    "a difference of dates": lambda: book1.conv_output_size(7, 3, np.timedelta64(1, "s")),
    "a grid of too many points": lambda: plotting.decision_regions(Model(), VECTORS * 1e5, h=0.1),
    "a derivative of lists": lambda: gradient.numerical_diff(lambda x: None, 1.0),
    "a derivative at 10**400": lambda: gradient.numerical_diff(np.sum, 10**400),
    "rows of different numbers": lambda: book1.shuffle_dataset(np.ones(3), np.ones(4)),
    "rows of None": lambda: book1.shuffle_dataset(None, None),
    "a stride of 0": lambda: book1.conv_output_size(7, 3, 0),
    "a path of None": lambda: util.load_pickle(None),
    "a path that is an open file's number": lambda: util.load_pickle(0),
    "f that returns an array": lambda: gradient.numerical_gradient(lambda x: x, np.ones(2)),
    "f that returns text": lambda: gradient.gradient_descent(lambda x: "1", np.ones(2)),
}


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_what_holds_no_numbers(number, capsys):
    for odd in NO_NUMBERS:
        with pytest.raises(ValueError):
            pytest.fail(f"{odd!r}: {FUNCTIONS[number](odd)}")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", range(len(SIZES)))
def test_what_is_no_size(number, capsys):
    for odd in NO_SIZES:
        with pytest.raises(ValueError):
            pytest.fail(f"{odd!r}: {SIZES[number](odd)}")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("what", OTHERS)
def test_what_makes_no_sense(what, capsys):
    with pytest.raises(ValueError):
        pytest.fail(str(OTHERS[what]()))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda: util.convert_one_hot([-1], 3),
        lambda: util.convert_one_hot([[0, 1], [2, -3]], 3),
        lambda: util.convert_one_hot(np.array([2**64 - 1], np.uint64), 3),
        lambda: util.convert_one_hot([0], 0),
        lambda: util.create_co_matrix([0, -1], 3),
        lambda: util.create_co_matrix(np.array([0, 2**64 - 1], np.uint64), 3),
        lambda: util.most_similar("word", {"word": -1}, WORDS, VECTORS),
        lambda: util.most_similar("word", {"word": 2}, WORDS, VECTORS),
        lambda: util.analogy("word", "word", "other", {"word": 0, "other": -1}, WORDS, VECTORS),
        lambda: util.eval_seq2seq(Model(), [0, -1], [0, 1], WORDS),
        lambda: util.eval_seq2seq(Model(), [0], [0, 2], ["word", "other"]),
        lambda: util.eval_seq2seq(Model(), [0], [0, -1], ["word", "other"]),
    ],
)
def test_a_number_that_no_word_has_is_an_index_error(call):
    with pytest.raises(IndexError):
        pytest.fail(str(call()))


def test_sizes_beyond_the_text_are_refused_or_end_at_it(capsys):
    corpus = np.arange(9)
    with pytest.raises(ValueError, match=f"window_size is {2**62}, but corpus has only 9 words"):
        util.create_contexts_target(corpus, 2**62)
    np.testing.assert_array_equal(util.create_co_matrix(corpus, 9, 2**62), 1 - np.eye(9))
    assert [a.shape for a in util.create_contexts_target(corpus, 9)] == [(0, 18), (0,)]
    util.most_similar("word", IDS, WORDS, VECTORS, top=2**62)
    util.most_similar("word", IDS, WORDS, VECTORS, top=10**30)
    assert capsys.readouterr().out == "\n[query] word\n other: 0.0\n" * 2
    with pytest.raises(ValueError):
        util.eval_perplexity(Model(), corpus, 2**62, 2**62)


def test_lists_and_numbers_that_make_sense_stay_welcome():
    assert util.cos_similarity([1], [2]) == pytest.approx(1)
    assert util.cos_similarity((3, 4), np.uint8([3, 4])) == pytest.approx(1)
    assert util.cos_similarity(2.0, 3) == pytest.approx(1)
    assert gradient.numerical_diff(math.sin, 0) == pytest.approx(1)
    np.testing.assert_allclose(gradient.numerical_diff(np.square, [1, 2]), [2, 4])
    assert gradient.gradient_descent(np.sum, [0.0], np.float32(0.5), np.int8(2)).tolist() == pytest.approx([-1])
    assert gradient.gradient_descent(np.sum, [0.0], np.array([0.5]), np.array(2)).tolist() == pytest.approx([-1])
    assert book1.shuffle_dataset([1, 1], [2, 2])[1].tolist() == [2, 2]
    assert book1.conv_output_size(7.0, np.float32(3), 2) == 3.0
    assert book1.im2col(IMAGES, np.uint8(2), 2, np.array(2)).shape == (4, 4)


LABELS = np.array([0, 1], np.int64)
MISALIGNED = np.frombuffer(b"." + LABELS.tobytes(), np.int64, offset=1)


def test_labels_that_lie_anywhere_are_labels():
    scores = np.arange(6.0).reshape(2, 3)
    assert not MISALIGNED.flags.aligned
    for layer, x in ((SoftmaxWithLoss(), scores), (TimeSoftmaxWithLoss(), scores[None])):
        losses = [layer.forward(x, labels.reshape(x.shape[:-1])) for labels in (MISALIGNED, LABELS)]
        assert losses[0] == losses[1]
    assert util.class_indices("t", MISALIGNED, 3).tolist() == [0, 1]


@pytest.mark.parametrize(
    "make", [lambda **o: TwoLayerNet(2, 3, 2, **o), lambda **o: MultiLayerNet(2, [3], 2, **o)]
)
@pytest.mark.parametrize(
    "name, wrong", [("rng", "a"), ("rng", 1.5), ("rng", -1), ("dtype", "nonsense"), ("dtype", 5)]
)
def test_networks_say_what_is_no_stream_and_no_dtype(make, name, wrong):
    with pytest.raises(ValueError, match=f"{name} must be"):
        make(**{name: wrong})


def test_a_language_and_a_number_of_any_kind_are_looked_at():
    with pytest.raises(ValueError, match="lang"):
        Trainer(TwoLayerNet(2, 3, 2), SGD(), lang=["en"])
    with pytest.raises(ValueError, match=r"params\[0\] must be a number"):
        SGD().update([10**400], [1.0])


def test_rows_of_no_numbers_have_a_gradient_at_once():
    assert book1_gradient.numerical_gradient_2d(np.sum, np.zeros((2**40, 0))).shape == (2**40, 0)


# What readers get wrong: the message says what to do

X, T = np.random.default_rng(0).standard_normal((12, 4)), np.arange(12) % 3
NAMES = np.array(["cat", "dog", "cow"])[T]


def fit(model, x, t, **options):
    Trainer(model, SGD()).fit(x, t, 1, 4, verbose=False, **options)


def net(outputs=3, loss="softmax"):
    return MultiLayerNet(4, [5], outputs, rng=0, loss=loss)


@pytest.mark.parametrize(
    "labels", [NAMES, NAMES.astype("S"), NAMES.astype(object), NAMES.tolist(), NAMES[:, None]]
)
def test_labels_that_are_names_are_told_how_to_become_numbers(labels):
    for where, call in {
        "t: ": lambda: fit(net(), X, labels),
        "SoftmaxWithLoss: t: ": lambda: net().forward(X, labels),
        "accuracy: t: ": lambda: net().accuracy(X, labels),
        "fit: validation's t: ": lambda: fit(net(), X, T, validation=(X, labels)),
    }.items():
        told = r"class indices must be integers, got dtype .*; names, t = numpy.unique\(t, return_inverse=True\)"
        with pytest.raises(ValueError, match=where + told):
            call()
    with pytest.raises(ValueError, match=r"t: .* got dtype .*numpy.unique"):
        fit(net(1, "sigmoid"), X, labels)
    names, t = np.unique(labels, return_inverse=True)
    fit(net(), X, t)
    assert len(names) == 3


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("labels", ["0.5", 1, {"t": [1]}])
def test_labels_of_a_whole_set_are_not_one_thing(loss, labels):
    with pytest.raises(ValueError, match="t: expected labels, one for each sample, got a scalar"):
        net(1 if loss == "sigmoid" else 3, loss).prepare_labels(labels)


def test_labels_that_are_other_than_names_are_told_astype():
    for labels in (T * 1.0, T.astype(object)):
        with pytest.raises(ValueError, match=r"got dtype \w+; .astype\(int\) converts them$"):
            fit(net(), X, labels)


def test_validation_data_are_named_where_they_do_not_fit():
    for wrong, shape in ((X[:, :3], r"\(12, 3\)"), (np.ones((12, 5)), r"\(12, 5\)"), (X[0], r"\(4,\)")):
        t = T[: len(wrong)]
        match = f"fit: validation's x has shape {shape}, expected \\(N, 4\\), samples like those of x, {{}}"
        with pytest.raises(ValueError, match=match.format(r"of shape \(12, 4\): Affine: x has")):
            fit(net(), X, T, validation=(wrong, t))
    with pytest.raises(IndexError, match=r"fit: validation's t\[1\] is 6, expected a number from 0 to 2"):
        fit(net(), X, T, validation=(X, T + 5 * (T == 1)))
    with pytest.raises(ValueError, match=r"fit: validation's t has shape .*, a number for each output"):
        fit(net(3, "identity"), X, np.zeros((12, 3)), validation=(X, np.zeros((12, 2))))
    with pytest.raises(ValueError, match=r"^Affine: x has shape \(1, 3\)"):  # x itself is as wrong
        fit(net(), X[:, :3], T, validation=(X[:, :3], T))


@pytest.mark.parametrize("pooled", [False, True])
def test_a_missing_flatten_is_named(pooled):
    images, side = np.random.default_rng(0).standard_normal((12, 1, 6, 6)), 3 if pooled else 6
    made = [layers.Convolution(np.ones((2, 1, 3, 3)), np.zeros(2), pad=1), layers.Relu()]
    made += [layers.Pooling(2, 2)] * pooled + [layers.Affine(np.ones((2 * side**2, 3)), np.zeros(3))]
    model = Sequential(made, SoftmaxWithLoss())
    calls = (
        lambda: fit(model, images, T),
        lambda: model.forward(images, T),
        lambda: model.predict(images),
        lambda: fit(model, images, T, validation=(images, T)),
    )
    for call in calls:
        told = rf"put a Flatten\(\) before it, which makes {2 * side**2} numbers of each sample"
        with pytest.raises(
            ValueError, match=rf"Affine: x has shape \(\d+, 2, {side}, {side}\), expected .*; {told}"
        ):
            call()
    with pytest.raises(ValueError, match=r"because W has shape \(7, 3\)$"):  # which Flatten would not help
        layers.Affine(np.ones((7, 3)), np.zeros(3)).forward(images)
