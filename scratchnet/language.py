"""Words as numbers and vectors: the helpers of book 2's chapters 2 to 7.

Source: *Deep Learning from Scratch* 2, `common/util.py`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from .backends import as_array, is_on_gpu, moved

Array = np.ndarray[Any, np.dtype[Any]]


def preprocess(text: str) -> tuple[Array, dict[str, int], dict[int, str]]:
    """Turn a text into word numbers.

    Parameters
    ----------
    text : str
        Words between single spaces; full stops become words of their own, capitals small letters.

    Returns
    -------
    corpus : ndarray of int64
        The number of each word, counted in the order of their first appearance.
    word_to_id, id_to_word : dict
        The vocabulary, both ways.

    Notes
    -----
    Source: book 2, ch. 2.3.1.
    """
    words = text.lower().replace(".", " .").split(" ")
    word_to_id = {word: i for i, word in enumerate(dict.fromkeys(words))}
    id_to_word = {i: word for word, i in word_to_id.items()}
    return np.array([word_to_id[word] for word in words], dtype=np.int64), word_to_id, id_to_word


def cos_similarity(x: Array, y: Array, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between two vectors; 0 for a zero vector. Source: book 2, ch. 2.3.5."""
    return np.dot(_unit(x, eps), _unit(y, eps))


def _unit(x: Array, eps: float) -> Array:
    x = x.astype(np.float64) if x.dtype.kind in "biu" else x  # the squares of counts may be beyond their dtype
    unit: Array = x / (np.sqrt(np.sum(x**2, axis=-1, keepdims=True)) + eps)
    return unit


def most_similar(
    query: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Array,
    top: int = 5,
) -> None:
    """Print the words whose vectors point most nearly where a word's does.

    Parameters
    ----------
    query : str
        The word; if it is not in the vocabulary, that is printed.
    word_to_id, id_to_word : dict
        The vocabulary.
    word_matrix : ndarray, shape (V, D)
        A vector for every word.
    top : int
        How many words are printed.

    Notes
    -----
    Source: book 2, ch. 2.3.6.
    """
    if query not in word_to_id:
        print(f"{query} is not found")
        return
    print(f"\n[query] {query}")
    units = _unit(moved(word_matrix, to_gpu=False), 1e-8)
    own = units[word_to_id[query]]
    # Row by row: one product for all rows adds in another order, and would print other last digits.
    similarity = np.array([np.dot(unit, own) for unit in units], dtype=np.float64)
    _print_best(similarity, id_to_word, {query}, top)


def _print_best(similarity: Array, id_to_word: Mapping[int, str], without: set[str], top: int) -> None:
    count = 0
    for i in map(int, (-1 * similarity).argsort()):
        if id_to_word[i] in without or np.isnan(similarity[i]):
            continue
        print(f" {id_to_word[i]}: {similarity[i]!s}")
        count += 1
        if count >= top:
            return


def analogy(
    a: str,
    b: str,
    c: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Array,
    top: int = 5,
    answer: str | None = None,
) -> None:
    """Print the words d for which a is to b as c is to d: whose vectors lie most nearly along b - a + c.

    Parameters
    ----------
    a, b, c : str
        Three words; the first that is not in the vocabulary is printed as missing.
    word_to_id, id_to_word : dict
        The vocabulary.
    word_matrix : ndarray, shape (V, D)
        A vector for every word.
    top : int
        How many words are printed.
    answer : str, optional
        A word whose own score is printed first.

    Notes
    -----
    Source: book 2, ch. 4.3.3.
    """
    for word in (a, b, c):
        if word not in word_to_id:
            print(f"{word} is not found")
            return
    print(f"\n[analogy] {a}:{b} = {c}:?")
    word_matrix = moved(word_matrix, to_gpu=False)
    first, second, third = (word_matrix[word_to_id[word]] for word in (a, b, c))
    query = normalize(second - first + third)
    similarity = np.dot(word_matrix, query)
    if answer is not None:
        print(f"==>{answer}:{np.dot(word_matrix[word_to_id[answer]], query)!s}")
    _print_best(similarity, id_to_word, {a, b, c}, top)


