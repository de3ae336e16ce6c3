"""Words as IDs and vectors: the helpers of book 2, chapters 2 to 4.

Source: *Deep Learning from Scratch* 2, `common/util.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_number,
    as_real_array,
    as_whole_numbers,
    check_integer,
    check_labels,
    check_parameter,
    is_writable,
    to_side,
)

__all__ = [
    "analogy",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "most_similar",
    "normalize",
    "ppmi",
    "preprocess",
]


def preprocess(text: str) -> tuple[Array, dict[str, int], dict[int, str]]:
    """Turn a text into word IDs.

    Parameters
    ----------
    text : str
        Words separated by single spaces; full stops become words of their own, capitals become lower case.

    Returns
    -------
    corpus : ndarray of int64
        The ID of each word; IDs are assigned in order of first appearance.
    word_to_id, id_to_word : dict
        The vocabulary, in both directions.

    Raises
    ------
    ValueError
        text is not a str.

    Notes
    -----
    Source: book 2, ch. 2.3.1.

    Examples
    --------
    >>> corpus, word_to_id, id_to_word = preprocess("You say goodbye and I say hello.")
    >>> corpus
    array([0, 1, 2, 3, 4, 1, 5, 6])
    >>> id_to_word[2]
    'goodbye'
    """
    if not isinstance(text, str):
        raise ValueError(f"preprocess: text must be a str, got {type(text).__name__}")
    words = text.lower().replace(".", " .").split(" ")
    word_to_id = {word: i for i, word in enumerate(dict.fromkeys(words))}
    id_to_word = {i: word for word, i in word_to_id.items()}
    return np.array([word_to_id[word] for word in words], dtype=np.int64), word_to_id, id_to_word


def cos_similarity(x: Any, y: Any, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between two vectors, or scalars; 0 for a zero vector.

    Floating arrays are processed in their own dtype, as in the book: in float16, where eps rounds to 0, a zero
    vector gives NaN, and a length above 255 is infinite; NumPy warns about both.

    Parameters
    ----------
    x, y : array_like, shape (D,)
        The vectors.
    eps : float
        Added to their lengths.

    Raises
    ------
    ValueError
        They are not real vectors of the same length.

    Notes
    -----
    Source: book 2, ch. 2.3.5.

    Examples
    --------
    >>> print(cos_similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0])).round(4))
    0.7071
    """
    eps = as_number("cos_similarity: eps", eps)
    x, y = as_real_array("cos_similarity: x", x), as_real_array("cos_similarity: y", y)
    if x.shape != y.shape or x.ndim > 1:
        raise ValueError(
            f"cos_similarity: x has shape {x.shape} and y {y.shape}, expected two vectors of the same length"
        )
    return np.dot(_unit(x, eps), _unit(y, eps))


def _unit(x: Array, eps: float, axis: int | None = None) -> Array:
    x = x.astype(np.float64) if x.dtype.kind in "biu" else x  # the squares of counts may overflow their dtype
    length = np.sqrt(np.sum(x**2, axis=axis, keepdims=axis is not None)) + eps
    unit: Array = x / length
    return unit


def most_similar(
    query: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Any,
    top: int = 5,
) -> None:
    """Print the words whose vectors are most similar to a word's.

    Parameters
    ----------
    query : str
        The word; if it is not in the vocabulary, that is printed.
    word_to_id, id_to_word : dict
        The vocabulary.
    word_matrix : ndarray, shape (V, D)
        One vector per word.
    top : int
        How many words are printed; at least one is.

    Raises
    ------
    ValueError
        The vocabulary is not a dictionary, word_matrix does not have one row per word, or top is not a number.
    IndexError
        The word's ID is not a row of word_matrix.

    Notes
    -----
    Source: book 2, ch. 2.3.6.

    Examples
    --------
    >>> words = {"cat": 0, "dog": 1, "car": 2}
    >>> vectors = np.array([[1.0, 0.9], [0.9, 1.0], [-1.0, 0.2]])
    >>> most_similar("cat", words, {i: w for w, i in words.items()}, vectors, top=2)
    <BLANKLINE>
    [query] cat
     dog: 0.994...
     car: -0.597...
    """
    top, matrix = _vocabulary("most_similar", word_to_id, id_to_word, word_matrix, top)
    if not _is_known("most_similar", query, word_to_id):
        print(f"{query} is not found")
        return
    if len(matrix) < len(id_to_word):
        raise ValueError(
            f"most_similar: word_matrix has shape {matrix.shape}, expected a row for each of {len(id_to_word)} "
            "words"
        )
    own = _unit(_vector("most_similar", query, word_to_id, matrix), 1e-8)
    units = _unit(matrix[: len(id_to_word)], 1e-8, axis=-1)
    print(f"\n[query] {query}")
    # Row by row: one product for all rows sums in another order, and would print different last digits.
    similarity = np.array([np.dot(unit, own) for unit in units], dtype=np.float64)
    for word, cosine in _best("most_similar", similarity, id_to_word, (query,), top):
        print(f" {word}: {cosine!s}")


