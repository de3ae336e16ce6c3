"""Evaluation of language models: perplexity on a text, answers to questions.

Source: *Deep Learning from Scratch* 2, `common/util.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, as_whole_numbers, check_integer, is_on_gpu, to_side
from ._parts import has_argument

__all__ = ["eval_perplexity", "eval_seq2seq"]


def bptt_segments(length: int, batch_size: int, time_size: int, start: int) -> Array:
    """Return the positions, [batch_size, time_size], of a batch of segments for truncated backpropagation.

    The segments start evenly spaced over the text, each advanced by `start` words, and wrap around at its end.

    Raises
    ------
    ValueError
        A size is not a positive integer, or the text has no words.

    Notes
    -----
    Source: book 2, ch. 5.5.3.
    """
    batch_size, time_size = (
        check_integer("batch_size", batch_size, 1),
        check_integer("time_size", time_size, 1),
    )
    if length == 0:
        raise ValueError("the text has no words to make a batch of")
    begins = np.arange(batch_size) * (length // batch_size)
    positions: Array = (begins[:, None] + (start + np.arange(time_size))) % length
    return positions


def taken(where: str, words: Any, positions: Array) -> Array:
    """Return the words at these positions, on the device of `words`; integers are converted to int64."""
    words = as_array(words, where)
    chosen: Array = words[to_side(positions, to_gpu=is_on_gpu(words))]
    return as_whole_numbers(where, chosen, "word numbers") if chosen.dtype.kind in "iu" else chosen


def eval_perplexity(model: Any, corpus: Any, batch_size: int = 10, time_size: int = 35) -> float:
    """Return a language model's perplexity on a text, exp of its mean loss; prints its progress, as in the book.

    Parameters
    ----------
    model
        Anything with forward(xs, ts) -> loss; if it accepts train_flg, it is called with train_flg=False.
    corpus : ndarray
        Word IDs in the order of the text; passed to the model on the device where they are.
    batch_size, time_size : int
        Segments evaluated at once, and their length.

    Raises
    ------
    ValueError
        The text is shorter than one batch or not 1-d, a size is not a positive integer, or the model has no
        forward.

    Notes
    -----
    Source: book 2, `common/util.py`.

    Examples
    --------
    >>> from scratchnet import Sequential
    >>> from scratchnet.time_layers import TimeEmbedding, TimeSoftmaxWithLoss
    >>> model = Sequential([TimeEmbedding(np.zeros((4, 4)))], TimeSoftmaxWithLoss())  # all words alike
    >>> round(eval_perplexity(model, np.arange(51) % 4, batch_size=2, time_size=5), 3)
    evaluating perplexity ...
    4.0
    """
    if not callable(getattr(model, "forward", None)):
        raise ValueError(f"eval_perplexity: the model, a {type(model).__name__}, has no forward(xs, ts)")
    batch_size = check_integer("eval_perplexity: batch_size", batch_size, 1)
    time_size = check_integer("eval_perplexity: time_size", time_size, 1)
    corpus = as_array(corpus, "eval_perplexity: corpus")
    if corpus.ndim != 1:
        raise ValueError(f"eval_perplexity: corpus has shape {corpus.shape}, expected (N,), the words of a text")
    print("evaluating perplexity ...")
    length = len(corpus) - 1
    iterations = length // (batch_size * time_size)
    if iterations < 1:
        raise ValueError(
            f"eval_perplexity: corpus has {len(corpus)} words, expected more than batch_size * time_size, "
            f"{batch_size * time_size}"
        )
    flags = {"train_flg": False} if has_argument(model.forward, "train_flg") else {}
    total = 0.0
    for i in range(iterations):
        begins = np.arange(batch_size)[:, None] * (length // batch_size) + i * time_size + np.arange(time_size)
        xs, ts = (
            taken("eval_perplexity: corpus", corpus, places % len(corpus)) for places in (begins, begins + 1)
        )
        total += as_number("eval_perplexity: the loss", model.forward(xs, ts, **flags))
        sys.stdout.write(f"\r{i} / {iterations}")
        sys.stdout.flush()
    print("")
    return float(np.exp(total / iterations))


def eval_seq2seq(
    model: Any,
    question: Any,
    correct: Any,
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
        Anything with generate(question, start_id, length) -> character IDs.
    question : ndarray
        Character IDs.
    correct : ndarray
        Character IDs of the answer, the first of which is the start mark.
    id_to_char : dict
        Characters by ID.
    verbose : bool
        Whether question, answer and guess are printed; `verbos` in some printings.
    is_reverse : bool
        Whether the question is stored backwards.

    Raises
    ------
    ValueError
        The model has no generate, the answer has no start mark, a character ID is not an integer, or id_to_char
        does not contain characters.
    IndexError
        id_to_char lacks an ID.

    Notes
    -----
    Source: book 2, `common/util.py`; ch. 7.3.5.

    Examples
    --------
    >>> class Model:
    ...     def generate(self, question, start_id, length):
    ...         return [1, 2][:length]
    >>> eval_seq2seq(Model(), np.array([[1, 2]]), np.array([[0, 1, 2]]), {0: "_", 1: "a", 2: "b"})
    1
    """
    if not callable(getattr(model, "generate", None)):
        raise ValueError(f"eval_seq2seq: the model, a {type(model).__name__}, has no generate")
    if not isinstance(id_to_char, Mapping | Sequence):
        raise ValueError(f"eval_seq2seq: id_to_char must be a dictionary, got {type(id_to_char).__name__}")
    question = as_array(question, "eval_seq2seq: question")
    answer = _numbers("correct", correct)
    if answer.size == 0:
        raise ValueError("eval_seq2seq: correct is empty, expected a start mark and the answer")
    guess = model.generate(question, answer[0], len(answer) - 1)
    asked, right, said = (
        "".join(_character(id_to_char, c) for c in characters)
        for characters in (_numbers("question", question), answer[1:], _numbers("the guess", guess))
    )
    if verbose if verbos is None else verbos:
        print("Q", asked[::-1] if is_reverse else asked)
        print("T", right)
        if os.name == "nt":  # its console may support neither the colours nor the symbols
            mark = "O" if said == right else "X"
        else:
            mark = "\033[92m☑\033[0m" if said == right else "\033[91m☒\033[0m"
        print(f"{mark} {said}")
        print("---")
    return int(said == right)


def _numbers(name: str, characters: Any) -> Array:
    where = f"eval_seq2seq: {name}"
    on_cpu = to_side(as_array(characters, where), to_gpu=False)
    return as_whole_numbers(where, on_cpu, "character numbers").reshape(-1)


def _character(id_to_char: Any, number: int) -> str:
    try:
        character = id_to_char[int(number)] if number >= 0 else None
    except LookupError:
        character = None
    if character is None:
        raise IndexError(f"eval_seq2seq: id_to_char has no entry for {number}")
    if not isinstance(character, str):
        raise ValueError(f"eval_seq2seq: id_to_char[{number}] must be a character, got {character!r}")
    return character