def normalize(x: Array) -> Array:
    """Scale a vector, or every row of a matrix, to length 1, in place; return it.

    Source: book 2, `common/util.py`.
    """
    x /= np.sqrt((x * x).sum(axis=-1, keepdims=True))
    return x


def convert_one_hot(corpus: Any, vocab_size: int) -> Array:
    """Return word numbers (N,) or (N, C) as one-hot int32 arrays (N, V) or (N, C, V).

    Raises
    ------
    IndexError
        A number is vocab_size or more.

    Notes
    -----
    Source: book 2, ch. 3.3.2.
    """
    corpus = np.asarray(corpus)
    one_hot = np.zeros((*corpus.shape, vocab_size), np.int32)
    flat = corpus.reshape(-1)
    one_hot.reshape(-1, vocab_size)[np.arange(flat.size), flat] = 1
    return one_hot


def create_co_matrix(corpus: Any, vocab_size: int, window_size: int = 1) -> Array:
    """Count which words stand near which: entry (i, j) is how often j stands near i.

    Parameters
    ----------
    corpus
        Word numbers in the order of the text.
    vocab_size : int
        Number of words, V.
    window_size : int
        How many words to each side count as near.

    Returns
    -------
    ndarray of int32, shape (V, V)

    Raises
    ------
    IndexError
        A number is outside [0, V).

    Notes
    -----
    Source: book 2, ch. 2.3.4.
    """
    corpus = np.asarray(corpus)
    if corpus.size and not 0 <= corpus.min() <= corpus.max() < vocab_size:
        raise IndexError(
            f"create_co_matrix: corpus has numbers from {corpus.min()} to {corpus.max()}, "
            f"expected 0 to {vocab_size - 1}"
        )
    counts = np.zeros(vocab_size * vocab_size, np.int64)
    for distance in range(1, min(window_size, len(corpus) - 1) + 1):
        pairs = corpus[:-distance] * vocab_size + corpus[distance:]
        places, found = np.unique(pairs, return_counts=True)
        counts[places] += found
    matrix = counts.reshape(vocab_size, vocab_size)
    both: Array = (matrix + matrix.T).astype(np.int32)
    return both


def ppmi(C: Any, verbose: bool = False, eps: float = 1e-8) -> Array:
    """Return the positive pointwise mutual information of a matrix of counts.

    Parameters
    ----------
    C : array, shape (V, V)
        How often two words stand together.
    verbose : bool
        Whether the book's lines on the progress are printed.
    eps : float
        Stands beside the quotient in the logarithm.

    Returns
    -------
    ndarray of float32, shape (V, V)
        max(0, log2(C N / (S_i S_j) + eps)), with S the sums of C's columns and N the sum of all.

    Notes
    -----
    Only entries that are not 0 are computed, for there are few. Source: book 2, ch. 2.4.1.
    """
    C = np.asarray(C)
    total, sums = np.sum(C), np.sum(C, axis=0)
    rows, columns = np.nonzero(C)
    M = np.zeros(C.shape, np.float32)
    if eps > 1:  # then words that never meet have a value too
        M[np.ix_(sums != 0, sums != 0)] = np.log2(eps)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.log2(C[rows, columns] * total / (sums[columns] * sums[rows]) + eps)
    M[rows, columns] = np.fmax(values, 0)
    if verbose:
        every = C.size // 100 + 1
        for count in range(every, C.size + 1, every):
            print(f"{100 * count / C.size:.1f}% done")
    return M


def create_contexts_target(corpus: Any, window_size: int = 1) -> tuple[Array, Array]:
    """Return each word's neighbours, and the words themselves, from the first that has a whole window.

    Parameters
    ----------
    corpus
        Word numbers in the order of the text, N of them.
    window_size : int
        Neighbours to each side.

    Returns
    -------
    contexts : ndarray, shape (N - 2 window_size, 2 window_size)
    target : ndarray, shape (N - 2 window_size,)

    Notes
    -----
    Source: book 2, ch. 3.3.1.
    """
    corpus = np.asarray(corpus)
    middle = np.arange(window_size, len(corpus) - window_size)
    offsets = np.array([d for d in range(-window_size, window_size + 1) if d], dtype=np.int64)
    return corpus[middle[:, None] + offsets], corpus[middle]