def _vocabulary(where: str, word_to_id: Any, id_to_word: Any, word_matrix: Any, top: Any) -> tuple[Any, Array]:
    """Return `top` as an int and the matrix as a plain array on the CPU; integers become float64."""
    if not isinstance(word_to_id, Mapping) or not isinstance(id_to_word, Mapping | Sequence):
        raise ValueError(
            f"{where}: word_to_id and id_to_word must be dictionaries, got {type(word_to_id).__name__} and "
            f"{type(id_to_word).__name__}"
        )
    matrix = to_side(as_real_array(f"{where}: word_matrix", word_matrix), to_gpu=False)
    if matrix.ndim != 2:
        raise ValueError(f"{where}: word_matrix has shape {matrix.shape}, expected (V, D), a row for each word")
    matrix = matrix.astype(np.float64) if matrix.dtype.kind in "biu" else matrix
    return as_number(f"{where}: top", top), matrix


def _is_known(where: str, word: Any, word_to_id: Mapping[str, int]) -> bool:
    try:
        return word in word_to_id
    except TypeError:
        raise ValueError(f"{where}: {word!r} is not a word") from None


def _vector(where: str, word: str, word_to_id: Mapping[str, int], word_matrix: Array) -> Array:
    number, words = word_to_id[word], len(word_matrix)
    if isinstance(number, bool | np.timedelta64) or not isinstance(number, int | np.integer):
        raise ValueError(f"{where}: word_to_id[{word!r}] must be an integer, got {number!r}")
    if not 0 <= number < words:
        raise IndexError(
            f"{where}: word_to_id[{word!r}] is {number}, but word_matrix has rows for 0 to {words - 1}"
        )
    vector: Array = word_matrix[number]
    return vector


def _word(where: str, id_to_word: Any, number: int) -> Any:
    try:
        return id_to_word[number]
    except LookupError:
        raise IndexError(f"{where}: id_to_word has no entry for {number}") from None


def _best(
    where: str, similarity: Array, id_to_word: Any, without: tuple[str, ...], top: float
) -> Iterator[tuple[Any, Any]]:
    """Yield the words with the largest scores, and the scores; at least one, as in the book."""
    count = 0
    for i in (-1 * similarity).argsort().tolist():
        word = _word(where, id_to_word, i)
        if word in without:
            continue
        yield word, similarity[i]
        count += 1
        if count >= top:
            return


