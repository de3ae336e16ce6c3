"""The later chapters: a step of each network, the counting of words, and every layer of both books.

The rival is the same code over the books' layers in plain NumPy. Book 2's network on the spiral is in
`test_training.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import chapters
import numpy as np
import pytest
from data import digits
from numpy_books import book1, book2, rnnlm
from timing import Contestant, Missing, Target, contest
from workloads import WITHOUT_DELTA

import scratchnet.book1.layers
import scratchnet.book1.optimizer
import scratchnet.book2.layers
import scratchnet.book2.optimizer
import scratchnet.book2.time_layers
import scratchnet.book2.trainer
import scratchnet.book2.util

OURS = {
    1: SimpleNamespace(layers=scratchnet.book1.layers, optimizer=scratchnet.book1.optimizer),
    2: SimpleNamespace(
        layers=scratchnet.book2.layers,
        time_layers=scratchnet.book2.time_layers,
        optimizer=scratchnet.book2.optimizer,
        trainer=scratchnet.book2.trainer,
        util=scratchnet.book2.util,
    ),
}
BOOKS = {1: book1, 2: book2}
# Against float64 from the same numbers: losses of the first steps, relative; a layer's results, to the largest.
CLOSE = {"float32": 1e-4, "float64": 1e-9}
STEPS = 4  # that are compared


# ---------------------------------------------------------------------------------------------------- steps

Make = Callable[[SimpleNamespace, np.dtype], chapters.Step]


def image_weights(shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> dict[str, np.ndarray]:
    """W1, b1, W2 ... for weights of these shapes: (D, M), or (M, C, P, Q) of filters."""
    rng, weights = np.random.default_rng(0), {}
    for i, shape in enumerate(shapes, 1):
        weights[f"W{i}"] = (0.01 * rng.standard_normal(shape)).astype(dtype)
        weights[f"b{i}"] = np.zeros(shape[0] if len(shape) == 4 else shape[-1], dtype)
    return weights


def two_layers(package: SimpleNamespace, dtype: np.dtype) -> chapters.Step:
    x, t = digits()
    weights = image_weights([(784, 50), (50, 10)], dtype)
    return chapters.image_step(package, weights, ("Affine", "Relu", "Affine"), "SGD", 0.1, x, t)


FILTERS = [(30, 1, 5, 5), (30 * 12 * 12, 100), (100, 10)]


def convolutional(package: SimpleNamespace, dtype: np.dtype) -> chapters.Step:
    x, t = digits()
    weights = image_weights(FILTERS, dtype)
    chain = ("Convolution", "Relu", "Pooling", "Affine", "Relu", "Affine")
    return chapters.image_step(package, weights, chain, "Adam", 0.001, x.reshape(-1, 1, 28, 28), t)


def convolutional_in_torch(modules: Any, dtype: np.dtype) -> chapters.Step:
    x, t = digits()
    return modules.convolutional(image_weights(FILTERS, dtype), x.reshape(-1, 1, 28, 28), t)


def text(words: int, dtype: np.dtype) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """The language model's weights, and batches of a text."""
    stream = book2.trainer.batches(np.random.default_rng(0).integers(0, words, 10000), 20, 35)
    return rnnlm.weights(words, 100, 100, dtype=dtype, rng=0), [next(stream) for _ in range(STEPS)]


def language_model(words: int) -> Make:
    def make(package: SimpleNamespace, dtype: np.dtype) -> chapters.Step:
        weights, batches = text(words, dtype)
        model = chapters.LanguageModel(package.time_layers, weights)
        return chapters.text_step(package, model, package.optimizer.SGD(20.0), batches, max_grad=0.25)

    return make


def language_model_in_torch(words: int) -> Make:
    return lambda modules, dtype: modules.language_model(*text(words, dtype), lr=20.0, max_grad=0.25)


