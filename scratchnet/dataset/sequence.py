"""The sequences of book 2, chapters 7 and 8: sums, and dates written in many ways.

The book's own files, addition.txt and date.txt, are read in place: in the folder of ``SCRATCHNET_DATA``, of the
script, or in a folder ``dataset`` there or next to it. If there is none, `load_data` generates data of the same
format: 50000 lines of the same lengths and characters, from a fixed seed, so the same at every call. They are
not the book's lines: losses and accuracies differ from those printed there.
"""

from __future__ import annotations

import datetime
import os
from typing import Any

import numpy as np

from .._files import as_path
from ._files import find

__all__ = ["get_vocab", "load_data"]

Ids = np.ndarray[Any, np.dtype[np.int64]]

_LINES = 50000
_FORMS = ("{0}/{1}/{2}", "{month} {1}, {3}", "{month} {1}, {3}", "{weekday}, {month} {1}, {3}", "{short} {1}, {3}")

# The vocabulary of all files that were loaded, in the order of the characters' first appearance
id_to_char: dict[int, str] = {}
char_to_id: dict[str, int] = {}


def load_data(
    file_name: str | os.PathLike[str] = "addition.txt", seed: int | None = 1984
) -> tuple[tuple[Ids, Ids], tuple[Ids, Ids]]:
    r"""Load questions and answers as rows of character ids, nine tenths to train with and one to test.

    Parameters
    ----------
    file_name : str or path
        "addition.txt" or "date.txt", or the path of a file of that format: a question, an underscore and its
        answer in each line, both padded with blanks to a fixed length.
    seed : int or None
        Seed of NumPy's global stream, which then shuffles the lines; None leaves the stream as it is.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        int64; x is (N, length of a question), t is (N, 1 + length of an answer), with the underscore in front.

    Raises
    ------
    FileNotFoundError
        The file does not exist, and is not one of the two that can be generated.
    ValueError
        The lines of the file do not have this format, or the name is not a file name.

    Notes
    -----
    Characters keep their ids from files loaded earlier; new ones get the next ids, as in the book.
    Source: book 2, ch. 7.2.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("sums.txt").write_text("1+2_3 \n4+5_9 \n")
    >>> (x_train, t_train), (x_test, t_test) = load_data("./sums.txt")
    >>> x_train.shape, t_train.shape
    ((2, 3), (2, 3))
    """
    questions, answers, source = _read(file_name)
    vocabulary = dict(char_to_id)
    for character in dict.fromkeys("".join(q + a for q, a in zip(questions, answers, strict=True))):
        vocabulary.setdefault(character, len(vocabulary))
    x = np.array([[vocabulary[c] for c in q] for q in questions], np.int64)
    t = np.array([[vocabulary[c] for c in a] for a in answers], np.int64)
    if x.ndim != 2 or t.ndim != 2:
        raise ValueError(f"{source}: it has no lines, expected questions and answers")
    char_to_id.update(vocabulary)
    id_to_char.update({i: c for c, i in vocabulary.items()})
    if seed is not None:
        np.random.seed(seed)
    order = np.arange(len(x))
    np.random.shuffle(order)
    x, t = x[order], t[order]
    split = len(x) - len(x) // 10
    return (x[:split], t[:split]), (x[split:], t[split:])


def get_vocab() -> tuple[dict[str, int], dict[int, str]]:
    """Return the vocabulary of the files that were loaded: character to id, and id to character.

    These are the module's own dictionaries, which further files extend, as in the book.

    Examples
    --------
    >>> char_to_id, id_to_char = get_vocab()
    """
    return char_to_id, id_to_char


def _read(file_name: str | os.PathLike[str]) -> tuple[list[str], list[str], str]:
    given = as_path("dataset.sequence", file_name)
    path = given if given.is_file() else find(str(given))
    if path is not None:
        lines = path.read_text("utf-8").splitlines()
    elif str(given) in _MAKERS:
        lines = _MAKERS[str(given)](np.random.default_rng(7))
    else:
        raise FileNotFoundError(
            f"dataset.sequence: there is no file {given}; put it next to the script or into the folder named by "
            f"SCRATCHNET_DATA. {' and '.join(_MAKERS)} are generated if they are missing"
        )
    questions, answers = [], []
    for number, line in enumerate(lines, start=1):
        question, underscore, answer = line.partition("_")
        if not underscore or len(question) != len(lines[0].partition("_")[0]) or len(line) != len(lines[0]):
            raise ValueError(
                f"{path}, line {number}: expected a question and an answer separated by an underscore, of the "
                f"lengths of the first line, got {line!r}"
            )
        questions.append(question)
        answers.append(underscore + answer)
    return questions, answers, str(path)


def _additions(rng: np.random.Generator) -> list[str]:
    """Sums of two numbers of up to three digits: "16+75  _91  "."""
    lines: dict[str, None] = {}
    while len(lines) < _LINES:
        numbers = rng.integers(0, 10 ** rng.integers(1, 4, (_LINES, 2)))
        lines |= dict.fromkeys(f"{f'{a}+{b}':<7}_{a + b:<4}" for a, b in numbers.tolist())
    return list(lines)[:_LINES]


def _dates(rng: np.random.Generator) -> list[str]:
    """Dates of 1970 to 2017 as people write them, and by the standard: "september 27, 1994        _1994-09-27"."""
    first = datetime.date(1970, 1, 1).toordinal()
    days = datetime.date(2018, 1, 1).toordinal() - first
    lines = []
    for day, form, case in zip(rng.integers(0, days, _LINES), rng.integers(0, len(_FORMS), _LINES),
                               rng.integers(0, 3, _LINES), strict=True):  # fmt: skip
        date = datetime.date.fromordinal(first + int(day))
        month, weekday = _MONTHS[date.month - 1], _WEEKDAYS[date.weekday()]
        names: dict[str, Any] = {"month": month, "short": month[:3], "weekday": weekday}
        text = _FORMS[form].format(date.month, date.day, f"{date.year % 100:02d}", date.year, **names)
        text = (text, text.lower(), text.upper())[case]
        lines.append(f"{text:<29}_{date.isoformat()}")
    return lines


# strftime's names depend on the user's language.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MAKERS = {"addition.txt": _additions, "date.txt": _dates}
