"""The helpers for words and texts, against the book's own loops and what it prints."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy_books import book2

from scratchnet.util import (
    analogy,
    convert_one_hot,
    cos_similarity,
    create_co_matrix,
    create_contexts_target,
    eval_perplexity,
    eval_seq2seq,
    most_similar,
    normalize,
    ppmi,
    preprocess,
)

TEXT = "You say goodbye and I say hello."


def test_preprocess():
    corpus, word_to_id, id_to_word = preprocess(TEXT)
    assert corpus.tolist() == [0, 1, 2, 3, 4, 1, 5, 6] and corpus.dtype == np.int64
    assert word_to_id == {"you": 0, "say": 1, "goodbye": 2, "and": 3, "i": 4, "hello": 5, ".": 6}
    assert id_to_word == {i: word for word, i in word_to_id.items()}


@pytest.mark.parametrize("window", [0, 1, 2, 5, 100])
def test_co_matrix_is_the_book_s_loop(window):
    corpus = np.random.default_rng(window).integers(0, 9, 50)
    C = create_co_matrix(corpus, 9, window)
    np.testing.assert_array_equal(C, book2.util.create_co_matrix(corpus, 9, window))
    assert C.dtype == np.int32
    assert np.all(create_co_matrix([], 4) == 0)
    with pytest.raises(IndexError, match="word IDs from 0 to 8, expected 0 to 7"):
        create_co_matrix(np.append(corpus, [0, 8]), 8, window)


@pytest.mark.parametrize("eps", [1e-8, 2.0])
def test_ppmi_is_the_book_s_loop(eps):
    C = create_co_matrix(np.random.default_rng(0).integers(0, 30, 200), 31, 2)  # the last word never occurs
    with np.errstate(invalid="ignore"):
        expected = book2.util.ppmi(C, eps)
    M = ppmi(C, eps=eps)
    assert M.dtype == np.float32
    np.testing.assert_array_equal(M, expected)
    assert np.all(ppmi(np.zeros((3, 3), np.int32)) == 0)


def test_ppmi_s_progress(capsys):
    ppmi(np.ones((20, 20), int), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1.2% done" and lines[-1] == "100.0% done" and len(lines) == 80


def test_cos_similarity():
    assert cos_similarity(np.array([1.0, 0]), np.array([1.0, 1])) == pytest.approx(0.5**0.5)
    assert cos_similarity(np.zeros(2), np.ones(2)) == 0
    counts = np.array([60000, 80000], np.int32)  # their squares are beyond int32
    assert cos_similarity(counts, counts) == pytest.approx(1)


def test_most_similar_prints_what_the_book_does(capsys):
    corpus, word_to_id, id_to_word = preprocess(TEXT)
    C = create_co_matrix(corpus, len(word_to_id))
    most_similar("you", word_to_id, id_to_word, C, top=5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["", "[query] you"]
    words = [line.split(":")[0].strip() for line in lines[2:]]
    scores = [line.split(": ")[1] for line in lines[2:]]
    assert set(words[:3]) == {"goodbye", "i", "hello"} and len(words) == 5
    you = C[word_to_id["you"]]
    assert scores == [str(np.float64(cos_similarity(C[word_to_id[word]], you))) for word in words]
    most_similar("nobody", word_to_id, id_to_word, C)
    assert capsys.readouterr().out == "nobody is not found\n"


def test_analogy(capsys):
    words = ["king", "man", "queen", "woman", "apple"]
    vectors = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1], [-1, 0, 0.2]], np.float32)
    word_to_id = {word: i for i, word in enumerate(words)}
    analogy("king", "man", "queen", word_to_id, dict(enumerate(words)), vectors, top=1, answer="woman")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["", "[analogy] king:man = queen:?"]
    assert lines[2].startswith("==>woman:") and lines[3].startswith(" woman: ") and len(lines) == 4
    assert lines[2].split(":")[1] == lines[3].split(": ")[1]
    analogy("king", "man", "fish", word_to_id, dict(enumerate(words)), vectors)
    assert capsys.readouterr().out == "fish is not found\n"


def printed_by_the_book(similarity, words, without, line):
    """The book's loop over the words, most similar first."""
    out = []
    for i in (-1 * similarity).argsort():
        if words[i] not in without:
            out.append(line(words[i], similarity[i]))
    return out


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_scores_are_printed_as_the_book_formats_them(dtype, capsys):
    words = ["a", "b", "c", "d", "e", "f", "g"]
    word_to_id, id_to_word = {word: i for i, word in enumerate(words)}, dict(enumerate(words))
    vectors = (np.random.default_rng(0).normal(0, 3, (7, 4)) * (1 if dtype != np.int64 else 9)).astype(dtype)
    if dtype != np.int64:  # what is NaN comes last: most_similar prints it, analogy does not
        vectors[5] = np.nan
    with np.errstate(invalid="ignore"):
        most_similar("a", word_to_id, id_to_word, vectors, top=9)
        analogy("a", "b", "c", word_to_id, id_to_word, vectors, top=9, answer="d")
        real = vectors.astype(np.float64) if dtype == np.int64 else vectors
        units = [row / (np.sqrt(np.sum(row**2)) + 1e-8) for row in real]
        cosines = np.array([np.dot(unit, units[0]) for unit in units], np.float64)
        query = real[1] - real[0] + real[2]
        query = query / np.sqrt((query * query).sum())
        scores = np.dot(real, query)
    lines = capsys.readouterr().out.splitlines()
    expected = printed_by_the_book(cosines, words, "a", lambda word, c: " %s: %s" % (word, c))  # noqa: UP031
    assert lines[: 2 + len(expected)] == ["", "[query] a", *expected]
    if dtype != np.int64:
        assert expected[-1] == " f: nan" and any("-" in line for line in expected)
    best = printed_by_the_book(scores, words, "abc", lambda word, s: " {0}: {1}".format(word, s))  # noqa: UP032, UP030
    told = "==>d:" + str(np.dot(real[3], query))
    assert lines[2 + len(expected) :] == ["", "[analogy] a:b = c:?", told, *(b for b in best if "nan" not in b)]