def word_vectors(package: SimpleNamespace, dtype: np.dtype) -> chapters.Step:
    rng, words = np.random.default_rng(0), 10000
    weights = [(0.01 * rng.standard_normal((words, 100))).astype(dtype) for _ in range(2)]
    batches = [(rng.integers(0, words, (100, 10)), rng.integers(0, words, (100, 6))) for _ in range(STEPS)]
    model = chapters.WordVectors(package.layers, weights, window=5, negatives=5)
    return chapters.text_step(package, model, package.optimizer.Adam(), batches)


@dataclass
class Chapter:
    """A step that is timed: of which book, in which types, and how many times as fast as NumPy it is to be.

    `torch` makes the same step from the functions of `chapters_torch`.
    """

    book: int
    make: Make
    dtypes: tuple[str, ...]
    least: float | None
    torch: Make | None = None
    least_torch: float | None = None

    def targets(self, dtype: str) -> list[Target]:
        if self.book == 2 and dtype == "float64":  # which that book does not use
            return [Target("NumPy", least=1)]
        wanted = {"NumPy": self.least, "PyTorch": self.least_torch}
        return [Target(who, least=least) for who, least in wanted.items() if least]


BOTH = ("float64", "float32")
CHAPTERS = {
    "784-50-10, batch 100, SGD": Chapter(1, two_layers, BOTH, 4),
    "convolution 30 of 5x5, 100-10, batch 100, Adam": Chapter(
        1, convolutional, BOTH, 5.5, convolutional_in_torch, 2.5
    ),
    "language model, 10000 words, LSTM 100, 20x35": Chapter(
        2, language_model(10000), BOTH, 2.7, language_model_in_torch(10000), 1.6
    ),
    "language model, 50 words, LSTM 100, 20x35": Chapter(
        2, language_model(50), BOTH, None, language_model_in_torch(50)
    ),
    "CBOW, 10000 words, 100 numbers, batch 100": Chapter(2, word_vectors, ("float32",), 3),
}


def stepper(name: str, make: Make, package: SimpleNamespace, dtype: str) -> Contestant:
    def made() -> tuple[Callable[[], Any], Callable[[], Any]]:
        step = make(package, np.dtype(dtype))
        return lambda: first_losses(step), step

    return Contestant(name, made)


def torch_stepper(make: Make, dtype: str) -> Contestant:
    def made() -> tuple[Callable[[], Any], Callable[[], Any]]:
        try:
            import chapters_torch
        except ImportError:
            raise Missing("PyTorch is not installed") from None
        step = make(chapters_torch, np.dtype(dtype))
        return lambda: first_losses(step), step

    return Contestant("PyTorch", made)


def first_losses(step: chapters.Step) -> list[float]:
    np.random.seed(0)  # book 1's steps draw their batches
    return [step() for _ in range(STEPS)]


def close_to(true: Any, dtype: str) -> Callable[[str, Any], None]:
    def close(name: str, got: Any) -> None:
        rtol = max(CLOSE[dtype], WITHOUT_DELTA) if name == "PyTorch" else CLOSE[dtype]
        np.testing.assert_allclose(got, true, rtol=rtol, atol=0, err_msg=name)

    return close


@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n, chapter in CHAPTERS.items() for d in chapter.dtypes])
def test_step(benchmark, seconds, name, dtype):
    chapter = CHAPTERS[name]
    plain = BOOKS[chapter.book]
    contestants = [
        stepper("scratchnet", chapter.make, OURS[chapter.book], dtype),
        stepper("NumPy", chapter.make, plain, dtype),
    ]
    if chapter.torch:
        contestants.append(torch_stepper(chapter.torch, dtype))
    contest(
        benchmark,
        contestants,
        close_to(first_losses(chapter.make(plain, np.dtype(np.float64))), dtype),
        targets=chapter.targets(dtype),
        seconds=5 * seconds,
        table="books",
        work=name,
        dtype=dtype,
    )


