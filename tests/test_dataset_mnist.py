"""MNIST and other IDX files: read right from wherever they lie, and downloaded whole or not at all."""

import gzip
import hashlib
import http.server
import os
import struct
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from processes import PYTHON, run

from scratchnet.book1.dataset import mnist as book1
from scratchnet.dataset import mnist
from scratchnet.dataset.mnist import load_idx, load_mnist

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
REAL = os.environ.get("SCRATCHNET_DATA")  # the user's own, before `nowhere` hides it


def idx(array):
    """The array as the bytes of an IDX file."""
    header = struct.pack(f">2x2B{array.ndim}I", CODES[array.dtype.str[1:]], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small_set(train=20, test=10, size=(28, 28), classes=10):
    """Four small arrays in the order of FILES."""
    rng = np.random.default_rng(7)
    made = []
    for count in (train, test):
        made.append(rng.integers(0, 256, (count, *size), dtype=np.uint8))
        made.append((np.arange(count) % classes).astype(np.uint8))
    return made


def write(folder, arrays, pack=gzip.compress, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(FILES, arrays, strict=True):
        (folder / (name + suffix)).write_bytes(pack(idx(array)))
    return folder


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No data set on this machine but what a test makes; the cache of its own to be filled."""
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return mnist._cache_folder()


# One file


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4), (1, 2, 1, 3, 2), (0,), (3, 0, 2)], ids=str)
@pytest.mark.parametrize("dtype", CODES)
def test_idx_of_every_dtype_and_shape(tmp_path, dtype, shape, pack):
    values = np.asarray(np.random.default_rng(1).uniform(0, 100, shape) * 1.25).astype(dtype)
    path = tmp_path / "values"
    path.write_bytes(pack(idx(values)))
    loaded = load_idx(path)
    assert loaded.shape == shape and loaded.dtype == np.dtype(dtype) and loaded.dtype.isnative
    assert np.array_equal(loaded, values)
    assert loaded.flags.writeable and loaded.flags.c_contiguous and loaded.flags.owndata
    assert np.array_equal(load_idx(str(path)), values)


def test_idx_bytes_written_out_by_hand(tmp_path):
    (tmp_path / "a").write_bytes(bytes.fromhex("00000B02 00000002 00000002 0001 FFFF 0100 8000"))
    assert load_idx(tmp_path / "a").tolist() == [[1, -1], [256, -32768]]
    (tmp_path / "b").write_bytes(bytes.fromhex("00000D01 00000002 3F800000 C0000000"))
    assert load_idx(tmp_path / "b").tolist() == [1.0, -2.0]


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    values = np.arange(10, dtype=np.uint8)
    (tmp_path / "unpacked by a browser.gz").write_bytes(idx(values))
    (tmp_path / "packed").write_bytes(gzip.compress(idx(values)))
    assert np.array_equal(load_idx(tmp_path / "unpacked by a browser.gz"), values)
    assert np.array_equal(load_idx(tmp_path / "packed"), values)


GOOD = idx(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected an IDX header"),
        (b"<!DOCTYPE html><html>404</html>", "expected an IDX header.*<!DO"),
        (b"\0\0\x0a\x01\0\0\0\1\0", "expected an IDX header"),
        (b"\1\0\x08\x01\0\0\0\1\0", "expected an IDX header"),
        (GOOD[:10], "expected the lengths of 3 axes after the header, got 6 bytes"),
        (GOOD[:-1], r"expected 120 bytes of values for shape \(3, 4, 5\), got 119: it is truncated"),
        (GOOD + b"\0", r"expected 120 bytes of values for shape \(3, 4, 5\), got more"),
        (gzip.compress(GOOD[:-1], mtime=0), r"expected 120 bytes .* got 119"),
        (gzip.compress(GOOD + b"\0", mtime=0), r"expected 120 bytes .* got more"),
        (PACKED[: len(PACKED) // 2], "damaged data"),
        (PACKED[:-4], "damaged data"),
        (PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:], "damaged data.*CRC"),
        (PACKED[:15] + b"\xff\xff\xff\xff" + PACKED[19:], "damaged data"),
        (b"\x1f\x8b" + b"\0" * 20, "damaged data"),
        (struct.pack(">2x2B3I", 0x0E, 3, *[2**32 - 1] * 3) + b"\0" * 9, "file too short"),
        (gzip.compress(struct.pack(">2x2B2I", 8, 2, 2**20, 2**20) + b"\0" * 9, mtime=0), "file too short"),
        (struct.pack(">2x2B3I", 0x0E, 3, 0, 2**32 - 1, 2**32 - 1), "too big"),
        (struct.pack(">2x2B65I", 0x08, 65, *[1] * 65) + b"\0", "dimension"),
    ],
)
def test_bad_idx_file_is_named_and_explained(tmp_path, data, said):
    path = tmp_path / "some-idx3"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"some-idx3: (?s:.*){said}(?s:.*)intact copy"):
        load_idx(path)


@pytest.mark.parametrize("data", [GOOD, PACKED], ids=["plain", "gzip"])
def test_idx_cut_anywhere_is_an_error(tmp_path, data):
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="cut"):
            load_idx(path)


def test_missing_idx_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        load_idx(tmp_path / "nothing-here")


# The four files


@pytest.mark.parametrize("one_hot_label", [False, True])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_books_switches(tmp_path, normalize, flatten, one_hot_label):
    made = small_set()
    folder = write(tmp_path / "data", made)
    pairs = load_mnist(normalize, flatten, one_hot_label, folder=folder)
    for (x, t), images, labels in zip(pairs, made[0::2], made[1::2], strict=True):
        expected = images.astype(np.float32) / 255.0 if normalize else images  # the book's formula
        assert x.dtype == (np.float32 if normalize else np.uint8)
        assert np.array_equal(x, expected.reshape((-1, 784) if flatten else (-1, 1, 28, 28)))
        assert x.shape == ((len(labels), 784) if flatten else (len(labels), 1, 28, 28))
        if one_hot_label:
            assert t.dtype == np.float64 and t.shape == (len(labels), 10)
            assert np.array_equal(t, np.eye(10)[labels])
        else:
            assert t.dtype == np.uint8 and np.array_equal(t, labels)
        assert x.flags.writeable and t.flags.writeable and x.flags.c_contiguous


def test_defaults_are_the_books(tmp_path):
    folder = write(tmp_path / "data", small_set())
    (x_train, t_train), (x_test, t_test) = load_mnist(folder=folder)
    assert x_train.shape == (20, 784) and x_train.dtype == np.float32 and x_train.max() <= 1.0
    assert t_train.shape == (20,) and x_test.shape == (10, 784) and t_test.dtype == np.uint8


def test_sizes_and_classes_come_from_the_files(tmp_path):
    made = small_set(train=9, test=0, size=(3, 5), classes=4)
    (x, t), (x_test, t_test) = load_mnist(one_hot_label=True, folder=write(tmp_path, made))
    assert x.shape == (9, 15) and t.shape == (9, 4)
    assert x_test.shape == (0, 15) and t_test.shape == (0, 4)
    (x, _), (x_test, _) = load_mnist(flatten=False, folder=tmp_path)
    assert x.shape == (9, 1, 3, 5) and x_test.shape == (0, 1, 3, 5)


def test_train_and_test_labels_have_one_width(tmp_path):
    made = small_set()
    made[3][:] = 2  # the test set shows one class only
    (_, t), (_, t_test) = load_mnist(one_hot_label=True, folder=write(tmp_path, made))
    assert t.shape == (20, 10) and t_test.shape == (10, 10)


def test_plain_and_gzipped_files_may_be_mixed(tmp_path):
    made = small_set()
    write(tmp_path, made)
    packed = tmp_path / f"{FILES[0]}.gz"
    (tmp_path / FILES[0]).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert np.array_equal(load_mnist(False, folder=tmp_path)[0][0], made[0].reshape(20, 784))


@pytest.mark.parametrize("normalize", [False, True])
def test_loading_makes_no_copy_too_many(tmp_path, normalize):
    """At most what is returned is held at once and, for pixels as floats, the bytes they come from."""
    made = small_set(train=8000, test=10)
    write(tmp_path, made, lambda data: gzip.compress(data, 1))
    tracemalloc.start()
    try:
        (x, _), _ = load_mnist(normalize, folder=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    source = made[0].nbytes if normalize else 0
    assert peak < x.nbytes + source + (3 << 20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: np.zeros((19, 28, 28), np.uint8)}, r"train-images.*: expected 20 images.*train-labels.*got 19"),
        (
            {2: np.zeros((10, 784), np.uint8)},
            r"t10k-images.*: expected images.*got uint8 of shape \(10, 784\)",
        ),
        ({0: np.zeros((20, 28, 28), np.float32)}, r"train-images.*: expected images.*got float32"),
        ({1: np.zeros((20, 1), np.uint8)}, r"train-labels.*: expected labels.*got uint8 of shape \(20, 1\)"),
        ({3: np.zeros(10, np.int32)}, r"t10k-labels.*: expected labels.*got int32"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, change, said):
    made = small_set()
    for place, array in change.items():
        made[place] = array
    with pytest.raises(ValueError, match=said):
        load_mnist(folder=write(tmp_path, made))


# Where they are looked for


def pixel(value):
    """A data set that can be told by its first pixel."""
    made = small_set()
    made[0][0, 0, 0] = value
    return made


def first(**options):
    return load_mnist(normalize=False, **options)[0][0][0, 0]


def test_folder_goes_before_environment_before_cache(tmp_path, monkeypatch, nowhere):
    write(nowhere, pixel(1))
    assert first() == 1
    monkeypatch.setenv("SCRATCHNET_DATA", str(write(tmp_path / "env", pixel(2))))
    assert first() == 2
    assert first(folder=write(tmp_path / "own", pixel(3))) == 3
    assert first(folder=str(tmp_path / "own")) == 3
    monkeypatch.setenv("SCRATCHNET_DATA", "")
    assert first() == 1


def test_environment_may_name_the_folder_above(tmp_path, monkeypatch):
    write(tmp_path / "mnist", pixel(4))
    (tmp_path / FILES[0]).write_bytes(b"not one of a full set, so not taken")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    assert first() == 4


def test_cache_is_read_without_pooch(monkeypatch, nowhere):
    monkeypatch.setitem(sys.modules, "pooch", None)
    write(nowhere, pixel(5), bytes, "")
    assert first() == 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pooch asks the system, which no test can redirect")
def test_cache_is_the_one_pooch_names(nowhere, tmp_path):
    pooch = pytest.importorskip("pooch", reason="pooch, which names the cache folder, is not installed")
    assert nowhere == Path(pooch.os_cache("scratchnet"), "mnist")
    assert tmp_path in nowhere.parents


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no XDG folders")
def test_relative_xdg_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert tmp_path / "home" in mnist._cache_folder().parents


@pytest.mark.parametrize("by", ["folder", "SCRATCHNET_DATA"])
def test_a_named_folder_that_lacks_a_file_is_an_error_without_download(tmp_path, monkeypatch, server, by):
    folder = write(tmp_path / "data", small_set())
    (folder / f"{FILES[3]}.gz").unlink()
    monkeypatch.setenv("SCRATCHNET_DATA", str(folder))
    option = {"folder": folder} if by == "folder" else {}
    with pytest.raises(FileNotFoundError, match=rf"{by}: .*data lacks {FILES[3]}[.;]"):
        load_mnist(**option)
    assert server.requests == []


def test_a_named_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere-at-all is not a folder"):
        load_mnist(folder=tmp_path / "nowhere-at-all")


# Download


class Server:
    """A real server on this machine; what it answers is in `sites`: {site: {file: bytes, or a status}}."""

    def __init__(self):
        self.sites, self.requests = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                self.requests.append(handler.path)
                _, site, name = handler.path.split("/")
                answer = self.sites.get(site, {}).get(name, 404)
                if isinstance(answer, int):
                    handler.send_error(answer)
                    return
                claimed, data = answer if isinstance(answer, tuple) else (len(answer), answer)
                handler.send_response(200)
                handler.send_header("Content-Length", str(claimed))
                handler.end_headers()
                handler.wfile.write(data)

            def log_message(handler, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, site):
        return f"http://127.0.0.1:{self.http.server_port}/{site}/"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    """Two mirrors, "a" and "b", that both serve a good small set; the registry is theirs."""
    pytest.importorskip("pooch", reason="pooch, which downloads, is not installed")
    server = Server()
    good = {f"{name}.gz": gzip.compress(idx(array), mtime=0) for name, array in zip(FILES, pixel(6), strict=True)}
    server.sites = {"a": dict(good), "b": dict(good)}
    monkeypatch.setattr(mnist, "_MIRRORS", (server.url("a"), server.url("b")))
    hashes = {name: hashlib.sha256(good[f"{name}.gz"]).hexdigest() for name in FILES}
    monkeypatch.setattr(mnist, "_SHA256", hashes)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_download_once_then_read_from_the_cache(server, nowhere):
    assert first() == 6
    assert server.requests == [f"/a/{name}.gz" for name in FILES]
    assert files_in(nowhere) == sorted(f"{name}.gz" for name in FILES)
    server.requests.clear()
    assert first() == 6
    assert server.requests == []


def test_book_1_s_init_mnist_has_the_files_at_hand(server, nowhere):
    book1.init_mnist()
    assert files_in(nowhere) == sorted(f"{name}.gz" for name in FILES)
    server.requests.clear()
    book1.download_mnist()
    (x, _), _ = book1.load_mnist(normalize=False)
    assert x[0, 0] == 6 and server.requests == []


def test_only_missing_files_are_downloaded(server, nowhere):
    write(nowhere, pixel(6))
    (nowhere / f"{FILES[2]}.gz").unlink()
    assert first() == 6
    assert server.requests == [f"/a/{FILES[2]}.gz"]


BAD_ANSWERS = {
    "404": lambda good: 404,
    "503": lambda good: 503,
    "cut short": lambda good: (len(good), good[:-5]),
    "cut short unnoticed": lambda good: good[:-5],
    "another file": lambda good: gzip.compress(b"another"),
    "error page": lambda good: b"<html>please log in</html>",
    "empty": lambda good: b"",
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_the_second_mirror_helps_out(server, nowhere, bad):
    name = f"{FILES[0]}.gz"
    server.sites["a"][name] = BAD_ANSWERS[bad](server.sites["a"][name])
    assert first() == 6
    assert server.requests[:2] == [f"/a/{name}", f"/b/{name}"]
    assert files_in(nowhere) == sorted(f"{name}.gz" for name in FILES)


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_all_mirrors_bad_leaves_nothing_and_says_why(server, nowhere, bad):
    name = f"{FILES[0]}.gz"
    for site in server.sites.values():
        site[name] = BAD_ANSWERS[bad](site[name])
    with pytest.raises(OSError, match="no mirror") as caught:
        load_mnist()
    message = str(caught.value)
    for site in ("a", "b"):
        assert f"{server.url(site)}{name}: " in message
    assert {"404": "404", "503": "503"}.get(bad, "") in message
    assert "SCRATCHNET_DATA" in message and all(file in message for file in FILES)
    assert files_in(nowhere) == []


def test_what_was_good_is_kept_when_a_later_file_fails(server, nowhere):
    for site in server.sites.values():
        site[f"{FILES[2]}.gz"] = 404
    with pytest.raises(OSError, match=FILES[2]):
        load_mnist()
    assert files_in(nowhere) == sorted(f"{name}.gz" for name in FILES[:2])


def test_no_server_at_all(server, monkeypatch, nowhere):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(OSError, match="no mirror") as caught:
        load_mnist()
    assert server.url("a") in str(caught.value) and server.url("b") in str(caught.value)
    assert files_in(nowhere) == []


def test_progress_bar_is_not_needed(server, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert first() == 6
    assert "%|" not in capfd.readouterr().err


def test_progress_bar(server, capfd):
    pytest.importorskip("tqdm", reason="tqdm, which draws the bar, is not installed")
    assert first() == 6
    assert "100%|" in capfd.readouterr().err


def test_without_pooch_the_error_says_what_to_do(monkeypatch, nowhere):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pip install "scratchnet\[data\]"') as caught:
        load_mnist()
    message = str(caught.value)
    assert str(nowhere) in message and "SCRATCHNET_DATA" in message
    assert all(name in message for name in FILES)


def test_importing_the_data_sets_imports_no_optional_package():
    code = (
        "import sys; from scratchnet import dataset; from scratchnet.dataset import mnist, spiral; "
        "assert dataset.mnist is mnist and dataset.spiral is spiral; "
        "print([m for m in ('pooch', 'requests', 'tqdm', 'matplotlib', 'cupy') if m in sys.modules])"
    )
    done = run(*PYTHON, "-c", code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# The real one


@pytest.fixture
def real(monkeypatch):
    if not REAL:
        pytest.skip("SCRATCHNET_DATA is not set to a folder with the MNIST files")
    monkeypatch.setenv("SCRATCHNET_DATA", REAL)


def test_real_mnist(real):
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
    assert x_train.shape == (60000, 1, 28, 28) and x_test.shape == (10000, 1, 28, 28)
    assert t_train[:5].tolist() == [5, 0, 4, 1, 9] and t_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(t_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert x_train.mean() == pytest.approx(0.1307 * 255, abs=0.02)
    assert x_train.max() == 255 and x_train.min() == 0


def test_real_mnist_normalized_and_one_hot(real):
    (x_train, t_train), (x_test, t_test) = load_mnist(one_hot_label=True)
    assert x_train.shape == (60000, 784) and x_train.dtype == np.float32 and x_train.max() == 1.0
    assert t_train.shape == (60000, 10) and t_test.shape == (10000, 10) and x_test.shape == (10000, 784)
    assert (t_train.sum(axis=1) == 1).all()


def test_the_registry_is_of_the_real_files(real):
    packed = [path for path in mnist._locate(None) if path.suffix == ".gz"]
    if not packed:
        pytest.skip("the MNIST files in SCRATCHNET_DATA are not the gzipped ones that the hashes are of")
    for path in packed:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == mnist._SHA256[path.stem]