def test_a_half_is_printed_whole_by_analogy(capsys):
    words = dict(enumerate("abcd"))
    vectors = np.array([[1, 0], [1, 0], [1, 0], [5.16015625, 1]], np.float16)
    analogy("a", "b", "c", {word: i for i, word in words.items()}, words, vectors, answer="d")
    assert capsys.readouterr().out.splitlines()[2:] == ["==>d:5.16", " d: 5.16015625"]


def test_words_without_a_vector_and_vectors_without_a_word(capsys):
    words = {"a": 0, "b": 1}
    most_similar("a", words, {0: "a", 1: "b"}, np.eye(3))
    assert capsys.readouterr().out == "\n[query] a\n b: 0.0\n"  # as many as there are words, as in the book
    with pytest.raises(IndexError, match="id_to_word has no entry for 2"):
        analogy("a", "a", "b", words, {0: "a", 1: "b"}, np.eye(3))


def test_sums_of_counts_may_be_beyond_every_integer():
    C = np.full((2, 2), 2**33) + np.diag([2**34, 0])
    np.testing.assert_allclose(ppmi(C), ppmi(C / 2**33), rtol=1e-6)
    for dtype in (np.uint8, np.int8, bool):
        narrow = np.random.default_rng(0).integers(0, 2, (20, 20)).astype(dtype)
        np.testing.assert_array_equal(ppmi(narrow), ppmi(narrow.astype(np.int64)))


def test_normalize_works_in_place():
    for x in (np.array([3.0, 4.0]), np.array([[3.0, 4.0], [0.0, 2.0]])):
        assert normalize(x) is x
        np.testing.assert_allclose(np.sum(x * x, axis=-1), 1)


def test_one_hot():
    for corpus in (np.array([0, 2, 1]), np.array([[0, 2], [1, 1]])):
        one_hot = convert_one_hot(corpus, 3)
        assert one_hot.dtype == np.int32 and one_hot.shape == (*corpus.shape, 3)
        np.testing.assert_array_equal(one_hot.argmax(-1), corpus)
        assert one_hot.sum() == corpus.size
    with pytest.raises(IndexError):
        convert_one_hot(np.array([3]), 3)


@pytest.mark.parametrize("window", [1, 2])
def test_contexts_and_targets(window):
    corpus = np.arange(10) * 2
    contexts, target = create_contexts_target(corpus, window)
    for row, word in zip(contexts, target, strict=True):
        assert [2 * d + word for d in range(-window, window + 1) if d] == row.tolist()
    assert target.tolist() == corpus[window:-window].tolist()


class Counting:
    """A model whose loss says what it was given."""

    def __init__(self):
        self.calls = []

    def forward(self, xs, ts):
        self.calls.append((xs, ts))
        return 1.5


class CountingWithFlag(Counting):
    def forward(self, xs, ts, train_flg=True):
        assert train_flg is False
        return super().forward(xs, ts)


@pytest.mark.parametrize("make", [Counting, CountingWithFlag])
def test_perplexity(make, capsys):
    model = make()
    assert eval_perplexity(model, np.arange(101), batch_size=4, time_size=5) == pytest.approx(np.exp(1.5))
    assert (
        capsys.readouterr().out == "evaluating perplexity ...\n" + "".join(f"\r{i} / 5" for i in range(5)) + "\n"
    )
    assert len(model.calls) == 5
    for i, (xs, ts) in enumerate(model.calls):
        np.testing.assert_array_equal(xs, np.arange(4)[:, None] * 25 + 5 * i + np.arange(5))
        np.testing.assert_array_equal(ts, (xs + 1) % 101)
    with pytest.raises(ValueError, match="corpus has 20 words, expected more than batch_size \\* time_size, 20"):
        eval_perplexity(model, np.arange(20), batch_size=4, time_size=5)


class Answering:
    def __init__(self, answer):
        self.answer = answer

    def generate(self, question, start_id, length):
        assert start_id == 9 and length == 2
        return self.answer


def test_eval_seq2seq(capsys):
    characters = dict(enumerate("0123456789_"))
    question, correct = np.array([[1, 2]]), np.array([[9, 3, 4]])
    assert eval_seq2seq(Answering([3, 4]), question, correct, characters) == 1
    assert capsys.readouterr().out == ""
    assert eval_seq2seq(Answering([3, 3]), question, correct, characters, True, True) == 0
    printed = re.sub("\\x1b.....*?m", "", capsys.readouterr().out).splitlines()
    assert printed[:2] == ["Q 21", "T 34"] and printed[2].endswith(" 33") and printed[3] == "---"
    eval_seq2seq(Answering([3, 4]), question, correct, characters, verbos=True)
    assert capsys.readouterr().out.startswith("Q 12\nT 34\n")