def test_ppmi(benchmark, seconds):
    words = 300  # book 2 has 10000, at which its loops take an hour
    corpus = np.random.default_rng(0).zipf(1.3, 20000) % words
    counts = scratchnet.util.create_co_matrix(corpus, words, 5)

    def weigher(name: str, ppmi: Callable[[np.ndarray], np.ndarray]) -> Contestant:
        return Contestant(name, lambda: (lambda: ppmi(counts), lambda: ppmi(counts)))

    contest(
        benchmark,
        [weigher("scratchnet", scratchnet.util.ppmi), weigher("NumPy", book2.util.ppmi)],
        lambda name, got: np.testing.assert_array_equal(got, book2.util.ppmi(counts), err_msg=name),
        targets=[Target("NumPy", least=100)],
        seconds=3 * seconds,
        table="books",
        work=f"ppmi, {words} words",
        dtype="float32",
    )


# --------------------------------------------------------------------------------------------------- layers

Numbers = Callable[..., np.ndarray]  # of a shape
# The arguments of a layer's constructor and of its forward, from numbers, a generator of indices, and sizes.
Arguments = Callable[..., tuple[tuple, tuple]]


@dataclass
class Piece:
    """A layer: both of it, its arguments, and sizes from the smallest to the books'."""

    plain: Callable[..., Any]
    ours: Callable[..., Any]
    arguments: Arguments
    sizes: Sequence[tuple[int, ...]]


def affine(x, index, N, D, M):
    return (x(D, M), x(M)), (x(N, D),)


def product(x, index, N, D, M):
    return (x(D, M),), (x(N, D),)


def plain_function(x, index, *shape):
    return (), (x(*shape),)


def classes(x, index, N, C):
    return (), (x(N, C), index(C, N))


def one_hot(x, index, N, C):
    return (), (x(N, C), np.eye(C, dtype=np.int32)[index(C, N)])


def yes_or_no(x, index, N):
    return (), (x(N), index(2, N).astype(np.int32))  # as the books' np.ones and np.zeros make them


def chosen(x, index, V, D, *shape):
    return (x(V, D),), (index(V, *shape),)


def normalized(x, index, N, D):
    return (1 + x(D), x(D)), (x(N, D),)


def windows(x, index, N, C, H, M, P, stride, pad):
    return (x(M, C, P, P), x(M), stride, pad), (x(N, C, H, H),)


def pooled(x, index, N, C, H, P):
    return (P, P), (x(N, C, H, H),)


def cell(gates: int, states: int) -> Arguments:
    def arguments(x, index, N, D, H):
        weights = x(D, gates * H), x(H, gates * H), x(gates * H)
        return weights, (x(N, D), *(x(N, H) for _ in range(states)))

    return arguments


def cells_in_time(gates: int) -> Arguments:
    return lambda x, index, N, T, D, H: ((x(D, gates * H), x(H, gates * H), x(gates * H)), (x(N, T, D),))


def affine_in_time(x, index, N, T, D, M):
    return (x(D, M), x(M)), (x(N, T, D),)


def classes_in_time(x, index, N, T, C):
    return (), (x(N, T, C), index(C, N, T))