def stretches(length: int, batch_size: int, time_size: int, start: int) -> Array:
    """Return the positions of a batch of stretches of a text: an array (batch_size, time_size).

    The stretches begin spread evenly over the text, `start` words after where each began first, and go on at the
    text's beginning where it ends. Source: book 2, ch. 5.5.3.
    """
    begins = np.arange(batch_size) * (length // batch_size)
    positions: Array = (begins[:, None] + (start + np.arange(time_size))) % length
    return positions


def eval_perplexity(model: Any, corpus: Any, batch_size: int = 10, time_size: int = 35) -> float:
    """Return a language model's perplexity on a text, exp of its mean loss; prints the progress, as the book does.

    Parameters
    ----------
    model
        Anything with forward(xs, ts) -> loss; where it takes train_flg, it is called with train_flg=False.
    corpus : ndarray
        Word numbers in the order of the text; they are given to the model where they lie.
    batch_size, time_size : int
        Stretches evaluated at once, and their length.

    Raises
    ------
    ValueError
        The text is shorter than one batch.

    Notes
    -----
    Source: book 2, `common/util.py`.
    """
    print("evaluating perplexity ...")
    corpus = as_array(corpus)
    length = len(corpus) - 1
    iterations = length // (batch_size * time_size)
    if iterations < 1:
        raise ValueError(
            f"eval_perplexity: corpus has {len(corpus)} words, expected more than batch_size * time_size, "
            f"{batch_size * time_size}"
        )
    flags = {"train_flg": False} if "train_flg" in inspect.signature(model.forward).parameters else {}
    total = 0.0
    for i in range(iterations):
        begins = np.arange(batch_size)[:, None] * (length // batch_size) + i * time_size + np.arange(time_size)
        xs, ts = (corpus[moved(places % len(corpus), to_gpu=is_on_gpu(corpus))] for places in (begins, begins + 1))
        total += float(model.forward(xs, ts, **flags))
        sys.stdout.write(f"\r{i} / {iterations}")
        sys.stdout.flush()
    print("")
    return float(np.exp(total / iterations))


def eval_seq2seq(
    model: Any,
    question: Array,
    correct: Array,
    id_to_char: Mapping[int, str],
    verbose: bool = False,
    is_reverse: bool = False,
    *,
    verbos: bool | None = None,
) -> int:
    """Return 1 if a sequence-to-sequence model gives the right answer to a question, else 0.

    Parameters
    ----------
    model
        Anything with generate(question, start_id, length) -> character numbers.
    question : ndarray
        Character numbers.
    correct : ndarray
        The answer's, the first of which is the start mark.
    id_to_char : dict
        Characters by number.
    verbose : bool
        Whether question, answer and guess are printed; `verbos` in some printings.
    is_reverse : bool
        Whether the question is stored backwards.

    Notes
    -----
    Source: book 2, `common/util.py`; ch. 7.3.5.
    """
    answer = moved(correct, to_gpu=False).flatten()
    guess = model.generate(question, answer[0], len(answer) - 1)
    asked, right, said = (
        "".join(id_to_char[int(c)] for c in characters)
        for characters in (moved(question, to_gpu=False).flatten(), answer[1:], guess)
    )
    if verbose if verbos is None else verbos:
        print("Q", asked[::-1] if is_reverse else asked)
        print("T", right)
        if os.name == "nt":  # its console may have neither the colours nor the signs
            mark = "O" if said == right else "X"
        else:
            mark = "\033[92m☑\033[0m" if said == right else "\033[91m☒\033[0m"
        print(f"{mark} {said}")
        print("---")
    return int(said == right)
