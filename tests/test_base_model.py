"""Models that extend the books' base: files as the books write them, and what is refused."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from scratchnet.base_model import BaseModel
from scratchnet.weights import load_params


class Small(BaseModel):
    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.params = [rng.standard_normal((3, 2)).astype("f"), rng.standard_normal(2)]
        self.grads = [np.zeros_like(p) for p in self.params]


def test_there_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, other = Small(), Small(1)
    arrays = list(other.params)
    model.save_params()
    assert [path.name for path in tmp_path.iterdir()] == ["Small.pkl"]
    other.load_params()
    for mine, theirs, array in zip(model.params, other.params, arrays, strict=True):
        np.testing.assert_array_equal(theirs, mine.astype(np.float16))
        assert theirs is array and theirs.dtype == mine.dtype


def test_the_file_is_the_books(tmp_path):
    model = Small()
    model.save_params(tmp_path / "weights.pkl")
    stored = pickle.loads((tmp_path / "weights.pkl").read_bytes())
    assert type(stored) is list and [a.dtype for a in stored] == [np.float16, np.float16]
    (tmp_path / "theirs.pkl").write_bytes(pickle.dumps([np.ones((3, 2), np.float16), np.zeros(2, np.float16)]))
    model.load_params(str(tmp_path / "theirs.pkl"))
    assert np.all(model.params[0] == 1) and np.all(model.params[1] == 0)


class Calls:
    def __reduce__(self):
        return print, ("must not run",)


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, capsys):
    model = Small()
    before = [p.copy() for p in model.params]
    good = [np.ones((3, 2), np.float16), np.zeros(2, np.float16)]
    for content, words in (
        (good[:1], "does not fit the model"),
        ([good[0].T, good[1]], "does not fit the model"),
        ([1, 2], "does not contain a list of floating-point arrays"),
        ([good[0], Calls()], "expected arrays and plain containers only"),
    ):
        (tmp_path / "weights.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=words):
            model.load_params(tmp_path / "weights.pkl")
    with pytest.raises(OSError, match=r"No file: .*nothing\.pkl"):
        model.load_params(tmp_path / "nothing.pkl")
    model.params[1].flags.writeable = False
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(good))
    with pytest.raises(ValueError, match=r"params\[1\] is not a writable array"):
        model.load_params(tmp_path / "weights.pkl")
    for p, b in zip(model.params, before, strict=True):
        np.testing.assert_array_equal(p, b)
    assert capsys.readouterr().out == ""


def test_a_number_that_would_become_infinite_is_refused_by_every_door(tmp_path):
    too_large = [np.full((3, 2), 2.0), np.array([1e300, 1.0])]
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(too_large))
    np.savez(tmp_path / "weights.npz", W1=too_large[0], b1=too_large[1])
    for read in (Small.load_params, lambda model, path: load_params(model, path.with_suffix(".npz"))):
        model = Small()
        model.params[1] = model.params[1].astype("f")
        before = [p.copy() for p in model.params]
        with warnings.catch_warnings(), pytest.raises(ValueError, match="values that are too large for float32"):
            warnings.simplefilter("error")
            read(model, tmp_path / "weights.pkl")
        for p, b in zip(model.params, before, strict=True):
            np.testing.assert_array_equal(p, b)


def test_numbers_that_were_infinite_or_missing_stay_so(tmp_path):
    model, stored = Small(), [np.full((3, 2), np.inf), np.array([np.nan, -np.inf])]
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(stored))
    model.load_params(tmp_path / "weights.pkl")
    for p, s in zip(model.params, stored, strict=True):
        np.testing.assert_array_equal(p, s)


def test_a_failed_save_leaves_the_older_file(tmp_path):
    model = Small()
    model.save_params(tmp_path / "weights.pkl")
    content = (tmp_path / "weights.pkl").read_bytes()
    model.params[0][0, 0] = 1e6
    with pytest.raises(ValueError, match=r"params\[0\] has values that are too large for float16"):
        model.save_params(tmp_path / "weights.pkl")
    assert (tmp_path / "weights.pkl").read_bytes() == content and len(list(tmp_path.iterdir())) == 1


def test_what_a_model_has_to_say_itself():
    model = BaseModel()
    for method in (model.forward, model.backward):
        with pytest.raises(NotImplementedError, match=r"BaseModel has no (forward|backward) of its own"):
            method()
    with pytest.raises(ValueError, match="BaseModel has no params"):
        model.save_params()
