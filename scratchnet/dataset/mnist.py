"""MNIST, or any data set stored in four files of the same format (book 1, section 3.6).

The files are read in place: in the folder that the caller or ``SCRATCHNET_DATA`` names, else in the user's
cache, into which they are downloaded once. Nothing is written next to the package.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
import os
import sys
import zlib
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import as_path, open_file
from . import _files
from ._files import cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_idx", "load_mnist"]

# The files of MNIST, with the SHA-256 of each as it is served, gzipped.
_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
# The site that the book downloads from has closed; these serve the same bytes.
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
_BY_HAND = (
    f"To install it manually, put the four files ({', '.join(_SHA256)}; each with or without .gz) into a folder "
    "and set SCRATCHNET_DATA to that folder"
)

# The third byte of an IDX file gives the type of its values.
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_BLOCK = 1 << 18  # GzipFile.readinto makes a second copy of what it reads, so read little at a time


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """Load the MNIST images and labels, downloading them the first time.

    Another data set of the same format, such as Fashion-MNIST, loads in the same way from its own `folder`;
    the image size and the number of classes come from the files.

    Parameters
    ----------
    normalize : bool
        Pixels as float32 from 0.0 to 1.0; else as uint8 from 0 to 255.
    flatten : bool
        Each image as one row; else as a plane of one channel.
    one_hot_label : bool
        Labels as one-hot rows; else as indices.
    folder : path, optional
        Folder of the four files, each with or without ``.gz``. By default ``SCRATCHNET_DATA`` (or the
        ``mnist`` folder in it), else ``scratchnet/mnist`` in the user's cache folder; for a script under
        ``scratchnet run`` before these the script's own ``dataset``, if they are all there.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        For MNIST, N is 60000 and 10000. x: (N, 784) or (N, 1, 28, 28), float32 or uint8.
        t: (N,) uint8, or (N, 10) float64 when one-hot. All are new, writable arrays.

    Raises
    ------
    FileNotFoundError
        `folder` or ``SCRATCHNET_DATA`` is given and a file is missing there. Downloads go only to the
        cache.
    ImportError
        The files must be downloaded and pooch, which does this, is not installed.
    OSError
        No mirror provided a valid file.
    ValueError
        A file is damaged, or is not what its name says.

    Notes
    -----
    Book 1, section 3.6.1.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_mnist()  # doctest: +SKIP
    """
    train_images, train_labels, test_images, test_labels = _locate(folder)
    t_train, t_test = _labels(train_labels), _labels(test_labels)
    x_train = _pixels(train_images, train_labels, len(t_train), normalize, flatten)
    x_test = _pixels(test_images, test_labels, len(t_test), normalize, flatten)
    if one_hot_label:
        classes = 1 + max(int(t.max(initial=0)) for t in (t_train, t_test))
        return (x_train, _one_hot(t_train, classes)), (x_test, _one_hot(t_test, classes))
    return (x_train, t_train), (x_test, t_test)


def load_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one file in IDX format, the format of the MNIST files, gzipped or not.

    Parameters
    ----------
    path : path
        The file. Whether it is gzipped is determined from its first bytes, not from its name.

    Returns
    -------
    ndarray
        Of the shape that the file's header gives, with any number of axes, and of dtype uint8, int8,
        int16, int32, float32 or float64, in the machine's byte order. C-contiguous and writable.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        The file is not in IDX format, is damaged, or is shorter or longer than its header says, or the path is
        not a valid path.

    Notes
    -----
    The header is two zero bytes, a byte for the dtype, one for the number of axes, and the length of each
    axis as a big-endian 32-bit number; the values follow, big-endian.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    >>> load_idx("labels")
    array([7, 9], dtype=uint8)
    """
    return _load(as_path("load_idx", path))


