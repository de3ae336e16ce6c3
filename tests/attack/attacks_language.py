"""Attacks on the helpers for words, and on the small helpers of util and weights."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from judge import Expected, Trial, exactly, rounding
from numpy_books import book2
from odd import Draw, Refused, float_dtype, plain, plain_number, plain_whole
from table import attack

from scratchnet import evaluation, language

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
        corpus, word_to_id, id_to_word = book2.util.preprocess(text)
        return [Expected(corpus), repr(word_to_id), repr(id_to_word)]

    return Trial(call, expect)


@attack("language.create_co_matrix")
def create_co_matrix(draw: Draw) -> Trial:
    V = draw.pick((150, 300)) if draw.chance(0.15) else max(draw.size(high=8), 1)
    corpus = draw_corpus(draw, min(V, 120) if draw.chance(0.8) else V)
    size, width = draw.whole(V, odd=0.1), draw.whole(1, 2, 5, odd=0.2)
    draw.is_legal &= not isinstance(corpus, np.ndarray) or corpus.dtype.itemsize > 1 or V <= 120

    def expect() -> list[Expected]:
        v, w = plain_whole(size), plain_whole(width)
        if v < 0 or v > 5000 or w > 10**5:
            return [Expected(np.zeros(np.shape(language.create_co_matrix(corpus, size, width))), np.inf)]
        return exactly(book2.util.create_co_matrix(plain_corpus(corpus, v), v, min(w, 100)))

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
        contexts, target = book2.util.create_contexts_target(a, w)
        return exactly(contexts.reshape(count, 2 * w), target)

    draw.is_legal &= not isinstance(width, int) or 2 * width < np.size(corpus)  # a window that fits
    unlike = any(note in ("corpus: float", "corpus: type") for note in draw.notes)  # they are only put elsewhere
    return Trial(lambda: language.create_contexts_target(corpus, width), None if unlike else expect, [corpus])


@attack("language.convert_one_hot")
def convert_one_hot(draw: Draw) -> Trial:
    V = max(draw.size(low=2), 2)
    corpus = draw_corpus(draw, V)
    if isinstance(corpus, np.ndarray) and corpus.ndim == 1 and draw.chance(0.3) and corpus.size % 2 == 0:
        corpus = corpus.reshape(-1, 2)
    size = draw.whole(V, odd=0.1)

    def expect() -> list[Expected]:
        a, v = plain_corpus(corpus, plain_whole(size), axes=(1, 2)), plain_whole(size)
        return exactly(book2.util.convert_one_hot(a, v) if a.size else np.zeros((*a.shape, v)))

    return Trial(lambda: language.convert_one_hot(corpus, size), expect, [corpus])


@attack("language.ppmi")
def ppmi(draw: Draw) -> Trial:
    V = draw.size(low=1, high=6)
    C = book2.util.create_co_matrix(draw.rng.integers(0, max(V, 1), 20), max(V, 1), 2)
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
            true = np.where(
                counts.sum(axis=0) * counts.sum(axis=0)[:, None] > 0, book2.util.ppmi(counts, plain_number(eps)), 0
            )
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
        book2.util.cos_similarity(*(np.asarray(v, float_dtype(v)) for v in (x, y)))  # which may warn
        close = 16 * (D + 8) * rounding(coarser) + 1e-15 if coarser.itemsize > 2 else np.inf  # squares overflow
        return [Expected(book2.util.cos_similarity(a, b), close)]

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
            theirs = printed(lambda: call(book2.util))
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


@attack("evaluation.bptt_segments", share=0.5)
def bptt_segments(draw: Draw) -> Trial:
    length, N, T, start = (int(draw.rng.integers(low, 20)) for low in (1, 1, 1, 0))

    def expect() -> list[Expected]:
        return exactly([[(i * (length // N) + start + t) % length for t in range(T)] for i in range(N)])

    def shaped() -> list[Expected]:
        return [Expected(np.reshape(expect()[0].true, (N, T)))]

    return Trial(lambda: evaluation.bptt_segments(length, N, T, start), shaped)


class Surprised:
    """A language model that is as surprised as the numbers are large."""

    def forward(self, xs: Any, ts: Any) -> float:
        return float(np.mean(xs) + 0.1 * np.mean(ts))


@attack("evaluation.eval_perplexity", share=0.5)
def eval_perplexity(draw: Draw) -> Trial:
    corpus = draw.rng.integers(0, 5, draw.size(high=30)).astype(draw.pick(("i8", "i4", "u1")))
    N, T = draw.pick((1, 2, 3)), draw.pick((1, 2, 3))

    def expect() -> list[Expected]:
        a = plain_corpus(corpus)
        if (len(a) - 1) // (N * T) < 1:
            raise Refused("the text is short")
        with contextlib.redirect_stdout(io.StringIO()):
            return [Expected(book2.util.eval_perplexity(Surprised(), a, N, T), 1e-12 * 500)]

    draw.is_legal = len(corpus) - 1 >= N * T
    return Trial(lambda: evaluation.eval_perplexity(Surprised(), corpus, N, T), expect, [corpus])


class Parrot:
    """Answers what it was made with."""

    def __init__(self, answer: list[int]) -> None:
        self.answer = answer

    def generate(self, question: Any, start: int, length: int) -> list[int]:
        return self.answer[:length]


@attack("evaluation.eval_seq2seq", share=0.5)
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

    return Trial(lambda: call(evaluation), lambda: call(book2.util), [question, correct])
