"""The Penn Treebank: a file of the reader's, or a download that names the licence. No text of it is here."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnet.dataset import ptb


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    return tmp_path


def write(folder):
    (folder / "ptb.train.txt").write_text(" you say goodbye \n and i say hello \n")
    (folder / "ptb.test.txt").write_text(" i say you \n")


def test_words_are_numbered_as_they_appear(folder):
    write(folder)
    corpus, word_to_id, id_to_word = ptb.load_data("train")
    assert corpus.dtype == np.int64 and corpus.tolist() == [0, 1, 2, 3, 4, 5, 1, 6, 3]
    assert id_to_word[3] == "<eos>" and word_to_id == {word: i for i, word in id_to_word.items()}
    assert ptb.load_data("test")[0].tolist() == [5, 1, 0, 3]
    assert ptb.load_vocab() == (word_to_id, id_to_word)
    assert sorted(p.name for p in folder.iterdir()) == ["ptb.test.txt", "ptb.train.txt"]  # nothing is written


def test_what_is_wrong_is_said(folder):
    write(folder)
    with pytest.raises(ValueError, match="data_type must be"):
        ptb.load_data("all")
    (folder / "ptb.test.txt").write_text(" unheard \n")
    with pytest.raises(ValueError, match=r"ptb\.test\.txt has the word 'unheard'"):
        ptb.load_data("test")


def test_the_folder_of_the_environment_comes_first(folder, monkeypatch):
    write(folder)
    (folder / "mine").mkdir()
    (folder / "mine" / "ptb.train.txt").write_text(" other words \n")
    monkeypatch.setenv("SCRATCHNET_DATA", str(folder / "mine"))
    assert list(ptb.load_vocab()[0]) == ["other", "words", "<eos>"]


def test_a_download_says_what_the_licence_is_and_leaves_ssl_alone(folder, monkeypatch, capsys):
    asked = []

    def retrieve(url, known_hash, name, where):
        asked.append(url)
        where.mkdir(parents=True)
        (where / name).write_text(" a b \n")
        return str(where / name)

    monkeypatch.setitem(sys.modules, "pooch", SimpleNamespace(retrieve=retrieve))
    import ssl

    context = ssl._create_default_https_context
    assert list(ptb.load_vocab()[0]) == ["a", "b", "<eos>"]
    assert "LDC99T42" in capsys.readouterr().err and ssl._create_default_https_context is context
    ptb.load_vocab()
    assert asked == [ptb.url_base + "ptb.train.txt"]  # the second time it lies in the cache


def test_a_failing_download_says_what_to_do(monkeypatch):
    def retrieve(*arguments):
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "pooch", SimpleNamespace(retrieve=retrieve))
    with pytest.raises(OSError, match=r"no network\. Put ptb\.train\.txt"):
        ptb.load_vocab()
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"scratchnet\[data\]"):
        ptb.load_vocab()
