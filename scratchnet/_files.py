"""Files: checking paths, reading files of known size, and writing them atomically."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, BinaryIO
from zlib import crc32

from ._paths import path_text

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["as_path", "check_replaceable", "open_file", "whole_file"]


def as_path(where: str, path: Any) -> Path:
    """Return a path given as a str or as an os.PathLike of str.

    Raises
    ------
    ValueError
        It is something else (bytes, a file descriptor), or cannot be a file name.
    """
    from pathlib import Path  # on use: a script that only trains needs none

    return Path(path_text(where, path))


def open_file(path: Path) -> BufferedReader:
    """Open a file to read.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        It cannot be read, or is a folder, a device or a FIFO: those have no size that bounds their content.
    """
    _check_kind(path, os.stat(path))
    return open(path, "rb")


def check_replaceable(path: Path) -> os.stat_result | None:
    """Return the status of the file that would be replaced by a new one; None if there is none.

    Raises
    ------
    OSError
        It is read-only (PermissionError), or not a regular file.
    """
    try:
        older = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        _refuse_if_too_long(path)
        raise
    _check_kind(path, older)
    if not older.st_mode & 0o222:  # which would not stop root
        raise PermissionError(errno.EACCES, "the file is read-only", str(path))
    if not os.access(path, os.W_OK):
        with open(path, "r+b"):  # says why
            pass
    return older


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only once complete; an existing file stays unchanged until then.

    It is written under a temporary name in the same folder, and flushed to disk before it is renamed. The existing
    file's permissions are kept, and its owner where allowed; a link stays a link, to the new file. Temporary files
    that killed processes left behind for the same name are removed.

    Raises
    ------
    FileNotFoundError
        The folder is missing.
    PermissionError
        The existing file or the folder is read-only.
    OSError
        The path is a folder, a device or a FIFO, or the file cannot be written; on Windows also where another
        program has the existing file open.
    """
    from pathlib import Path

    older = check_replaceable(path)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    # Of one length, since a name may have 255 bytes at most; random, since process numbers are used again.
    beginning = f".scratchnet-{crc32(os.fsencode(target.name)):08x}-"
    _remove_leftovers(target.parent, beginning)
    file = _new_file(target.parent, beginning, 0o666 if older is None else 0o600)  # minus the umask
    temporary = target.with_name(os.path.basename(file.name))
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if older is not None:
                _permit_as(temporary, older)
            if sys.platform == "win32":
                file.close()  # an open file cannot be renamed there
                _rename_on_windows(temporary, target)
            else:
                os.replace(temporary, target)  # while the lock is held
    finally:
        temporary.unlink(missing_ok=True)


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "expected a file, got a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "expected a file on a disk, got a device, a pipe or a socket", str(path))


def _new_file(folder: Path, beginning: str, mode: int) -> BinaryIO:
    """Create a file with a new name and lock it, so that others see that its writer is alive."""
    while True:
        path = folder / f"{beginning}{os.urandom(8).hex()}.tmp"
        try:
            file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
        except PermissionError:
            raise PermissionError(errno.EACCES, "cannot create a file in the folder", str(folder)) from None
        except FileNotFoundError:
            _refuse_if_too_long(path)
            raise
        if _lock(file) is False or os.fstat(file.fileno()).st_nlink == 0:  # removed as a leftover before
            file.close()
            continue
        return file


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file for this process; False if another one has it, None where files cannot be locked."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


def _remove_leftovers(folder: Path, beginning: str) -> None:
    for leftover in folder.glob(f"{beginning}*.tmp"):
        with suppress(OSError):
            if sys.platform == "win32":  # where what is open stays; what was just closed is about to be renamed
                if time() - os.stat(leftover).st_mtime > 60:
                    leftover.unlink()
                continue
            with open(leftover, "rb") as file:
                if _lock(file):
                    leftover.unlink()


def _rename_on_windows(temporary: Path, target: Path) -> None:
    """Rename a file; wait a second if the older one is open: a virus scanner or a copy to a cloud soon ends."""
    patience = monotonic() + 1
    while True:
        try:
            os.replace(temporary, target)
            return
        except PermissionError:
            if monotonic() > patience:
                message = "cannot be replaced; does another program have it open?"
                raise PermissionError(errno.EACCES, message, str(target)) from None
            sleep(0.02)
        except OSError:
            _refuse_if_too_long(target)
            raise


def _refuse_if_too_long(path: Path) -> None:
    """Say it where Windows says that there is no such file, or that its name is wrong."""
    if sys.platform == "win32" and (len(path.name) > 255 or len(os.path.abspath(path)) >= 260):
        raise OSError(errno.ENAMETOOLONG, "the name of the file, or its path, is too long", str(path))


def _permit_as(path: Path, older: os.stat_result) -> None:
    new = os.stat(path)
    if (new.st_uid, new.st_gid) != (older.st_uid, older.st_gid):
        with suppress(PermissionError):
            os.chown(path, older.st_uid, older.st_gid)
    os.chmod(path, stat.S_IMODE(older.st_mode))
