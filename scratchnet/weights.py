"""Parameters in a file, .npz without pickle or .safetensors: written atomically, checked before loading."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Array, is_on_gpu, is_writable, to_side
from ._files import as_path, open_file, whole_file
from ._npz import Archive, Header
from ._parts import named_buffers, named_params
from ._safetensors import SafetensorsFile, dump
from .util import to_cpu

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_params", "read_weights", "save_params"]

Shapes = dict[str, tuple[int, ...]]

_MOST_EXPANDED = 100  # how many times larger than their file weights may be: random numbers hardly compress
# Bytes of each as NumPy's text. The table is what its columns mean (`dataset.table.Columns`).
_MOST_TEXT = {"activation": 400, "architecture": 1_000_000, "table": 4_000_000}

TEXTS = frozenset(_MOST_TEXT)
"""The entries of a weights file that are not arrays of numbers."""


def save_params(model: Any, path: str | os.PathLike[str], dtype: Any = None) -> Path:
    """Write a model's parameters to an .npz file, or a .safetensors file (extra: safetensors).

    Parameters
    ----------
    model
        Anything with `params`: a list of arrays, a list of such lists, or a dictionary of arrays, as book 1's
        networks have. The statistics that its layers keep (`buffers`) are stored too, and its `activation` and
        what `models.load` needs (`architecture`), if it has them.
    path
        File to write; `.npz` is appended unless it ends in that or in `.safetensors`. The file appears under its
        name only once it is complete; an existing file stays unchanged until then. Its permissions are kept, and a
        link stays a link.
    dtype
        float16, float32 or float64; None keeps each parameter's own. float16 halves the file with almost
        no loss of accuracy (book 2, ch. 1.5.1).

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        The model has no `params`, a weight is too large for the dtype, or the path is not a valid path.
    OSError
        The file cannot be written: its folder is missing, it is read-only, or the path is not a regular file.
    ImportError
        The package safetensors is needed and missing.

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> save_params(TwoLayerNet(2, 10, 3), "weights.npz", dtype="float16").name
    'weights.npz'
    """
    return write_params(model, path, dtype)


def write_params(
    model: Any, path: str | os.PathLike[str], dtype: Any = None, *, texts: Mapping[str, str] | None = None
) -> Path:
    """Write what `save_params` does, and texts with names of `TEXTS`."""
    params = {**named_params(_params_of(model, "save_params")), **_buffers(model)}
    if dtype is not None and np.dtype(dtype) not in (np.float16, np.float32, np.float64):
        raise ValueError(f"save_params: dtype must be float16, float32 or float64, got {np.dtype(dtype)}")
    arrays: dict[str, Array] = {}
    for name, param in params.items():
        if name in TEXTS or not name.isprintable() or "/" in name:
            raise ValueError(f"save_params: {name!r} cannot be the name of a parameter in a file")
        array = to_cpu(param)
        if array.dtype.kind != "f":
            raise ValueError(f"save_params: {name} must contain floating-point numbers, got dtype {array.dtype}")
        arrays[name] = checked_cast(
            f"save_params: {name}", array, array.dtype if dtype is None else np.dtype(dtype)
        )
    texts = dict(texts or {})
    if isinstance(getattr(model, "activation", None), str):
        texts["activation"] = model.activation
    architecture = getattr(model, "architecture", None)
    described = architecture() if callable(architecture) else None
    if described is not None:
        texts["architecture"] = json.dumps(described)
    for name, text in texts.items():
        if np.array(text).nbytes > _MOST_TEXT[name]:
            raise ValueError(f"save_params: the {name} is too long for a weights file: {len(text)} letters")
    path = _weights_path("save_params", path)
    if path.suffix == ".safetensors":
        content = dump(arrays, texts)
        with whole_file(path) as file:
            file.write(content)
        return path
    with whole_file(path) as file:
        np.savez(file, **arrays, **{name: np.array(text) for name, text in texts.items()})  # type: ignore[arg-type]
    return path


def load_params(model: Any, path: str | os.PathLike[str]) -> None:
    """Read a model's parameters from a file that `save_params` wrote, into the model's own arrays.

    Parameters
    ----------
    model
        Anything with `params`, of the shapes in the file, and the same statistics. Values are cast to the
        parameters' dtype.
    path
        File to read; `.npz` is appended unless it ends in that or in `.safetensors`.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not such a file, is damaged, or its parameters do not fit the model. The model is then
        unchanged.

    Notes
    -----
    Names and shapes are compared before any data is read, so a file takes no more memory than the model.

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> path = save_params(TwoLayerNet(2, 10, 3), "weights.npz")
    >>> load_params(TwoLayerNet(2, 10, 3), path)
    """
    shapes = _shapes_of(model)
    unset = {name for name, (layer, own) in named_buffers(model).items() if getattr(layer, own, None) is None}

    def check(stored: Shapes, size: int) -> None:
        known = {name: shape for name, shape in stored.items() if name not in unset}
        if known != shapes or any(len(stored[name]) != 1 for name in unset & stored.keys()):
            raise ValueError(
                f"{path} does not fit the model: it contains {_list(stored)}; the model has {_list(shapes)}"
            )

    stored = _read("load_params", path, check)
    activation = stored.pop("activation", None)
    own = getattr(model, "activation", None)
    if activation is not None and isinstance(own, str) and str(activation) != own:
        raise ValueError(f"{path}: saved with activation {str(activation)!r}, but the model has {own!r}")
    copy_into(model, {name: array for name, array in stored.items() if name not in TEXTS}, f"{path}: ")


def copy_into(model: Any, stored: dict[str, Array], where: str = "") -> None:
    """Copy arrays by name into a model's own parameters and statistics, cast to their dtypes.

    Raises
    ------
    ValueError
        They are not those of the model, or do not fit. The model is then unchanged.
    """
    params = {**named_params(model.params), **_buffers(model)}
    if not params.keys() <= stored.keys() or any(stored[n].shape != np.shape(p) for n, p in params.items()):
        raise ValueError(f"{where}the arrays do not fit: they are {_list(_shapes(stored))}")
    fitting = {}
    for name, param in params.items():
        if not ((isinstance(param, np.ndarray) or is_on_gpu(param)) and is_writable(param)):
            raise ValueError(f"load_params: the model's {name} is not a writable array")
        fitting[name] = checked_cast(f"{where}{name}", stored[name], param.dtype)
    for name, param in params.items():
        param[...] = to_side(fitting[name], to_gpu=is_on_gpu(param))
    for name, (layer, own) in named_buffers(model).items():
        if name in stored and name not in params:  # a layer that had no statistics yet
            setattr(layer, own, stored[name])


def _buffers(model: Any) -> dict[str, Array]:
    """Return the statistics that there are, by name."""
    found = {name: getattr(layer, own, None) for name, (layer, own) in named_buffers(model).items()}
    return {name: array for name, array in found.items() if array is not None}


def _shapes(arrays: dict[str, Any]) -> Shapes:
    return {name: np.shape(array) for name, array in arrays.items()}


def _shapes_of(model: Any) -> Shapes:
    return _shapes({**named_params(_params_of(model, "load_params")), **_buffers(model)})


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return the arrays of a weights file by name (W1, b1, ..., possibly `activation` and `architecture`).

    Parameters
    ----------
    path : path
        A file that `save_params` has written.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not a weights file, is damaged, or would become more than a hundred times larger in memory.

    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> path = save_params(TwoLayerNet(2, 10, 3), "weights.npz")
    >>> list(read_weights(path))
    ['W1', 'b1', 'W2', 'b2', 'activation', 'architecture']
    """

    def check(stored: Shapes, size: int) -> None:
        numbers = sum(prod(shape) for shape in stored.values())
        if 2 * numbers > _MOST_EXPANDED * size:  # float16 is the smallest
            raise ValueError(f"{path}: a file of {size} bytes cannot contain weights of {_list(stored)}")

    return _read("read_weights", path, check)


