"""The books' weight files load; nothing that a file asks for is ever run."""

import builtins
import codecs
import copyreg
import functools
import os
import pickle
import threading
import tracemalloc
from collections import Counter, OrderedDict
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from scratchnet._unpickle import RefusedPickleError, load_pickle

FROMBUFFER = np.zeros(1).__reduce_ex__(5)[0]
SCALAR = np.float64(0).__reduce__()[0]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def load(tmp_path):
    """Write the bytes to a file and load that."""

    def load(data):
        folder = tmp_path / str(threading.get_ident())
        folder.mkdir(exist_ok=True)
        path = folder / "weights.pkl"
        path.write_bytes(data)
        return load_pickle(path)

    return load


def same(ours, original):
    assert type(ours) is type(original)
    if isinstance(original, dict):
        assert list(ours) == list(original)
        for key in original:
            same(ours[key], original[key])
    elif isinstance(original, list | tuple):
        assert len(ours) == len(original)
        for left, right in zip(ours, original, strict=True):
            same(left, right)
    elif isinstance(original, np.ndarray):
        assert ours.shape == original.shape
        assert ours.dtype.newbyteorder("=") == original.dtype.newbyteorder("=")
        assert np.array_equal(ours, original)
        assert ours.flags.writeable
        ours[...] = ours  # really so
    else:
        assert ours == original