def pieces() -> dict[str, Piece]:
    images, ours1, ours2, time = book1.layers, OURS[1].layers, OURS[2].layers, OURS[2].time_layers
    layers, plain_time = book2.layers, book2.time_layers
    products = [(1, 1, 1), (30, 2, 10), (100, 784, 50)]
    columns = [(1, 1), (30, 10), (100, 50)]
    scores = [(1, 2), (30, 3), (100, 10)]
    steps, sequences = (
        [(1, 1, 1), (10, 10, 10), (20, 100, 100)],
        [(1, 1, 1, 1), (10, 5, 10, 10), (20, 35, 100, 100)],
    )
    found = {
        "book 1: Affine": (images.Affine, ours1.Affine, affine, products),
        "book 1: Sigmoid": (images.Sigmoid, ours1.Sigmoid, plain_function, columns),
        "book 1: Relu": (images.Relu, ours1.Relu, plain_function, [*columns, (100, 30, 24, 24)]),
        "book 1: Dropout": (images.Dropout, ours1.Dropout, plain_function, columns),
        "book 1: SoftmaxWithLoss": (images.SoftmaxWithLoss, ours1.SoftmaxWithLoss, classes, scores),
        "book 1: SoftmaxWithLoss, one-hot": (images.SoftmaxWithLoss, ours1.SoftmaxWithLoss, one_hot, scores),
        "book 1: BatchNormalization": (
            images.BatchNormalization,
            ours1.BatchNormalization,
            normalized,
            [(1, 1), (30, 10), (100, 100)],
        ),
        "book 1: Convolution": (
            images.Convolution,
            ours1.Convolution,
            windows,
            [(1, 1, 1, 1, 1, 1, 0), (2, 3, 8, 4, 3, 2, 1), (100, 1, 28, 30, 5, 1, 0)],
        ),
        "book 1: Pooling": (images.Pooling, ours1.Pooling, pooled, [(1, 1, 2, 2), (2, 3, 8, 2), (100, 30, 24, 2)]),
        "MatMul": (layers.MatMul, ours2.MatMul, product, products),
        "Affine": (layers.Affine, ours2.Affine, affine, products),
        "Sigmoid": (layers.Sigmoid, ours2.Sigmoid, plain_function, columns),
        "Softmax": (layers.Softmax, ours2.Softmax, plain_function, scores),
        "SoftmaxWithLoss": (layers.SoftmaxWithLoss, ours2.SoftmaxWithLoss, classes, scores),
        "SoftmaxWithLoss, one-hot": (layers.SoftmaxWithLoss, ours2.SoftmaxWithLoss, one_hot, scores),
        "SigmoidWithLoss": (layers.SigmoidWithLoss, ours2.SigmoidWithLoss, yes_or_no, [(1,), (100,)]),
        "Embedding": (layers.Embedding, ours2.Embedding, chosen, [(1, 1, 1), (50, 10, 20), (10000, 100, 100)]),
        "RNN": (plain_time.RNN, time.RNN, cell(1, 1), steps),
        "LSTM": (plain_time.LSTM, time.LSTM, cell(4, 2), steps),
        "GRU": (plain_time.GRU, time.GRU, cell(3, 1), steps),
        "TimeRNN": (plain_time.TimeRNN, time.TimeRNN, cells_in_time(1), sequences),
        "TimeLSTM": (plain_time.TimeLSTM, time.TimeLSTM, cells_in_time(4), sequences),
        "TimeGRU": (plain_time.TimeGRU, time.TimeGRU, cells_in_time(3), sequences),
        "TimeEmbedding": (
            plain_time.TimeEmbedding,
            time.TimeEmbedding,
            chosen,
            [(1, 1, 1, 1), (50, 10, 10, 5), (10000, 100, 20, 35)],
        ),
        "TimeAffine": (
            plain_time.TimeAffine,
            time.TimeAffine,
            affine_in_time,
            [(1, 1, 1, 1), (10, 5, 10, 50), (20, 35, 100, 1000)],
        ),
        "TimeDropout": (plain_time.TimeDropout, time.TimeDropout, plain_function, [(1, 1, 1), (20, 35, 100)]),
        "TimeSoftmaxWithLoss": (
            plain_time.TimeSoftmaxWithLoss,
            time.TimeSoftmaxWithLoss,
            classes_in_time,
            [(1, 1, 2), (10, 5, 50), (20, 35, 1000)],
        ),
    }
    return {name: Piece(*piece) for name, piece in found.items()}


PIECES = pieces()
# The output of 10000 words is in the language model's step: a single call takes a tenth of a second.
CALLS = [(name, sizes) for name, piece in PIECES.items() for sizes in piece.sizes]


