"""Attacks on the helpers for words, and on the small helpers of util and weights."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import books2_numpy as books
import numpy as np
from judge import Expected, Trial, chained, exactly, rounding
from odd import Draw, Refused, float_dtype, parameter_dtype, plain, plain_labels, plain_number, plain_whole
from plain import trainer2, util2
from table import attack

from scratchnet import language, util, weights
from scratchnet.backends import cpu, operands
from scratchnet.dataset import sequence, spiral

WORDS = ("you", "say", "goodbye", "and", "I", "hello", ".", "네", "")


def draw_corpus(draw: Draw, V: int) -> Any:
    """Word numbers of a text, in some whole dtype; or something odd."""
    a = draw.rng.integers(0, V, draw.size(low=1, high=30))
    if draw.chance(0.7):
        dtype = draw.pick(("i8", "i4", "i2", "i1", "u1", "u2", "u4", ">i4"))
        return a.astype(dtype) if draw.chance(0.8) else a.tolist()
    how = draw.pick(("high", "low", "float", "type", "axes", "bool"))
    draw.note(f"corpus: {how}", legal=False)
    if how == "type":
        return draw.array((5,))
    if how == "axes":
        return a.reshape(1, -1)
    if how in ("float", "bool"):
        return a.astype(how)
    if len(a):
        a[int(draw.rng.integers(len(a)))] = V if how == "high" else -1
    return a


def plain_corpus(corpus: Any, V: int | None = None, axes: tuple[int, ...] = (1,)) -> np.ndarray:
    if isinstance(corpus, np.ma.MaskedArray):
        raise Refused("a mask")
    try:
        a = np.asarray(corpus)
    except Exception as error:
        raise Refused(str(error)) from None
    if a.ndim not in axes or (a.size and a.dtype.kind not in "biu"):
        raise Refused("no corpus")
    if V is not None and a.size and not 0 <= int(a.min()) <= int(a.max()) < V:
        raise Refused("a word out of range")
    return a.astype(np.int64)


def printed(function: Callable[[], Any]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function()
    return out.getvalue()


@attack("language.preprocess", share=0.5)
def preprocess(draw: Draw) -> Trial:
    text = " ".join(draw.pick(WORDS) for _ in range(draw.size(low=1, high=12)))

    def call() -> Any:
        corpus, word_to_id, id_to_word = language.preprocess(text)
        return [corpus, repr(word_to_id), repr(id_to_word)]

    def expect() -> list[Any]:
        corpus, word_to_id, id_to_word = util2.preprocess(text)
        return [Expected(corpus), repr(word_to_id), repr(id_to_word)]

    return Trial(call, expect)


@attack("language.create_co_matrix")
def create_co_matrix(draw: Draw) -> Trial:
    V = draw.size(low=1, high=8)
    V = draw.pick((V, V, 150, 300)) if draw.chance(0.3) else max(V, 1)
    corpus = draw_corpus(draw, min(V, 120) if draw.chance(0.8) else V)
    size, width = draw.whole(V, odd=0.1), draw.whole(1, 2, 5, odd=0.2)
    draw.is_legal &= not isinstance(corpus, np.ndarray) or corpus.dtype.itemsize > 1 or V <= 120

    def expect() -> list[Expected]:
        v, w = plain_whole(size), plain_whole(width)
        if v < 0 or v > 5000 or w > 10**5:
            return [Expected(np.zeros(np.shape(language.create_co_matrix(corpus, size, width))), np.inf)]
        return exactly(books.create_co_matrix(plain_corpus(corpus, v), v, min(w, 100)))

    return Trial(lambda: language.create_co_matrix(corpus, size, width), expect, [corpus])


@attack("language.create_contexts_target")
def create_contexts_target(draw: Draw) -> Trial:
    corpus, width = draw_corpus(draw, 9), draw.whole(1, 2, 3, odd=0.2)

    def expect() -> list[Expected]:
        a, w = plain_corpus(corpus), plain_whole(width)
        if w < 0:
            raise Refused("the window")
        count = max(len(a) - 2 * w, 0)
        if not count:
            return [Expected(np.zeros((0, 2 * w))), Expected(np.zeros(0))]
        contexts, target = util2.create_contexts_target(a, w)
        return exactly(contexts.reshape(count, 2 * w), target)

    return Trial(lambda: language.create_contexts_target(corpus, width), expect, [corpus])


@attack("language.convert_one_hot")
def convert_one_hot(draw: Draw) -> Trial:
    V = max(draw.size(low=2), 2)
    corpus = draw_corpus(draw, V)
    if isinstance(corpus, np.ndarray) and corpus.ndim == 1 and draw.chance(0.3) and corpus.size % 2 == 0:
        corpus = corpus.reshape(-1, 2)
    size = draw.whole(V, odd=0.1)

    def expect() -> list[Expected]:
        a, v = plain_corpus(corpus, plain_whole(size), axes=(1, 2)), plain_whole(size)
        return exactly(util2.convert_one_hot(a, v) if a.size else np.zeros((*a.shape, v)))

    return Trial(lambda: language.convert_one_hot(corpus, size), expect, [corpus])


@attack("language.ppmi")
def ppmi(draw: Draw) -> Trial:
    V = draw.size(low=1, high=6)
    C = books.create_co_matrix(draw.rng.integers(0, max(V, 1), 20), max(V, 1), 2)
    C = C.astype(draw.pick(("i4", "i8", "f8", "u2", "i2"))) * draw.pick((1, 1, 1000))
    if draw.chance(0.25):
        C = draw.array((V, V), extremes=False)
        draw.is_legal = False  # of counts below 0 the logarithm is NaN
    eps = draw.number(1e-8, 1e-4, odd=0.1)

    def expect() -> list[Expected]:
        counts = plain(C)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise Refused("no square of counts")
        if np.any(~(counts >= 0)):
            return [Expected(np.zeros(counts.shape), np.inf)]
        with np.errstate(all="ignore"):
            true = np.where(counts.sum(axis=0) * counts.sum(axis=0)[:, None] > 0, books.ppmi(counts, plain_number(eps)), 0)
        return [Expected(np.nan_to_num(true), 1e-5 * (1 + np.abs(true)), "f4")]

    return Trial(lambda: language.ppmi(C, eps=eps), expect, [C], errors=(ValueError, IndexError))


@attack("language.cos_similarity")
def cos_similarity(draw: Draw) -> Trial:
    D = draw.size()
    x, y = draw.array((D,), extremes=False), draw.array((D,), extremes=False)

    def expect() -> list[Expected]:
        a, b = plain(x, float_dtype(x)), plain(y, float_dtype(y))
        if a.ndim != 1 or a.shape != b.shape:
            raise Refused("no two vectors")
        coarser = min(float_dtype(x), float_dtype(y), key=lambda d: d.itemsize)
        return [Expected(util2.cos_similarity(a, b), 16 * (D + 8) * rounding(coarser) + 1e-15)]

    return Trial(lambda: language.cos_similarity(x, y), expect, [x, y])


@attack("language.normalize")
def normalize(draw: Draw) -> Trial:
    shape = draw.shape(least=1, most=2)
    x = draw.array(shape, extremes=False, dtype=draw.pick(("f4", "f8")), others=False, written=True)
    before = np.array(x) if type(x) in (np.ndarray,) else x
    if isinstance(x, np.ndarray):
        before = x.copy()

    def expect() -> list[Expected]:
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            raise Refused("no floating array to change")
        a = plain(before, float_dtype(before))
        if a.ndim == 0:
            a = a.reshape(1)
        true = a / np.sqrt((a * a).sum(axis=-1, keepdims=True))
        return [Expected(true.reshape(np.shape(before)), 16 * (a.size + 8) * rounding(float_dtype(before)))]

    return Trial(lambda: language.normalize(x), expect, state=[x])


@attack("language.most_similar", "language.analogy")
def nearest_words(draw: Draw) -> Trial:
    V = int(draw.rng.integers(4, 9))
    words = [f"w{i}" for i in range(V)]
    word_to_id, id_to_word = {w: i for i, w in enumerate(words)}, dict(enumerate(words))
    M = draw.rng.standard_normal((V, 3))
    asked = [draw.pick([*words, "unknown"] if draw.chance(0.2) else words) for _ in range(3)]
    top = draw.pick((1, 2, 5, 100))
    if draw.chance(0.5):
        call = lambda module: module.most_similar(asked[0], word_to_id, id_to_word, M, top)  # noqa: E731
    else:
        call = lambda module: module.analogy(*asked, word_to_id, id_to_word, M, top)  # noqa: E731

    def agrees() -> Any:
        mine = printed(lambda: call(language))
        try:
            theirs = printed(lambda: call(util2))
        except KeyError:
            return "is not found" in mine
        return _rounded(mine) == _rounded(theirs)

    return Trial(agrees, lambda: [True], [M])


def _rounded(text: str) -> list[Any]:
    """The lines as a set, scores to ten digits: equal ones may change places."""
    lines = []
    for line in text.splitlines():
        word, _, score = line.rpartition(": ")
        with contextlib.suppress(ValueError):
            line = f"{word}: {float(score):.9f}".replace("-0.000000000", "0.000000000")
        lines.append(line if ":" not in line or not word else line.split(": ")[-1])
    return lines


@attack("language.stretches", share=0.5)
def stretches(draw: Draw) -> Trial:
    length, N, T, start = (int(draw.rng.integers(low, 20)) for low in (1, 1, 0, 0))

    def expect() -> list[Expected]:
        return exactly([[(i * (length // N) + start + t) % length for t in range(T)] for i in range(N)])

    def shaped() -> list[Expected]:
        return [Expected(np.reshape(expect()[0].true, (N, T)))]

    return Trial(lambda: language.stretches(length, N, T, start), shaped)


class Surprised:
    """A language model that is as surprised as the numbers are large."""

    def forward(self, xs: Any, ts: Any) -> float:
        return float(np.mean(xs) + 0.1 * np.mean(ts))


@attack("language.eval_perplexity", share=0.5)
def eval_perplexity(draw: Draw) -> Trial:
    corpus = draw.rng.integers(0, 5, draw.size(high=30)).astype(draw.pick(("i8", "i4", "u1")))
    N, T = draw.pick((1, 2, 3)), draw.pick((1, 2, 3))

    def expect() -> list[Expected]:
        a = plain_corpus(corpus)
        if (len(a) - 1) // (N * T) < 1:
            raise Refused("the text is short")
        with contextlib.redirect_stdout(io.StringIO()):
            return [Expected(util2.eval_perplexity(Surprised(), a, N, T), 1e-12 * 500)]

    draw.is_legal = len(corpus) - 1 >= N * T
    return Trial(lambda: language.eval_perplexity(Surprised(), corpus, N, T), expect, [corpus])


class Parrot:
    """Answers what it was made with."""

    def __init__(self, answer: list[int]) -> None:
        self.answer = answer

    def generate(self, question: Any, start: int, length: int) -> list[int]:
        return self.answer[:length]


@attack("language.eval_seq2seq", share=0.5)
def eval_seq2seq(draw: Draw) -> Trial:
    id_to_char = dict(enumerate("0123_ +"))
    question, correct = draw.rng.integers(0, 7, (1, 5)), draw.rng.integers(0, 7, (1, 4))
    answer = correct.flatten()[1:].tolist() if draw.chance(0.5) else [0, 1, 2]
    verbose, backwards = draw.chance(0.5), draw.chance(0.5)

    def call(module: Any) -> list[Any]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            right = module.eval_seq2seq(Parrot(answer), question, correct, id_to_char, verbose, backwards)
        return [right, out.getvalue()]

    return Trial(lambda: call(language), lambda: call(util2), [question, correct])


# util and weights


@attack("util.clip_grads")
def clip_grads(draw: Draw) -> Trial:
    grads = [draw.parameter(draw.shape(least=1, most=2), dtype=draw.pick(("f4", "f8"))) for _ in range(2)]
    for g in grads:
        if isinstance(g, np.ndarray) and not g.flags.writeable:
            draw.note("read-only", legal=False)
    most = draw.number(1, 0.1, 100.0, 0, odd=0.2)
    before = [g.copy() if isinstance(g, np.ndarray) else g for g in grads]

    def call() -> list[Any]:
        util.clip_grads(grads, most)
        return [np.array(g) for g in grads]

    def expect() -> list[Expected]:
        arrays, limit = [plain(g, parameter_dtype(g)) for g in before], plain_number(most)
        if not limit >= 0:
            raise Refused("max_norm")
        with np.errstate(all="ignore"):
            norm = np.sqrt(sum(np.sum(a * a) for a in arrays))
            rate = limit / (norm + 1e-6)
        if not np.isfinite(norm) or not np.isfinite(limit):
            return [Expected(np.zeros(a.shape), np.inf) for a in arrays]
        rate = rate if rate < 1 else 1.0
        terms = sum(a.size for a in arrays) + 32
        return [Expected(a * rate, terms * rounding("f4") * np.abs(a * rate) + 1e-44, g.dtype) for a, g in zip(arrays, before, strict=True)]

    return Trial(call, expect, state=[grads])


@attack("util.remove_duplicate", share=0.5)
def remove_duplicate(draw: Draw) -> Trial:
    params, grads = [], []
    for _ in range(int(draw.rng.integers(1, 5))):
        how = draw.pick(("new", "same", "transposed")) if params else "new"
        new = draw.rng.standard_normal((draw.pick((2, 3)), 3))
        p = new if how == "new" else params[0] if how == "same" else params[0].T
        params.append(p)
        grads.append(draw.rng.standard_normal(p.shape))
    by_value = draw.chance(0.5)
    copies = [g.copy() for g in grads]

    def call() -> list[Any]:
        kept, sums = util.remove_duplicate(params, grads, by_value=by_value)
        return [*kept, *sums]

    def expect() -> list[Expected]:
        kept, sums = trainer2.remove_duplicate(params, copies)
        return [Expected(a, 1e-14 * (1 + np.abs(a))) for a in (*kept, *sums)]

    return Trial(call, expect, [params])


@attack("util.flatten", "util.named_params", "util.layers_of", share=0.5)
def lists_of_parameters(draw: Draw) -> Trial:
    W, b = np.ones((2, 3)), np.ones(3)
    params = draw.pick(([W, b, W, b], [[W, b], [W, b]], (W, (b, [W]), b), "W", None, 5, {"W": W}))
    legal = isinstance(params, list | tuple)
    draw.is_legal &= legal

    class Model:
        layers = (1, 2)

        def __init__(self) -> None:
            self.a, self.b = [Parrot([])], {"x": util}

    def call() -> list[Any]:
        flat = util.flatten(params)
        return [len(flat), ",".join(util.named_params(params)), len(util.layers_of(Model()))]

    def expect() -> list[Any]:
        if not legal:
            raise Refused("no list")
        return [4, "W1,b1,W2,b2" if isinstance(params, list) else "W1,b1,W2,b2", 0]

    return Trial(call, expect, [params])


class Scores:
    """A model whose scores are a product."""

    def __init__(self, W: np.ndarray) -> None:
        self.W = W

    def predict(self, x: Any) -> Any:
        return np.asarray(x, np.float64) @ self.W


@attack("util.accuracy", "util.predict", "util.row_blocks", "util.class_indices")
def accuracy(draw: Draw) -> Trial:
    N, C = max(draw.size(), 1), max(draw.size(low=2), 2)
    x, t = draw.numbers((N, 3), "f8", extremes=False), draw.labels(N, C)
    W = draw.numbers((3, C), "f8", extremes=False)
    block = draw.whole(1, 3, 4096, odd=0.2)
    method = draw.pick(("accuracy", "predict", "class_indices"))

    def expect() -> list[Expected]:
        if method != "class_indices" and plain_whole(block) < 1:
            raise Refused("block_size")
        if method == "predict":
            return [chained(x @ W, 8, "f8")]
        labels = plain_labels(t, N if method == "accuracy" else len(np.asarray(t)) if np.ndim(t) else 1, C)
        return exactly(labels if method == "class_indices" else np.mean((x @ W).argmax(axis=1) == labels))

    def call() -> Any:
        if method == "accuracy":
            return util.accuracy(Scores(W), x, t, block_size=block)
        if method == "predict":
            return util.predict(Scores(W), x, block_size=block)
        return util.class_indices("t", t if hasattr(t, "__len__") else np.atleast_1d(t), C)

    return Trial(call, expect, [x, t])


@attack("util.to_cpu", "backends.operands.as_array", "backends.operands.is_on_gpu", share=0.3)
def as_array(draw: Draw) -> Trial:
    x = draw.array(draw.shape(), calm=True)
    return Trial(
        lambda: [util.to_cpu(x), operands.as_array(x), operands.is_on_gpu(x)],
        lambda: [*exactly(np.asarray(x), np.asarray(x)), False],
        [x],
    )


@attack("backends.operands.as_operand", "backends.operands.as_float_array", "backends.operands.is_plain",
        "backends.operands.is_writable", "backends.operands.check_parameter")  # fmt: skip
def as_operand(draw: Draw) -> Trial:
    x, dtype = draw.array(draw.shape()), np.dtype(draw.pick(("f4", "f8")))

    def call() -> Any:
        a, b = operands.as_operand("x", x, np.empty(1, dtype)), operands.as_float_array("x", x)
        return [a, b, operands.is_plain(a) or not a.flags.writeable, operands.check_parameter("x", b) is b]

    def expect() -> list[Any]:
        return [*exactly(plain(x, dtype), plain(x, float_dtype(x))), True, True]

    return Trial(call, expect, [x])


@attack("backends.operands.as_labels", "backends.operands.check_labels")
def as_labels(draw: Draw) -> Trial:
    rows, classes = draw.size(), draw.size(low=2)
    t = draw.labels(rows, classes)

    def call() -> Any:
        labels = operands.as_labels("t", t, rows, classes)
        operands.check_labels("t", labels, classes)
        return labels

    return Trial(call, lambda: exactly(plain_labels(t, rows, classes)), [t])


@attack("backends.operands.side_by_side", "backends.address_of", "backends.cpu.address", share=0.3)
def side_by_side(draw: Draw) -> Trial:
    from scratchnet import backends

    shapes = [draw.shape(most=3) for _ in range(int(draw.rng.integers(1, 4)))]

    def call() -> Any:
        arrays = operands.side_by_side(shapes, np.dtype("f4"))
        ends = [backends.address_of(a) + a.nbytes for a in arrays if a.size]
        begins = [cpu.address(a) for a in arrays if a.size]
        return [*arrays, ends[:-1] == begins[1:]]

    return Trial(call, lambda: [*exactly(*(np.zeros(s) for s in shapes)), True])


@attack("weights.checked_cast", share=0.5)
def checked_cast(draw: Draw) -> Trial:
    a = draw.numbers(draw.shape(least=1), draw.pick(("f4", "f8")))
    dtype = np.dtype(draw.pick(("f2", "f4", "f8")))

    def expect() -> list[Expected]:
        with np.errstate(all="ignore"):
            cast = a.astype(dtype)
        if np.isinf(cast).sum() > np.isinf(a).sum():
            raise Refused("too large")
        return exactly(cast)

    draw.is_legal = dtype.itemsize >= a.dtype.itemsize
    return Trial(lambda: weights.checked_cast("a", a, dtype), expect, [a])


@attack("backends.cpu.set_num_threads", "backends.cpu.get_num_threads", share=0.3)
def set_num_threads(draw: Draw) -> Trial:
    from scratchnet import get_num_threads
    from scratchnet import set_num_threads as set_them

    n, before = draw.whole(1, 2, 3, odd=0.5), get_num_threads()

    def call() -> Any:
        try:
            set_them(n)
            return get_num_threads()
        finally:
            set_them(before)

    def expect() -> list[Any]:
        count = plain_whole(n)
        if not 1 <= count:
            raise Refused("threads")
        return [min(count, get_most())]

    def get_most() -> int:
        set_them(2**20)
        most = get_num_threads()
        set_them(before)
        return most

    return Trial(call, expect)


# Data


@attack("dataset.spiral.load_data", share=0.3)
def spiral_data(draw: Draw) -> Trial:
    seed = draw.whole(0, 1984, 7, odd=0.4)

    def expect() -> list[Any]:
        from plain import SCRIPTS

        if seed is None:  # another spiral every time
            return [Expected(np.zeros((300, 2)), np.inf), *exactly(np.eye(3).repeat(100, axis=0))]

        names: dict[str, Any] = {}
        exec((SCRIPTS / "book2/dataset/spiral.py").read_text(), names)
        try:
            x, t = names["load_data"](seed)
        except Exception as error:
            raise Refused(str(error)) from None
        return [Expected(x, 1e-15), *exactly(t)]

    return Trial(lambda: spiral.load_data(seed), expect, errors=(ValueError, TypeError))


@attack("dataset.sequence.load_data", "dataset.sequence.get_vocab", share=0.05)
def sequence_data(draw: Draw) -> Trial:
    name = draw.pick(("addition.txt", "nothing.txt", "", "date.txt"))
    draw.is_legal = name in ("addition.txt", "date.txt")

    def call() -> Any:
        (x, t), _ = sequence.load_data(name)
        chars, back = sequence.get_vocab()
        return [x.shape[1], t.shape[1], len(chars) == len(back)]

    def expect() -> list[Any]:
        if name not in ("addition.txt", "date.txt"):
            raise Refused("no such file")
        return [*((7, 5) if name == "addition.txt" else (29, 11)), True]

    return Trial(call, expect, errors=(ValueError, OSError))


@attack("show_config", share=0.1)
def show_config(draw: Draw) -> Trial:
    import scratchnet

    mode: Any = draw.pick(("stdout", "dicts", "json", None, 5))
    draw.is_legal = mode in ("stdout", "dicts")

    def expect() -> list[Any]:
        if not draw.is_legal:
            raise Refused("the mode")
        return [mode == "dicts"]

    return Trial(lambda: isinstance(scratchnet.show_config(mode), dict), expect)