ARRAYS = {
    "float16": np.linspace(-1, 1, 12).astype(np.float16).reshape(3, 4),
    "float32": np.arange(1000, dtype=np.float32).reshape(10, 100),
    "float64": np.arange(6.0).reshape(2, 3),
    "uint8": np.arange(256, dtype=np.uint8),
    "int64": np.arange(-3, 3),
    "bool": np.array([True, False]),
    "complex64": np.array([1 + 2j], np.complex64),
    "big-endian": np.arange(400, dtype=">f8"),
    "big-endian, few": np.arange(4, dtype=">i2"),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "sliced": np.arange(24.0).reshape(4, 6)[::2, 1:],
    "axes swapped": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "read-only": np.arange(5.0),
}
ARRAYS["read-only"].flags.writeable = False


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(load, name, protocol):
    same(load(pickle.dumps(ARRAYS[name], protocol)), ARRAYS[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_books_files(load, protocol):
    W, b = np.ones((784, 50), np.float32), np.zeros(50, np.float32)
    sample_weight = {"W1": W, "b1": b, "W2": W[:50].copy(), "b2": b[:10].copy()}
    base_model = [W.astype(np.float16), b.astype(np.float16)]
    params = OrderedDict(W1=W.astype(np.float64), b1=b.astype(np.float64))
    mnist = {"train_img": np.zeros((5, 784), np.uint8), "train_label": np.arange(5, dtype=np.uint8)}
    vocabulary = ({"you": 0, "say": 1}, {0: "you", 1: "say"})
    for content in (sample_weight, base_model, params, mnist, vocabulary):
        same(load(pickle.dumps(content, protocol)), content)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_containers(load, protocol):
    content = [
        {"a": (1, -2, 2**70, 0.5), (1, 2): {"deep": [[]]}},
        (True, False, None),
        {1, "two"},
        frozenset({3}),
        set(),
        "text, 글, \n'\"\\",
        b"\x00\xff bytes",
        b"",
        OrderedDict([("z", 1), ("a", 2)]),
        [np.float32(1.5), np.float64(-2.0), np.int64(7), np.uint8(255), np.bool_(True), np.str_("s")],
        np.dtype(np.float32),
        np.dtype(">i4"),
        list(range(3000)),
    ]
    same(load(pickle.dumps(content, protocol)), content)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_object_stays_one_object(load, protocol):
    W = np.arange(3.0)
    content = {"in": W, "out": W, "self": None}
    content["self"] = content
    loaded = load(pickle.dumps(content, protocol))
    assert loaded["in"] is loaded["out"] and loaded["self"] is loaded
    two = load(pickle.dumps([np.zeros(2, ">f4"), np.ones(2, ">f4")], protocol))  # they share one dtype
    assert two[0].tolist() == [0, 0] and two[1].tolist() == [1, 1]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_numpy_1_wrote_it(load, protocol):
    """NumPy 1 calls the same functions by the names of its own modules."""
    content = [np.arange(300, dtype=np.float32), np.float32(2.5)]
    data = pickle.dumps(content, protocol)
    assert b"numpy._core." in data
    same(load(data.replace(b"numpy._core.", b"numpy.core.")), content)


def test_python_2_wrote_it(load):
    """A dict of one array, two texts and a set, in Python 2's default protocol: strings hold the bytes."""
    data = rb"""(dp0
S'W1'
p1
cnumpy.core.multiarray
_reconstruct
p2
(cnumpy
ndarray
p3
(I0
tp4
S'b'
p5
tp6
Rp7
(I1
(I2
tp8
cnumpy
dtype
p9
(S'f4'
p10
I0
I1
tp11
Rp12
(I3
S'<'
p13
NNNI-1
I-1
I0
tp14
bI00
S'\x00\x00\x80?\x00\x00\x00\xc0'
p15
tp16
bsS'name'
p17
S'caf\xe9'
p18
sS'unicode'
p19
V\uae00
p20
sS'set'
p21
c__builtin__
set
p22
((lp23
I3
atp24
Rp25
sS'scalar'
p26
cnumpy.core.multiarray
scalar
p27
(g12
S'\x00\x00\x00@'
p28
tp29
Rp30
s."""
    loaded = load(data)
    same(loaded["W1"], np.array([1, -2], np.float32))
    assert loaded["name"] == "café" and loaded["unicode"] == "글"
    assert loaded["set"] == {3}
    same(loaded["scalar"], np.float32(2))


class Call:
    """Pickles as a call: a plain reader makes it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


PAYLOADS = {
    "os.system": (lambda marker: Call(os.system, f"mkdir {marker.name}"), r"(posix|nt)\.system"),
    "os.mkdir": (lambda marker: Call(os.mkdir, marker.name), r"(posix|nt)\.mkdir"),
    "eval": (
        lambda marker: Call(builtins.eval, f"__import__('os').mkdir({marker.name!r})"),
        r"(builtins|__builtin__)\.eval",
    ),
    "exec": (
        lambda marker: Call(builtins.exec, f"import os; os.mkdir({marker.name!r})"),
        r"(builtins|__builtin__)\.exec",
    ),
    "in a list": (lambda marker: [np.ones(2), Call(os.mkdir, marker.name)], r"(posix|nt)\.mkdir"),
    "partial": (lambda marker: functools.partial(os.mkdir, marker.name), r"functools\.partial"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_are_named_and_not_run(load, tmp_path, monkeypatch, payload, protocol):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "ran"
    make, named = PAYLOADS[payload]
    data = pickle.dumps(make(marker), protocol)
    with pytest.raises(RefusedPickleError, match=named):
        load(data)
    assert not marker.exists()
    done = pickle.loads(data)  # the payload is a real one: a plain reader runs it
    if payload == "partial":
        done()
    assert marker.exists()


def stack_global(module, name):
    """The protocol 4 opcodes that push what `name` (dots are followed) means in `module`."""
    return b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, name)) + b"\x93"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray.__reduce__"),
        ("numpy", "f2py.os.system"),
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("numpy.core.multiarray", "frombuffer"),
        ("numpy._core.numeric", "_frombuffer.__globals__"),
        ("_codecs", "lookup"),
        ("_codecs", "encode.__self__"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "defaultdict"),
        ("builtins", "getattr"),
        ("builtins", "set.__class__"),
        ("builtins", "__import__"),
        ("os", "system"),
        ("scratchnet._unpickle", "load_pickle"),
        ("copyreg", "_reconstructor"),
        ("pathlib", "Path"),
    ],
)
def test_names_outside_the_list_are_refused(load, module, name):
    with pytest.raises(RefusedPickleError, match=rf"got {module}\.{name}\."):
        load(b"\x80\x04" + stack_global(module, name) + b".")
    with pytest.raises(RefusedPickleError, match=rf"got {module}\.{name}\."):
        load(f"c{module}\n{name}\n.".encode())
    with pytest.raises(RefusedPickleError, match=rf"got {module}\.{name}\."):
        load(f"(i{module}\n{name}\n.".encode())


@pytest.mark.parametrize(("module", "name"), [("numpy", "ndarray"), ("numpy", "dtype"), ("builtins", "set")])
def test_a_listed_name_is_no_content(load, module, name):
    """The listed functions serve to rebuild arrays; one that is left in the result is refused."""
    push = b"\x80\x04" + stack_global(module, name)
    alone, in_tuple, in_list = push + b".", push + b"\x85.", b"\x80\x04]" + push[2:] + b"a."
    as_value, as_key = b"\x80\x04}N" + push[2:] + b"s.", b"\x80\x04}" + push[2:] + b"Ns."
    for data in (alone, in_tuple, in_list, as_value, as_key):
        with pytest.raises(RefusedPickleError, match="an object of type"):
            load(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (np.array([1, "a", None], dtype=object), "object"),
        (np.zeros(2, dtype=[("x", "f4"), ("y", "i4")]), "void|record|dtype|V8"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (Counter("ab"), r"collections\.Counter"),
        (date(2020, 1, 1), r"datetime\.date"),
        (Path, "pathlib"),
        (slice(3), "slice"),
        (np.float32, r"numpy\.float32"),
    ],
    ids=str,
)
def test_other_objects_are_refused_by_name(load, content, named, protocol):
    with pytest.raises(RefusedPickleError, match=named):
        load(pickle.dumps(content, protocol))


def test_attributes_are_refused(load):
    content = OrderedDict(a=1)
    content.extra = 2
    with pytest.raises(RefusedPickleError, match="attributes for an object of type OrderedDict"):
        load(pickle.dumps(content))


def test_extensions_are_refused_even_when_python_knows_them(load, tmp_path, monkeypatch):
    """A registered extension code stands for a name, and Python keeps what it once meant in a cache."""
    monkeypatch.chdir(tmp_path)
    name = "mkdir"
    copyreg.add_extension(os.mkdir.__module__, name, 0x70)
    try:
        data = pickle.dumps(Call(os.mkdir, "ran"), 2)
        assert b"\x82\x70" in data  # EXT1
        pickle.loads(data)
        (tmp_path / "ran").rmdir()
        for code in (b"\x82\x70", b"\x83\x70\x00", b"\x84\x70\x00\x00\x00"):
            with pytest.raises(RefusedPickleError, match="extension"):
                load(data.replace(b"\x82\x70", code))
        assert not (tmp_path / "ran").exists()
    finally:
        copyreg.remove_extension(os.mkdir.__module__, name, 0x70)


def test_persistent_ids_are_refused(load):
    for data in (b"Pweights\n.", b"\x80\x02U\x07weightsQ."):
        with pytest.raises(RefusedPickleError, match="persistent"):
            load(data)


def test_forged_dtype_flags_are_not_believed(load):
    """With these flags NumPy takes float64 numbers for addresses of objects, and follows them."""
    forged = np.dtype("f8", False, True)
    forged.__setstate__((3, "<", None, None, None, -1, -1, 63))
    assert forged.hasobject  # NumPy believes them

    class Forged:
        def __reduce__(self):
            return np.dtype, ("f8", False, True), (3, "<", None, None, None, -1, -1, 63)

    for protocol in PROTOCOLS:
        data = pickle.dumps(Forged(), protocol)
        loaded = load(data)
        assert loaded == np.dtype("<f8") and not loaded.hasobject
    assert not np.dtype("f8").hasobject


def test_a_file_cannot_change_numpys_own_dtypes(load):
    class Swap:
        def __reduce__(self):
            return np.dtype, ("f8", False, False), (3, ">", None, None, None, -1, -1, 0)

    assert load(pickle.dumps(Swap())) == np.dtype(">f8")
    assert np.dtype("f8").isnative and np.zeros(1).dtype.isnative


class State:
    """Pickles as an array with a state of our choice."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    "state",
    [
        (1, (3,), np.dtype("f8"), False, b"\0" * 16),
        (1, (-1, -2), np.dtype("f8"), False, b"\0" * 16),
        (1, (2**62, 4), np.dtype("f8"), False, b""),
        (1, (2**32, 2**32), np.dtype("u1"), False, b""),
        (1, (2,), np.dtype("f8"), False, [1, 2]),
        (1, (2,), "f8", False, b"\0" * 16),
        (1, 2, np.dtype("f8"), False, b"\0" * 16),
        (1, (2.0,), np.dtype("f8"), False, b"\0" * 16),
        (1, (2,)),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_their_bytes(load, state):
    with pytest.raises(ValueError, match=r"weights\.pkl: expected a complete pickle"):
        load(pickle.dumps(State(*state)))


@pytest.mark.parametrize(
    "content",
    [
        Call(FROMBUFFER, b"\0" * 8, "M8[D]", (1,), "C"),
        Call(FROMBUFFER, b"\0" * 8, np.dtype("f8"), (2,), "C"),
        Call(FROMBUFFER, 1 << 34, np.dtype("u1"), (1 << 34,), "C"),
        Call(FROMBUFFER, [1, 2], np.dtype("u1"), (2,), "C"),
        Call(SCALAR, np.dtype("f8"), b"\0" * 16),
        Call(codecs.encode, "é", "utf-8"),
        Call(np.ndarray, (3,)),
    ],
)
def test_calls_of_listed_functions_that_numpy_never_writes(load, content):
    with pytest.raises(ValueError, match=r"weights\.pkl: expected"):
        load(pickle.dumps(content, 4))


def test_refusal_is_both_kinds_of_error_and_names_the_file(load):
    with pytest.raises(pickle.UnpicklingError, match=r"weights\.pkl"):
        load(pickle.dumps(print))
    with pytest.raises(ValueError, match=r"weights\.pkl: .* got \w+\.print\."):
        load(pickle.dumps(print))


@pytest.mark.parametrize("start", [b"", b"hello", b"<!DOCTYPE", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x89PNG\r\n"])
def test_not_a_pickle(load, start):
    with pytest.raises(ValueError, match=r"weights\.pkl: expected .*(another kind|not a pickle)"):
        load(start + b"\0\r\n" * 9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cut_file_is_an_error_wherever_it_is_cut(load, protocol):
    data = pickle.dumps({"W": np.arange(6, dtype=np.float32), "b": [0.5, None]}, protocol)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"weights\.pkl: expected"):
            load(data[:length])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_damaged_byte_gives_a_value_or_a_value_error(load, protocol):
    data = pickle.dumps([np.arange(4, dtype=np.float32), (1, "a"), {"k": 0.5}], protocol)
    failures = 0
    for position in range(len(data)):
        for flip in (0x01, 0x20, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            try:
                load(bytes(damaged))
            except ValueError:
                failures += 1
    assert failures > len(data)


@pytest.mark.thread_unsafe(reason="tracemalloc counts for the whole process")
@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96", b"\x95"], ids=["BINBYTES8", "BYTEARRAY8", "FRAME"])
def test_a_false_length_takes_no_memory(load, opcode):
    claim = (1 << 34).to_bytes(8, "little")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"weights\.pkl"):
            load(b"\x80\x05" + opcode + claim + b"few bytes")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        load_pickle(tmp_path / "nowhere.pkl")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        load_pickle(str(tmp_path / "nowhere.pkl"))