def _read(where: str, path: Any, check: Callable[[Shapes, int], None]) -> dict[str, Array]:
    """Return the arrays of a weights file by name; first call `check` with their shapes and the file's size."""
    path = _weights_path(where, path)
    try:
        file = open_file(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no weights file {path}") from None
    with file:
        try:
            archive = SafetensorsFile(path, TEXTS) if path.suffix == ".safetensors" else Archive(file)
            if "format" in archive.headers and "rng" in archive.headers:
                raise ValueError("it is a checkpoint, which Trainer.load_checkpoint reads")
            shapes = {name: _shape_of(name, header) for name, header in archive.headers.items()}
        except ImportError:
            raise
        except Exception as error:  # zipfile, zlib, NumPy and safetensors each have their own errors for damage
            raise _damaged(path, error) from None
        check(
            {name: shape for name, shape in shapes.items() if name not in TEXTS},
            os.fstat(file.fileno()).st_size,
        )
        try:
            return {name: archive.read(name) for name in shapes}
        except Exception as error:
            raise _damaged(path, error) from None


def _shape_of(name: str, header: Header) -> tuple[int, ...]:
    """Return an array's shape; ValueError unless it is what a weights file has under that name."""
    shape, dtype = header
    if name in TEXTS:
        if dtype.kind != "U" or shape != () or dtype.itemsize > _MOST_TEXT[name]:
            raise ValueError(f"{name} has dtype {dtype} and shape {shape}, expected a text")
    elif dtype.kind != "f":
        raise ValueError(f"{name} has dtype {dtype}")
    return shape


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a weights file, or is damaged: {error}")


def _params_of(model: Any, caller: str) -> Any:
    try:
        return model.params
    except AttributeError:
        raise ValueError(f"{caller}: the model has no params") from None


def checked_cast(where: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array in another floating dtype; ValueError if a value is too large for it."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype, order="C", copy=False)
    if np.isinf(cast).sum() > np.isinf(array).sum():
        raise ValueError(f"{where} has values that are too large for {dtype}")
    return cast


def _weights_path(where: str, given: Any) -> Path:
    path = as_path(where, given)
    if not path.name:
        raise ValueError(f"{where}: expected the name of a weights file, got {str(path)!r}")
    return path if path.suffix in (".npz", ".safetensors") else path.with_name(path.name + ".npz")


def _list(shapes: Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
