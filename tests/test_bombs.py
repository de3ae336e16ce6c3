"""Small files that claim to be large, or become so when unpacked: refused in the memory that a good one takes."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from scratchnet import TwoLayerNet
from scratchnet.dataset.mnist import load_mnist
from scratchnet.util import load_pickle
from scratchnet.weights import read_weights

pytestmark = pytest.mark.thread_unsafe(reason="tracemalloc counts for the whole process")

LARGE = 1 << 22  # bytes that a bomb would take, or more
ALLOWED = 1 << 20


def refusal(call, *arguments, **options):
    """The message of a ValueError that comes before much memory was taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as raised:
            call(*arguments, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < ALLOWED
    return str(raised.value)


def npy(shape, dtype="<f4", length=0, header=""):
    """An array's header, of any claim, and zeros."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}{header}".encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(text)) + text + bytes(length)


NET = {
    "W1": npy((2, 3), length=24),
    "b1": npy((3,), length=12),
    "W2": npy((3, 2), length=24),
    "b2": npy((2,), length=8),
}
ZEROS = bytes(LARGE)


@pytest.mark.parametrize(
    ("entries", "packing", "words"),
    [
        ({"extra": npy((LARGE // 4,)) + ZEROS}, "deflated", "does not fit the model"),
        ({"W1": npy((LARGE // 4,)) + ZEROS}, "deflated", "does not fit the model"),
        ({"W1": npy((10**6, 10**6))}, "stored", "does not fit the model"),
        ({"W1": npy((2, 3)) + ZEROS}, "deflated", None),  # the numbers end where the header says
        ({"W1": npy((2, 3), header=" " * LARGE)}, "deflated", "damaged"),
        ({"W1": npy((2, 3), dtype=f"<f{LARGE}")}, "stored", "damaged"),
        ({"W1": npy((2, 3), length=20)}, "stored", "damaged"),
        ({"activation": npy((), dtype=f"<U{LARGE // 4}") + ZEROS}, "deflated", "activation has dtype"),
        ({"activation": npy((LARGE,), dtype="<U1") + ZEROS}, "deflated", "activation has dtype"),
        ({"readme": b"no array"}, "stored", "damaged"),
        ({"W1": npy((2, 3), length=24)}, "lzma", "compression method that NumPy does not write"),
    ],
)
def test_weights(tmp_path, entries, packing, words):
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{packing.upper()}"), compresslevel=1) as archive:
        for name, content in (NET | entries).items():
            archive.writestr(f"{name}.npy", content)
    assert path.stat().st_size < LARGE // 100
    model = TwoLayerNet(2, 3, 2, rng=0)
    if words is None:
        model.load_params(path)
        assert not any(map(np.any, model.params))
        return
    before = [p.copy() for p in model.params]
    assert words in refusal(model.load_params, path)
    for p, b in zip(model.params, before, strict=True):
        np.testing.assert_array_equal(p, b)


def test_weights_of_a_model_that_is_not_known(tmp_path):
    """What the command line reads: a shape is then no reason to refuse a file, its size is."""
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("W1.npy", npy((2, LARGE // 8)) + ZEROS)
    assert "cannot contain weights of W1 (2, " in refusal(read_weights, tmp_path / "w.npz")


def array(length, fill=b"\0"):
    """Opcodes for an array, its bytes from the file's memo 0 or its own."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\1btR(I1\n(I%d\ntcnumpy\ndtype\n(X\2\0\0\0u1tRI00\n"
        b"h\0tb" % length
    )


MANY = 300
TEXT = b"\x80\x03B" + struct.pack("<I", 1 << 14) + bytes(1 << 14) + b"q\0"  # bytes, remembered as 0
NUMBERS = b"\x80\x03](" + b"".join(b"J" + struct.pack("<i", i) for i in range(1 << 10)) + b"eq\0"


@pytest.mark.parametrize(
    "content",
    [
        TEXT + b"0](" + MANY * array(1 << 14) + b"e.",
        b"\x80\x03X" + struct.pack("<I", 1 << 14) + b"x" * (1 << 14) + b"q\0"
        b"0](" + MANY * b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" + b"e.",
        NUMBERS + b"0](" + MANY * b"cbuiltins\nset\nh\0\x85R" + b"e.",
        NUMBERS + b"0](" + MANY * b"cbuiltins\nfrozenset\nh\0\x85\x81" + b"e.",
        NUMBERS + b"0](" + MANY * b"(h\0ibuiltins\nfrozenset\n" + b"e.",
        NUMBERS + b"0](" + MANY * b"(cbuiltins\nfrozenset\nh\0o" + b"e.",
    ],
    ids=["array", "encoded", "REDUCE", "NEWOBJ", "INST", "OBJ"],
)
def test_pickles(tmp_path, content, monkeypatch):
    """One object of the file's, copied as often as it asks."""
    monkeypatch.setattr("scratchnet._unpickle._MOST_EXPANDED", 10)  # so that the test is quick
    (tmp_path / "w.pkl").write_bytes(content)
    assert "10 times the file's size" in refusal(load_pickle, tmp_path / "w.pkl")


def test_good_pickles_are_far_from_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("scratchnet._unpickle._MOST_EXPANDED", 50)
    for content in ([set() for _ in range(100)], [np.ones(1, np.uint8) for _ in range(100)], np.zeros(10**4)):
        for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
            (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol))
            assert len(load_pickle(tmp_path / "w.pkl")) == len(content)


def idx(shape, code=8):
    return struct.pack(f">2x2B{len(shape)}I", code, len(shape), *shape)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (idx((LARGE, 1, 1)) + ZEROS, idx((3,)) + bytes(3), "expected 3 images"),
        (idx((3, LARGE // 3)) + ZEROS, idx((3,)) + bytes(3), "expected images"),
        (idx((3, LARGE // 12, 1), 13) + ZEROS, idx((3,)) + bytes(3), "expected images"),
        (idx((3, 2, 2)) + ZEROS, idx((3,)) + bytes(3), "got more"),
        (idx((3, 2, 2)) + bytes(12), idx((3, LARGE // 3)) + ZEROS, "expected labels"),
        (idx((3, 2, 2)) + bytes(12), idx((3,)) + ZEROS, "got more"),
    ],
    ids=range(6),
)
def test_images(tmp_path, images, labels, words):
    for part in ("train", "t10k"):
        for name, content in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            packed = io.BytesIO()
            with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
                file.write(content)
            (tmp_path / f"{part}-{name}.gz").write_bytes(packed.getvalue())
    assert words in refusal(load_mnist, folder=tmp_path)


def test_two_entries_of_one_name_are_damage(tmp_path):
    model = TwoLayerNet(2, 3, 2, rng=0)
    path = model.save_params(tmp_path / "w.npz")
    twice = io.BytesIO()
    np.save(twice, np.zeros((2, 3), np.float32))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("W1.npy", twice.getvalue())
    with pytest.raises(ValueError, match="two entries have the same name"):
        model.load_params(path)