def analogy(
    a: str,
    b: str,
    c: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Any,
    top: int = 5,
    answer: str | None = None,
) -> None:
    """Print the words d for which a is to b as c is to d: those whose vectors are most similar to b - a + c.

    Parameters
    ----------
    a, b, c : str
        Three words; the first that is not in the vocabulary is printed as missing.
    word_to_id, id_to_word : dict
        The vocabulary.
    word_matrix : ndarray, shape (V, D)
        One vector per word.
    top : int
        How many words are printed; at least one is. A word whose score is NaN never is.
    answer : str, optional
        A word whose own score is printed first.

    Raises
    ------
    ValueError
        The vocabulary is not a dictionary, or lacks `answer`; word_matrix is not a matrix, or top is not a number.
    IndexError
        A word's ID is not a row of word_matrix.

    Notes
    -----
    Source: book 2, ch. 4.3.3.

    Examples
    --------
    >>> words = {"man": 0, "king": 1, "woman": 2, "queen": 3}
    >>> vectors = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> analogy("man", "king", "woman", words, {i: w for w, i in words.items()}, vectors, top=1)
    <BLANKLINE>
    [analogy] man:king = woman:?
     queen: 1.414...
    """
    top, matrix = _vocabulary("analogy", word_to_id, id_to_word, word_matrix, top)
    for word in (a, b, c):
        if not _is_known("analogy", word, word_to_id):
            print(f"{word} is not found")
            return
    if answer is not None and not _is_known("analogy", answer, word_to_id):
        raise ValueError(f"analogy: answer {answer!r} is not in the vocabulary")
    first, second, third = (_vector("analogy", word, word_to_id, matrix) for word in (a, b, c))
    query = normalize(second - first + third)
    told = None if answer is None else np.dot(_vector("analogy", answer, word_to_id, matrix), query)
    print(f"\n[analogy] {a}:{b} = {c}:?")
    similarity = np.dot(matrix, query)
    if answer is not None:
        print(f"==>{answer}:{told!s}")
    for word, score in _best("analogy", similarity, id_to_word, (a, b, c), top):
        if not np.isnan(score):
            print(f" {word}: {score}")  # as format prints it: a float32 with the digits of a float64


