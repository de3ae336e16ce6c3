"""Weights in .safetensors files: what .npz files promise, and files that other programs write and read."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from scratchnet import BatchNormalization, MultiLayerNet, Sequential, SoftmaxWithLoss, layers, models
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend

numpy_files = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed: no such file is read")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def net(seed=0, **options):
    return MultiLayerNet(3, [4], 2, "relu", "he", rng=seed, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_come_back_to_the_bit(dtype, folder):
    saved, loaded = net(dtype=dtype), net(1, dtype=dtype)
    assert saved.save_params("w.safetensors") == type(folder)("w.safetensors")
    loaded.load_params("w.safetensors")
    made = models.load("w.safetensors")
    assert made.architecture() == saved.architecture()
    for mine, theirs, new in zip(saved.params, loaded.params, made.params, strict=True):
        assert mine.tobytes() == theirs.tobytes() == new.tobytes() and new.dtype == dtype and new.flags.writeable
    assert [path.name for path in folder.iterdir()] == ["w.safetensors"]


def test_statistics_views_and_dictionaries():
    W = np.arange(6.0, dtype=">f4").reshape(2, 3).T
    norm = BatchNormalization(np.ones(2, np.float32), np.zeros(2, np.float32))
    model = Sequential([layers.Affine(W, np.zeros(2, np.float32)), norm], SoftmaxWithLoss())
    model.forward(np.random.default_rng(0).random((5, 3)), np.zeros(5, int))
    model.save_params("w.safetensors")
    np.testing.assert_array_equal(numpy_files.load_file("w.safetensors")["W1"], W)
    again = models.load("w.safetensors")
    np.testing.assert_array_equal(again.layers[1].running_var, norm.running_var)
    book_1 = MultiLayerNetExtend(3, [4], 2, use_batchnorm=True)
    models.save_params(book_1, "b.safetensors")
    other = MultiLayerNetExtend(3, [4], 2, use_batchnorm=True)
    models.load_params(other, "b.safetensors")
    np.testing.assert_array_equal(other.params["W2"], book_1.params["W2"])


def test_other_programs_read_it_and_their_files_are_read():
    net().save_params("w.safetensors", dtype="float16")
    held = numpy_files.load_file("w.safetensors")
    assert sorted(held) == ["W1", "W2", "b1", "b2"] and held["W1"].dtype == np.float16
    full = {name: array.astype(np.float32) + 1 for name, array in held.items()}
    numpy_files.save_file(full, "theirs.safetensors", metadata={"format": "pt"})  # as PyTorch's has
    model = net(3)
    model.load_params("theirs.safetensors")
    np.testing.assert_array_equal(model.params[2], full["W2"])
    with pytest.raises(ValueError, match="does not say what network it is of"):
        models.load("theirs.safetensors")


def test_a_failed_save_leaves_the_old_file(folder):
    net().save_params("w.safetensors")
    before = (folder / "w.safetensors").read_bytes()
    model = net(1)
    model.params[0][0, 0] = 1e30
    with pytest.raises(ValueError, match="too large for float16"):
        model.save_params("w.safetensors", dtype="float16")
    assert [path.read_bytes() for path in folder.iterdir()] == [before]


def refused(message, error=ValueError):
    model = net(1)
    before = [p.copy() for p in model.params]
    with pytest.raises(error, match=message):
        model.load_params("w.safetensors")
    for p, old in zip(model.params, before, strict=True):
        np.testing.assert_array_equal(p, old)


def test_files_that_do_not_fit_change_nothing(folder):
    refused("there is no weights file w.safetensors", FileNotFoundError)
    MultiLayerNet(3, [5], 2, rng=0).save_params("w.safetensors")
    refused(r"does not fit the model: it contains .*W1 \(3, 5\).*; the model has W1 \(3, 4\)")
    MultiLayerNet(3, [4], 2, "sigmoid", rng=0).save_params("w.safetensors")
    refused("saved with activation 'sigmoid', but the model has 'relu'")
    arrays = {name: np.zeros((2, 2), np.int64) for name in ("W1", "b1")}
    numpy_files.save_file(arrays, "w.safetensors")
    refused("not a weights file, or is damaged: W1 has dtype I64, expected F16, F32, F64")
    (folder / "folder.safetensors").mkdir()
    with pytest.raises(OSError, match="expected a file, got a folder"):
        models.load("folder.safetensors")


def test_damage_is_refused(folder):
    net().save_params("w.safetensors")
    whole = (folder / "w.safetensors").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + size])
    head["W1"]["shape"] = [10**9, 10**9]
    claims = json.dumps(head).encode()
    for data in (
        b"",
        b"text",
        whole[:-1],
        whole[:20],
        whole + b"1",
        b"\xff" * 8 + whole[8:],
        len(claims).to_bytes(8, "little") + claims + whole[8 + size :],
    ):
        (folder / "w.safetensors").write_bytes(data)
        refused("w.safetensors is not a weights file, or is damaged")
        with pytest.raises(ValueError, match="is not a weights file, or is damaged"):
            models.load("w.safetensors")


def test_without_safetensors_an_error_says_what_to_install(folder, monkeypatch):
    net().save_params("w.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    refused(r'pip install "scratchnet\[safetensors\]"', ImportError)
    with pytest.raises(ImportError, match=r'pip install "scratchnet\[safetensors\]"'):
        net().save_params("v.safetensors")
    assert [path.name for path in folder.iterdir()] == ["w.safetensors"]
    net().save_params("v.npz")
