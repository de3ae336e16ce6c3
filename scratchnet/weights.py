"""Parameters in a file: NumPy's .npz, no pickle, written whole or not at all, compared before they are taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .util import is_on_gpu, is_writable, moved, named_params, to_cpu

Array = np.ndarray[Any, np.dtype[Any]]


def save_params(model: Any, path: str | os.PathLike[str], dtype: Any = None) -> Path:
    """Write a model's parameters to an .npz file.

    Parameters
    ----------
    model
        Anything with `params`: a list of arrays, or a list of such lists. Its `activation`, where it has
        one, is stored too.
    path
        File to write; `.npz` is appended where it is missing. The file appears under its name when it is
        complete, and an older one stays as it is until then.
    dtype
        float16, float32 or float64; None keeps each parameter's own. float16 halves the file at next to
        no loss of accuracy (book 2, ch. 1.5.1).

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        The model has no `params`, or a weight is too large for the dtype.
    OSError
        The file cannot be written.
    """
    params = named_params(_params_of(model, "save_params"))
    if dtype is not None and np.dtype(dtype) not in (np.float16, np.float32, np.float64):
        raise ValueError(f"save_params: dtype must be float16, float32 or float64, got {np.dtype(dtype)}")
    arrays: dict[str, Array] = {}
    for name, param in params.items():
        array = to_cpu(param)
        if array.dtype.kind != "f":
            raise ValueError(f"save_params: {name} must hold floating numbers, got dtype {array.dtype}")
        arrays[name] = checked_cast(
            f"save_params: {name}", array, array.dtype if dtype is None else np.dtype(dtype)
        )
    if isinstance(getattr(model, "activation", None), str):
        arrays["activation"] = np.array(model.activation)
    path = _npz(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save_params: there is no folder {path.parent}")
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


def load_params(model: Any, path: str | os.PathLike[str]) -> None:
    """Read a model's parameters from a file that `save_params` wrote, into the model's own arrays.

    Parameters
    ----------
    model
        Anything with `params`, of the shapes in the file. Numbers are cast to the parameters' dtype.
    path
        File to read; `.npz` is appended where it is missing.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not such a file, or is damaged, or its parameters do not fit the model. The model is then
        as it was.
    """
    params = named_params(_params_of(model, "load_params"))
    stored = read_weights(path)
    activation = stored.pop("activation", None)
    own = getattr(model, "activation", None)
    if activation is not None and isinstance(own, str) and str(activation) != own:
        raise ValueError(f"{path}: made for activation {str(activation)!r}, but the model has {own!r}")
    shapes = {name: np.shape(p) for name, p in params.items()}
    stored_shapes = {name: a.shape for name, a in stored.items()}
    if stored_shapes != shapes:
        raise ValueError(
            f"{path} does not fit the model: it holds {_list(stored_shapes)}; the model has {_list(shapes)}"
        )
    fitting = {}
    for name, param in params.items():
        if not ((isinstance(param, np.ndarray) or is_on_gpu(param)) and is_writable(param)):
            raise ValueError(f"load_params: the model's {name} is not an array that can be written")
        fitting[name] = checked_cast(f"{path}: {name}", stored[name], param.dtype)
    for name, param in params.items():
        param[...] = moved(fitting[name], to_gpu=is_on_gpu(param))


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return the arrays of a weights file by name (W1, b1, ..., perhaps `activation`).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a weights file, or is damaged.
    """
    from zipfile import is_zipfile  # not at import: it is slow to load

    path = _npz(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no weights file {path}")
    with open(path, "rb") as file:
        try:
            if not is_zipfile(file):
                raise ValueError("it is no archive of arrays (.npz)")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                stored = {name: archive[name] for name in archive.files}
        except Exception as error:  # zipfile, zlib and NumPy each have their own for damage
            raise ValueError(f"{path} is not a weights file, or is damaged: {error}") from None
    wrong = [name for name, a in stored.items() if a.dtype.kind != "f" and name != "activation"]
    if wrong:
        raise ValueError(f"{path} is not a weights file: {wrong[0]} has dtype {stored[wrong[0]].dtype}")
    return stored


def _params_of(model: Any, caller: str) -> Any:
    try:
        return model.params
    except AttributeError:
        raise ValueError(f"{caller}: the model has no params") from None


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when it is complete; an older one stays as it is until then."""
    target = Path(os.path.realpath(path))  # a link stays one
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def checked_cast(where: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array in another floating dtype; ValueError if a number is too large for it."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype, order="C", copy=False)
    if np.isinf(cast).sum() > np.isinf(array).sum():
        raise ValueError(f"{where} holds numbers that are too large for {dtype}")
    return cast


def _npz(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.name:
        raise ValueError(f"expected the name of a weights file, got {str(path)!r}")
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _list(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
