"""Sums and dates: the reader's file where there is one, else lines that are made."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from processes import PYTHON, run

from scratchnet.dataset import sequence


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A folder without files, in which Python was started."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)


@pytest.fixture(autouse=True)
def nothing_loaded():
    """As after the import: no file has given characters their ids yet."""
    sequence.char_to_id.clear()
    sequence.id_to_char.clear()


def lines(x, t):
    _, id_to_char = sequence.get_vocab()
    return ["".join(id_to_char[i] for i in (*q, *a)) for q, a in zip(x.tolist(), t.tolist(), strict=True)]


def test_sums_that_are_made():
    (x, t), (x_test, t_test) = sequence.load_data("addition.txt", seed=1984)
    assert (
        x.shape == (45000, 7) and t.shape == (45000, 5) and x_test.shape == (5000, 7) and t_test.shape == (5000, 5)
    )
    assert x.dtype == t.dtype == np.int64
    char_to_id, _ = sequence.get_vocab()
    assert sorted(char_to_id) == sorted("0123456789+_ ") and sorted(char_to_id.values()) == list(range(13))
    for line in lines(x[:500], t[:500]):
        question, answer = line.split("_")
        a, b = question.split("+")
        assert int(a) + int(b) == int(answer)
    assert len(np.unique(x, axis=0)) == len(x)


def test_dates_that_are_made():
    (x, t), _ = sequence.load_data("date.txt")
    assert x.shape == (45000, 29) and t.shape == (45000, 11)
    assert len(sequence.get_vocab()[0]) < 70
    for line in lines(x[:300], t[:300]):
        question, answer = line.split("_")
        date = datetime.date.fromisoformat(answer)
        assert 1970 <= date.year <= 2017 and str(date.day) in question


@pytest.mark.long
def test_the_same_at_every_call_and_a_vocabulary_that_grows_as_the_book_s():
    first = sequence.load_data("addition.txt")
    char_to_id, id_to_char = sequence.get_vocab()
    before = dict(char_to_id)
    assert list(char_to_id.values()) == list(range(13))
    (x, _), _ = sequence.load_data("date.txt")
    # The dictionaries are the module's own: what a script has of them grows too.
    assert char_to_id is sequence.char_to_id and id_to_char is sequence.id_to_char
    assert "J" in char_to_id and before.items() <= char_to_id.items()
    assert id_to_char == {i: c for c, i in char_to_id.items()}
    assert sorted(id_to_char) == list(range(len(id_to_char)))
    assert x.max() >= 13 and "".join(id_to_char[i] for i in x[0].tolist()).strip()
    second = sequence.load_data("addition.txt")
    assert np.array_equal(first[0][0], second[0][0]) and np.array_equal(first[1][1], second[1][1])
    np.random.seed(11)
    sequence.load_data("addition.txt", seed=None)
    np.random.seed(11)
    again = sequence.load_data("addition.txt", seed=None)
    assert not np.array_equal(again[0][0], first[0][0])


TEN = "".join(f"{n}+1_{n + 1:<2}\n" for n in range(10))


@pytest.mark.parametrize("place", ["here", "here/dataset", "dataset", "data"])
def test_the_book_s_own_file_is_found(place, tmp_path, monkeypatch):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "addition.txt").write_text(TEN)
    if place == "data":
        monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "data"))
    (x, t), (x_test, _) = sequence.load_data()
    assert x.shape == (9, 3) and t.shape == (9, 3) and x_test.shape == (1, 3)
    np.random.seed(1984)
    order = np.arange(10)
    np.random.shuffle(order)
    assert lines(x, t) == [TEN.splitlines()[i] for i in order[:9]]


def test_beside_the_script(tmp_path):
    for folder in ("ch07", "dataset"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dataset" / "addition.txt").write_text(TEN)
    script = tmp_path / "ch07" / "script.py"
    script.write_text("from dataset import sequence\nprint(len(sequence.load_data('addition.txt')[0][0]))\n")
    assert run(*PYTHON, "-m", "scratchnet", "run", script, SCRATCHNET_DATA=None).stdout == "9\n"


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file words\.txt"):
        sequence.load_data("words.txt")
    for text, what in (("1+1_2\n1+12_3\n", "line 2"), ("1+1\n", "line 1"), ("", "no lines")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ValueError, match=what):
            sequence.load_data(str(tmp_path / "bad.txt"))
