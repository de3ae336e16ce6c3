"""What a path may be, what may be written over, and what is left of a file that was not finished."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from scratchnet import TwoLayerNet, load_params, save_params
from scratchnet._files import whole_file
from scratchnet.base_model import BaseModel
from scratchnet.dataset import mnist, sequence
from scratchnet.dropin import book_of, run_script
from scratchnet.util import load_pickle
from scratchnet.weights import read_weights

WINDOWS = sys.platform == "win32"
posix = pytest.mark.skipif(WINDOWS, reason="Windows has other permissions, links and devices")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Book(BaseModel):
    def __init__(self):
        self.params = [np.ones((3, 2))]


def save(path, model=None):
    (model or TwoLayerNet(2, 3, 2, rng=0)).save_params(path)


# Each writer of the package. The name has the suffix that weights get.
WRITERS = [save, Book().save_params]


@posix
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o200])
def test_the_older_file_s_permissions_are_kept(folder, write, mode):
    (folder / "w.npz").write_bytes(b"old")
    (folder / "w.npz").chmod(mode)
    write("w.npz")
    assert stat.S_IMODE(os.stat("w.npz").st_mode) == mode and os.path.getsize("w.npz") > 3


@posix
def test_the_administrator_does_not_take_a_file_from_its_owner(folder):
    (folder / "w.npz").write_bytes(b"old")
    try:
        os.chown("w.npz", 12345, 12345)
    except PermissionError:
        pytest.skip("only the administrator can give a file away")
    save("w.npz")
    status = os.stat("w.npz")
    assert (status.st_uid, status.st_gid, status.st_size > 3) == (12345, 12345, True)


@posix
def test_while_a_file_is_written_nobody_else_may_read_what_was_private(folder):
    (folder / "w").write_bytes(b"old")
    (folder / "w").chmod(0o600)
    with whole_file(folder / "w"):
        assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600, 0o600]


@pytest.mark.parametrize("write", WRITERS)
def test_a_read_only_file_is_not_replaced(folder, write):
    (folder / "w.npz").write_bytes(b"old")
    (folder / "w.npz").chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        write("w.npz")
    assert os.listdir() == ["w.npz"] and (folder / "w.npz").read_bytes() == b"old"


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("what", ["folder", *(pytest.param(k, marks=posix) for k in ("fifo", "socket", "device"))])
def test_what_is_no_file_is_neither_replaced_nor_read(folder, write, what):
    path = folder / "w.npz"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("w.npz")
    else:  # of its own: a test that fails as the administrator must not replace the machine's
        try:
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only the administrator can make a device")
    before = os.stat(path)
    with pytest.raises(OSError, match="expected a file"):
        write("w.npz")
    after = os.stat(path)
    assert os.listdir() == ["w.npz"] and (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    for read in (TwoLayerNet(2, 3, 2).load_params, Book().load_params, read_weights, load_pickle, mnist.load_idx):
        with pytest.raises(OSError, match="expected a file"):
            read("w.npz")


@posix
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link_and_its_file_is_written(folder, write, is_there):
    (folder / "sub").mkdir()
    if is_there:
        (folder / "sub" / "real").write_bytes(b"old")
    (folder / "w.npz").symlink_to("sub/real")
    write("w.npz")
    assert os.readlink("w.npz") == "sub/real" and (folder / "sub" / "real").stat().st_size > 3
    assert os.listdir("sub") == ["real"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("w" * 251 + ".npz", id="letters"),
        pytest.param(
            "가" * 83 + ".npz", id="bytes", marks=pytest.mark.skipif(WINDOWS, reason="Windows counts letters")
        ),
    ],
)
def test_the_longest_names(folder, write, name):
    shorter = name[-(258 - len(os.path.realpath(folder))) :] if WINDOWS else name  # where a path has 259 letters
    write(shorter)
    assert os.listdir() == [shorter]
    with pytest.raises(OSError, match="too long"):
        write("more" + name)


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_is_missing_or_is_none(folder, write):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*missing"):
        write("missing/w.npz")
    (folder / "text").write_bytes(b"")
    with pytest.raises(OSError, match="text"):
        write("text/w.npz")
    assert os.listdir() == ["text"]


KILLED = """
import os, sys
from pathlib import Path
from scratchnet._files import whole_file
with whole_file(Path(sys.argv[1])) as file, whole_file(Path(sys.argv[2])):
    file.write(b"half a file")
    file.flush()
    os._exit(9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_save(folder):
    assert subprocess.run([sys.executable, "-P", "-c", KILLED, "w.npz", "other.npz"]).returncode == 9
    assert len(os.listdir()) == 2
    for name in os.listdir():
        os.utime(name, (0, 0))  # long ago
    save("w.npz")
    left = [name for name in os.listdir() if name != "w.npz"]
    assert len(left) == 1  # the other file's
    save("other.npz")
    assert sorted(os.listdir()) == ["other.npz", "w.npz"]


def test_what_another_writer_has_not_finished_is_left_alone(folder):
    """Two at once: each file is whole, and the one that is finished last stays."""
    with whole_file(folder / "w") as slow:
        slow.write(b"slow")
        with whole_file(folder / "w") as quick:
            quick.write(b"quick")
        assert (folder / "w").read_bytes() == b"quick"
    assert (folder / "w").read_bytes() == b"slow" and os.listdir() == ["w"]


# Half of a letter, which has no bytes in UTF-8. A name on Windows may contain it.
SURROGATE = pytest.param("w\ud800.npz", marks=pytest.mark.skipif(WINDOWS, reason="Windows has such names"))


class Odd:
    def __init__(self, given):
        self.given = given

    def __fspath__(self):
        return self.given

    def __repr__(self):
        return f"Odd({self.given!r})"


@pytest.mark.parametrize(
    "path",
    [b"w.npz", 0, 1.5, None, True, ["w"], object(), Odd(b"w.npz"), Odd(3), "w\0.npz", Odd("w\0"), SURROGATE],
    ids=lambda path: "object" if type(path) is object else repr(path),
)
def test_what_is_no_path_is_refused_in_words(folder, path):
    model = TwoLayerNet(2, 3, 2, rng=0)
    for call in (
        model.save_params,
        model.load_params,
        lambda path: save_params(model, path),
        lambda path: load_params(model, path),
        read_weights,
        load_pickle,
        mnist.load_idx,
        sequence.load_data,
        book_of,
        run_script,
        *(
            (Book().save_params, Book().load_params, lambda path: mnist.load_mnist(folder=path))
            if path is not None
            else ()
        ),
    ):
        with pytest.raises(ValueError, match=r"expected a path|cannot be a file name"):
            call(path)
    assert os.listdir() == []


@pytest.mark.skipif(not WINDOWS, reason="elsewhere an open file can be replaced")
def test_a_file_that_another_program_has_open(folder):
    """It is replaced if it is closed soon; otherwise the error says what is the matter, and nothing is left."""
    (folder / "w.npz").write_bytes(b"old")
    with open("w.npz", "rb") as held, pytest.raises(PermissionError, match=r"another program.*w\.npz"):
        save("w.npz")
    assert os.listdir() == ["w.npz"] and (folder / "w.npz").read_bytes() == b"old"
    with open("w.npz", "rb") as held:
        closing = threading.Timer(0.3, held.close)
        closing.start()
        save("w.npz")
    closing.join()
    assert os.listdir() == ["w.npz"] and os.path.getsize("w.npz") > 3