def normalize(x: Array) -> Array:
    """Scale a vector, or every row of a matrix, to length 1, in place; return it.

    Parameters
    ----------
    x : ndarray, shape (D,) or (N, D)
        Changed in place.

    Raises
    ------
    ValueError
        x is not a writable array of a floating dtype.

    Notes
    -----
    Source: book 2, `common/util.py`.

    Examples
    --------
    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    rows = as_array(check_parameter("normalize: x", x))
    if rows.ndim == 0 or not is_writable(rows):
        raise ValueError(f"normalize: x must be a writable vector or matrix of row vectors, got {x!r}")
    rows /= np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    return x


def _word_numbers(where: str, corpus: Any) -> Array:
    return as_whole_numbers(where, to_side(as_array(corpus, where), to_gpu=False), "word numbers")


def _one_row(where: str, corpus: Array) -> Array:
    if corpus.ndim != 1:
        raise ValueError(f"{where} has shape {corpus.shape}, expected (N,), the words of a text")
    return corpus


def convert_one_hot(corpus: Any, vocab_size: int) -> Array:
    """Return word IDs (N,) or (N, C) as one-hot int32 arrays (N, V) or (N, C, V).

    Parameters
    ----------
    corpus : array_like of int, shape (N,) or (N, C)
        Word IDs.
    vocab_size : int
        V.

    Raises
    ------
    IndexError
        An ID is outside [0, V).
    ValueError
        They are not integers.

    Notes
    -----
    Source: book 2, ch. 3.3.2.

    Examples
    --------
    >>> convert_one_hot(np.array([1, 0]), 3)
    array([[0, 1, 0],
           [1, 0, 0]], dtype=int32)
    """
    vocab_size = check_integer("convert_one_hot: vocab_size", vocab_size)
    corpus = _word_numbers("convert_one_hot: corpus", corpus)
    flat = corpus.reshape(-1)
    check_labels("convert_one_hot: corpus", flat, vocab_size)
    one_hot = np.zeros((*corpus.shape, vocab_size), np.int32)
    one_hot.reshape(flat.size, vocab_size)[np.arange(flat.size), flat] = 1
    return one_hot


def create_co_matrix(corpus: Any, vocab_size: int, window_size: int = 1) -> Array:
    """Count co-occurrences: entry (i, j) is how often word j occurs near word i.

    Parameters
    ----------
    corpus
        Word IDs in the order of the text, of any integer dtype.
    vocab_size : int
        Number of words, V.
    window_size : int
        How many words on each side count as near.

    Returns
    -------
    ndarray of int32, shape (V, V)

    Raises
    ------
    IndexError
        An ID is outside [0, V).
    ValueError
        The corpus is not a 1-d array of integers, or a size is not a non-negative integer.

    Notes
    -----
    Source: book 2, ch. 2.3.4.

    Examples
    --------
    >>> create_co_matrix(np.array([0, 1, 2, 1]), 3)
    array([[0, 1, 0],
           [1, 0, 2],
           [0, 2, 0]], dtype=int32)
    """
    vocab_size = check_integer("create_co_matrix: vocab_size", vocab_size)
    window_size = check_integer("create_co_matrix: window_size", window_size)
    corpus = _one_row("create_co_matrix: corpus", _word_numbers("create_co_matrix: corpus", corpus))
    if corpus.size and not 0 <= corpus.min() <= corpus.max() < vocab_size:
        raise IndexError(
            f"create_co_matrix: corpus has word IDs from {corpus.min()} to {corpus.max()}, "
            f"expected 0 to {vocab_size - 1}"
        )
    matrix = np.zeros((vocab_size, vocab_size), np.int64)
    counts = matrix.reshape(-1)
    for distance in range(1, min(window_size, len(corpus) - 1) + 1):
        pairs = corpus[:-distance] * vocab_size + corpus[distance:]
        places, found = np.unique(pairs, return_counts=True)
        counts[places] += found
    both: Array = (matrix + matrix.T).astype(np.int32)
    return both


def ppmi(C: Any, verbose: bool = False, eps: float = 1e-8) -> Array:
    """Return the positive pointwise mutual information of a matrix of counts.

    Parameters
    ----------
    C : array, shape (V, V)
        How often two words occur together.
    verbose : bool
        Whether the book's progress lines are printed.
    eps : float
        Added to the quotient in the logarithm.

    Returns
    -------
    ndarray of float32, shape (V, V)
        max(0, log2(C N / (S_i S_j) + eps)), with S the column sums of C and N the total.

    Raises
    ------
    ValueError
        C is not a square matrix of real numbers, or eps is not a number.

    Notes
    -----
    Only nonzero entries are computed, since there are few. Source: book 2, ch. 2.4.1.

    Examples
    --------
    >>> ppmi(create_co_matrix(np.array([0, 1, 2, 1]), 3)).round(3)
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    eps = as_number("ppmi: eps", eps)
    C = to_side(as_real_array("ppmi: C", C), to_gpu=False)
    if C.ndim != 2 or C.shape[0] != C.shape[1]:
        raise ValueError(f"ppmi: C has shape {C.shape}, expected (V, V)")
    # Products of sums may overflow every integer dtype, and soon overflow float16.
    wide = np.float64 if C.dtype.kind in "biu" or C.dtype.itemsize < 4 else None
    total: Any = np.sum(C, dtype=wide)
    sums: Any = np.sum(C, axis=0, dtype=wide)
    rows, columns = np.nonzero(C)
    M = np.zeros(C.shape, np.float32)
    if eps > 1:  # then words that never co-occur have a value too
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
    """Return each word's neighbours, and the words themselves, for all words with a full window.

    Parameters
    ----------
    corpus
        Word IDs in the order of the text, N of them.
    window_size : int
        Neighbours on each side.

    Returns
    -------
    contexts : ndarray, shape (N - 2 window_size, 2 window_size)
    target : ndarray, shape (N - 2 window_size,)
        Both of the corpus's dtype; empty if no word has a full window.

    Raises
    ------
    ValueError
        The corpus is not a 1-d array, or window_size is not an integer or is larger than the corpus.

    Notes
    -----
    Source: book 2, ch. 3.3.1.

    Examples
    --------
    >>> contexts, target = create_contexts_target(np.array([0, 1, 2, 3]))
    >>> contexts
    array([[0, 2],
           [1, 3]])
    >>> target
    array([1, 2])
    """
    window_size = check_integer("create_contexts_target: window_size", window_size)
    where = "create_contexts_target: corpus"
    corpus = _one_row(where, to_side(as_array(corpus, where), to_gpu=False))
    if window_size > max(len(corpus), 1):
        raise ValueError(
            f"create_contexts_target: window_size is {window_size}, but corpus has only {len(corpus)} words"
        )
    middle = np.arange(window_size, len(corpus) - window_size)
    offsets = np.concatenate([np.arange(-window_size, 0), np.arange(1, window_size + 1)])
    return corpus[middle[:, None] + offsets], corpus[middle]