def _load(path: Path, check: Callable[[np.dtype[Any], tuple[int, ...]], None] | None = None) -> NDArray[Any]:
    """Read an IDX file; `check` may raise ValueError for what the header says, before the values are read."""
    with open_file(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # Deflate never shrinks data more than 1032 times: a bound that keeps a damaged header from
        # asking for memory that the file could not fill.
        most = os.fstat(file.fileno()).st_size * (1032 if packed else 1)
        try:
            with gzip.GzipFile(fileobj=file) if packed else file as stream:
                return _read_idx(stream, most, check)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _bad(path, f"expected complete gzip data, got damaged data ({error})") from error
        except ValueError as error:
            raise _bad(path, str(error)) from None


def _read_idx(
    stream: BufferedReader | gzip.GzipFile,
    most: int,
    check: Callable[[np.dtype[Any], tuple[int, ...]], None] | None,
) -> NDArray[Any]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_DTYPES:
        raise ValueError(f"expected an IDX header (0, 0, dtype, number of axes), got the bytes {head!r}")
    dtype, ndim = np.dtype(_IDX_DTYPES[head[2]]), head[3]
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"expected the lengths of {ndim} axes after the header, got {len(sizes)} bytes")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    if check is not None:
        check(dtype, shape)
    size = math.prod(shape) * dtype.itemsize
    expected = f"expected {size} bytes of values for shape {shape}"
    if size > most:
        raise ValueError(f"{expected}, got a file too short to hold them")
    values = np.empty(shape, dtype)
    raw = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < size and (count := stream.readinto(raw[done : done + _BLOCK])):
        done += count
    if done < size:
        raise ValueError(f"{expected}, got {done}: it is truncated")
    if stream.read(1):  # at the end of a gzip file, this verifies its checksum
        raise ValueError(f"{expected}, got more")
    return values.byteswap(inplace=True) if sys.byteorder == "little" else values


def _bad(path: Path, what: str) -> ValueError:
    return ValueError(f"{path}: {what}. Replace it with an intact copy; a file in the cache can simply be deleted")


def _check_form(what: str, ndim: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if len(shape) != ndim or dtype != np.uint8:
        raise ValueError(f"expected {what} (uint8, {ndim} axes), got {dtype} of shape {shape}")


def _labels(path: Path) -> NDArray[np.uint8]:
    return _load(path, lambda dtype, shape: _check_form("labels", 1, dtype, shape))


def _pixels(path: Path, labels: Path, count: int, normalize: bool, flatten: bool) -> NDArray[Any]:
    def check(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        _check_form("images", 3, dtype, shape)
        if shape[0] != count:
            raise ValueError(f"expected {count} images, as many as there are labels in {labels}, got {shape[0]}")

    images = _load(path, check)
    n, height, width = images.shape
    images = images.reshape((n, height * width) if flatten else (n, 1, height, width))
    if not normalize:
        return images
    scaled: NDArray[np.float32] = np.divide(images, 255, dtype=np.float32)  # no intermediate float copy
    return scaled


def _one_hot(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    rows = np.zeros((len(labels), classes))
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _locate(folder: str | os.PathLike[str] | None) -> list[Path]:
    """The four files, in the order of `_SHA256`."""
    given = os.environ.get("SCRATCHNET_DATA")
    own = _find(Path(_files.readers_folder)) if folder is None and _files.readers_folder is not None else {}
    if len(own) == len(_SHA256):
        return list(own.values())
    if folder is not None:
        source, places = "folder", [as_path("load_mnist: folder", folder)]
    elif given:
        source, places = "SCRATCHNET_DATA", [Path(given), Path(given, "mnist")]
    else:
        cache = _cache_folder()
        found = _find(cache)
        return [found.get(name) or _download(name, cache) for name in _SHA256]
    looked = []
    for place in places:
        found = _find(place)
        if len(found) == len(_SHA256):
            return list(found.values())
        missing = ", ".join(name for name in _SHA256 if name not in found)
        looked.append(f"{place} lacks {missing}" if place.is_dir() else f"{place} is not a folder")
    raise FileNotFoundError(
        f"{source}: expected one folder with the four files {', '.join(_SHA256)}, each with or without .gz, "
        f"but {'; '.join(looked)}. Put them there, or leave {source} unset to have MNIST downloaded"
    )


def _find(folder: Path) -> dict[str, Path]:
    """Those of the four files that are in `folder`."""
    paths = {name: (folder / name, folder / f"{name}.gz") for name in _SHA256}
    return {name: path for name, pair in paths.items() for path in pair if path.is_file()}


def _cache_folder() -> Path:
    return cache_folder("mnist")


def _download(name: str, folder: Path) -> Path:
    """Fetch the file `name` into `folder`: pooch writes to a temporary name and checks the hash first."""
    try:
        import pooch  # type: ignore[import, unused-ignore]
    except ImportError as error:
        raise ImportError(
            f"MNIST is not in {folder}, and downloading it requires pooch, which is not installed: "
            f'pip install "scratchnet[data]". {_BY_HAND}'
        ) from error
    progress = importlib.util.find_spec("tqdm") is not None
    failures = ""
    for mirror in _MIRRORS:
        url, known = f"{mirror}{name}.gz", f"sha256:{_SHA256[name]}"
        try:
            return Path(pooch.retrieve(url, known, f"{name}.gz", folder, progressbar=progress))
        except (OSError, ValueError) as error:  # all of requests' errors are OSErrors
            failures += f"\n  {url}: {error}"
    raise OSError(f"no mirror of MNIST provided a valid {name}.gz:{failures}\nTry again later. {_BY_HAND}")