def arrays(result: Any) -> list[np.ndarray]:
    """What a layer returned, as a list; nothing for None."""
    if result is None:
        return []
    return [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,))]


def gradients(layer: Any) -> list[np.ndarray]:
    """Those that a backward left behind, in either book's manner."""
    named = [getattr(layer, name, None) for name in ("dW", "db", "dgamma", "dbeta")]
    return [g for g in named if g is not None] or list(getattr(layer, "grads", []))


class LayerCase:
    """One layer in one size and type: its arguments, and what is right."""

    def __init__(self, name: str, sizes: Sequence[int], dtype: str) -> None:
        self.piece, self.dtype = PIECES[name], dtype
        rng = np.random.default_rng(0)
        self.rng = rng
        self.settings, self.inputs = self.piece.arguments(
            self._numbers, lambda most, *shape: rng.integers(0, most, shape), *sizes
        )
        self.douts: tuple[np.ndarray, ...] = ()
        outputs = arrays(self._made(self.piece.plain, np.float64)[1]())
        if outputs[0].ndim:  # else a loss: its backward is called without arguments
            self.douts = tuple(self._numbers(*out.shape) for out in outputs)
        self.true = {way: self.result(self.piece.plain, way, np.float64) for way in ("forward", "backward")}

    def _numbers(self, *shape: int) -> np.ndarray:
        """Float64, but numbers of the type: everybody computes with the same ones."""
        return (0.1 * self.rng.standard_normal(shape)).astype(self.dtype).astype(np.float64)

    def _made(self, kind: Callable[..., Any], dtype: Any) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
        """Return the layer, its forward and its backward, over arrays of their own."""

        def own(values: Sequence[Any]) -> list[Any]:
            return [v.astype(dtype) if getattr(v, "dtype", None) == np.float64 else v for v in values]

        layer, inputs, douts = kind(*own(self.settings)), own(self.inputs), own(self.douts)
        return layer, lambda: layer.forward(*inputs), lambda: layer.backward(*douts)

    def result(self, kind: Callable[..., Any], way: str, dtype: Any) -> list[np.ndarray]:
        layer, forward, backward = self._made(kind, dtype)
        np.random.seed(0)  # for dropout
        results = arrays(forward())
        if way == "backward":
            results = [*arrays(backward()), *gradients(layer)]
        return results

    def contestant(self, name: str, way: str) -> Contestant:
        kind = self.piece.plain if name == "NumPy" else self.piece.ours

        def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
            _, forward, backward = self._made(kind, self.dtype)
            forward()
            return lambda: self.result(kind, way, self.dtype), forward if way == "forward" else backward

        return Contestant(name, make)

    def close(self, way: str) -> Callable[[str, list[np.ndarray]], None]:
        def close(name: str, got: list[np.ndarray]) -> None:
            for mine, true in zip(got, self.true[way], strict=True):
                bound = CLOSE[self.dtype] * np.abs(true).max(initial=0)
                np.testing.assert_allclose(mine, true, rtol=0, atol=bound, err_msg=f"{name}: {way}")

        return close


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    ("name", "sizes"), CALLS, ids=[f"{name}-{'x'.join(map(str, sizes))}" for name, sizes in CALLS]
)
def test_layer(benchmark, seconds, name, sizes, dtype, way):
    case = LayerCase(name, sizes, dtype)
    contest(
        benchmark,
        [case.contestant(who, way) for who in ("scratchnet", "NumPy")],
        case.close(way),
        # Dropout draws the same numbers as the books' at the same cost, and that is nearly all of its time.
        targets=[] if "Dropout" in name else [Target("NumPy", least=1)],
        seconds=0.08 * seconds,
        sample_seconds=3e-4,
        table="layers",
        work=name,
        sizes="x".join(map(str, sizes)),
        dtype=dtype,
        way=way,
    )
