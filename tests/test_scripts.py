"""Scripts of the books' kind under scratchnet, with replaced imports, and in plain NumPy: the same lines."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from printed import TIME, assert_same
from processes import run
from test_dataset_mnist import write as write_mnist
from tolerances import FLOAT32_LOSSES, FLOAT64_LOSSES

pytestmark = pytest.mark.thread_unsafe(reason="starts processes, which share nothing with the threads")

TESTS = Path(__file__).parent
SCRIPTS = TESTS / "scripts"
HOMES = {1: ["scratchnet.book1"], 2: ["scratchnet.book2", "scratchnet"]}


def lines(*command, cwd, **settings):
    settings |= dict(MPLBACKEND="Agg", OPENBLAS_NUM_THREADS="1", SCRATCHNET_LANG="")
    settings["PYTHONSAFEPATH"] = ""  # else Python itself leaves the script's folder out
    return run(*command, cwd=cwd, **settings).stdout.splitlines()


def check(folder, name, book, *arguments, bound=FLOAT64_LOSSES, **settings):
    """Run a script in plain NumPy, by the command and with replaced imports; return the lines of plain NumPy."""
    script = SCRIPTS / name
    plain_path = os.pathsep.join(map(str, (TESTS / "numpy_books" / f"book{book}", TESTS)))
    plain = lines(sys.executable, script, *arguments, cwd=folder, PYTHONPATH=plain_path)
    command = (sys.executable, "-P", "-m", "scratchnet", "run", script, *arguments)
    ours = lines(*command, cwd=folder, **settings)
    assert_same(ours, plain, bound)
    text, replaced = script.read_text("utf-8"), folder / name
    for home in HOMES[book]:
        if home == "scratchnet" and "import *" in text:  # the names of its own modules have to be asked for
            continue
        theirs = re.sub(r"from common\b", f"from {home}", text)
        replaced.write_text(re.sub(r"from dataset\b", f"from {home}.dataset", theirs), "utf-8")
        again = lines(sys.executable, replaced, *arguments, cwd=folder, **settings)
        assert [TIME.sub("", line) for line in again] == [TIME.sub("", line) for line in ours]
    return plain


OF_THE_LONG_RUN = [
    pytest.param(name, marks=pytest.mark.long) for name in ("Momentum", "Nesterov", "AdaGrad", "RMSprop")
]


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", *OF_THE_LONG_RUN])
def test_book_1_s_convolutional_network(tmp_path, optimizer):
    plain = check(tmp_path, "convnet.py", 1, optimizer)
    assert plain[19].startswith("test acc:") and plain[20] == "15" and plain[-2].startswith("b3 True")


@pytest.fixture
def digits(tmp_path):
    """A folder with images in MNIST's files: each class a picture, and noise."""
    rng = np.random.default_rng(0)
    pictures, data = rng.integers(0, 160, (10, 28, 28)), []
    for count in (400, 100):
        t = rng.integers(0, 10, count)
        data += [(pictures[t] + rng.integers(0, 96, (count, 28, 28))).astype(np.uint8), t.astype(np.uint8)]
    write_mnist(tmp_path / "dataset", data)
    return tmp_path


def test_book_1_s_digits(digits):
    plain = check(digits, "digits.py", 1, SCRATCHNET_DATA=str(digits / "dataset"))
    assert "W2 True" in plain


@pytest.mark.long
def test_book_1_s_comparisons(digits):
    pytest.importorskip("matplotlib")
    plain = check(digits, "comparisons.py", 1, SCRATCHNET_DATA=str(digits / "dataset"))
    assert "gamma1 True" in plain


def test_book_2_s_own_loop_over_the_spiral(tmp_path):
    plain = check(tmp_path, "spiral_loop.py", 2)
    assert len(plain) == 40 and plain[0].startswith("| epoch 1 | loss 1.1")


@pytest.mark.long
def test_book_2_s_trainer_on_the_spiral(tmp_path):
    pytest.importorskip("matplotlib")
    plain = check(tmp_path, "spiral_trainer.py", 2)
    assert plain[-3].startswith("| epoch 70 |  iter 3 / 3 |")


@pytest.mark.long
def test_book_2_s_word_vectors(tmp_path):
    pytest.importorskip("matplotlib")
    plain = check(tmp_path, "word_vectors.py", 2, bound=FLOAT32_LOSSES)
    assert "emperor is not found" in plain and plain[-4].startswith("[analogy] king:man = queen:?")


@pytest.fixture
def texts(tmp_path):
    """Words of which each tends to follow another, in the files and the place that the book has."""
    words = ("the", "cat", "dog", "bird", "sees", "hears", "likes", "a", "small", "old", "tree", "house", "near")
    rng = np.random.default_rng(0)
    (tmp_path / "dataset").mkdir()
    for part, sentences in (("train", 150), ("valid", 15)):
        text = f" {' '.join(words)} \n" if part == "train" else ""
        for _ in range(sentences):
            word, sentence = 0, []
            for _ in range(rng.integers(3, 9)):
                sentence.append(words[word])
                word = int(rng.integers(13)) if rng.random() < 0.2 else (3 * word + 1) % 13
            text += f" {' '.join(sentence)} \n"
        (tmp_path / "dataset" / f"ptb.{part}.txt").write_text(text)
    return tmp_path


def test_book_2_s_language_models(texts):
    plain = check(texts, "language_model.py", 2, bound=FLOAT32_LOSSES)
    assert plain[-1] == "[True, True]" and len(plain[-2].split()) == 25


def test_book_2_s_sums(tmp_path):
    (tmp_path / "dataset").mkdir()
    pairs = [(a, b) for a in range(20) for b in range(0, 100, 5)]
    text = "".join(f"{f'{a}+{b}':<5}_{a + b:<3}\n" for a, b in pairs)
    (tmp_path / "dataset" / "addition.txt").write_text(text)
    plain = check(tmp_path, "sums.py", 2, bound=FLOAT32_LOSSES)
    assert plain[0].startswith("(360, 5) (360, 4) 13")
