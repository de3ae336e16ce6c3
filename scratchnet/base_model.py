"""The base class of book 2's models: saves parameters to a file and loads them.

Source: *Deep Learning from Scratch* 2, `common/base_model.py`; ch. 6.4.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import is_on_gpu, is_writable, to_side
from ._files import as_path, whole_file
from ._links import Linked
from ._parts import flatten
from ._shown import shown
from .util import load_pickle, to_cpu
from .weights import checked_cast

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BaseModel"]


class BaseModel(Linked):
    """Base class of the books' models: a subclass sets `params` and `grads`, and defines forward and backward.

    Attributes
    ----------
    params, grads : list of ndarray, or None
        Set by the model itself.

    Notes
    -----
    Files have the books' format: a pickled list of the parameters in order, in float16. They are read without
    running anything in them.

    Examples
    --------
    >>> class Halves(BaseModel):
    ...     def __init__(self):
    ...         self.params, self.grads = [np.ones(2)], [np.zeros(2)]
    >>> Halves().save_params("halves.pkl")
    >>> Halves().load_params("halves.pkl")
    """

    def __init__(self) -> None:
        self.params: Any = None
        self.grads: Any = None

    def __repr__(self) -> str:
        return shown(self, ("params",))

    def forward(self, *args: Any) -> Any:
        """Return the loss; defined by the model."""
        raise NotImplementedError(f"{type(self).__name__} has no forward of its own")

    def backward(self, *args: Any) -> Any:
        """Write the gradients; defined by the model."""
        raise NotImplementedError(f"{type(self).__name__} has no backward of its own")

    def save_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Write the parameters to a file, in float16; by default to <class name>.pkl.

        The file appears under its name only once it is complete.

        Raises
        ------
        ValueError
            There are no parameters, a value is too large for float16, or the name is not a file name.
        OSError
            The file cannot be written: its folder is missing, it is read-only, or the path is not a regular file.
        """
        path = self._path("save_params", file_name)
        half = np.dtype(np.float16)
        arrays = [
            checked_cast(f"save_params: params[{i}]", to_cpu(p), half) for i, p in enumerate(self._parameters())
        ]
        with whole_file(path) as file:
            pickle.dump(arrays, file)

    def load_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Read the parameters from a file, into the model's own arrays; by default from <class name>.pkl.

        Raises
        ------
        OSError
            The file does not exist, or is not a regular file.
        ValueError
            The file contains anything but a list of arrays of the parameters' shapes, or a value too large for its
            parameter's dtype. The model is then unchanged.
        """
        path = self._path("load_params", file_name)
        if not path.exists():
            raise OSError(f"No file: {path}")
        stored = load_pickle(path)
        params = self._parameters()
        if not isinstance(stored, list | tuple) or not all(
            isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in stored
        ):
            raise ValueError(f"{path} does not contain a list of floating-point arrays, as save_params writes it")
        shapes, own = [a.shape for a in stored], [np.shape(p) for p in params]
        if shapes != own:
            raise ValueError(f"{path} does not fit the model: it contains arrays of {shapes}, the model has {own}")
        for i, param in enumerate(params):
            if not ((isinstance(param, np.ndarray) or is_on_gpu(param)) and is_writable(param)):
                raise ValueError(f"load_params: params[{i}] is not a writable array")
        pairs = enumerate(zip(params, stored, strict=True))
        fitting = [checked_cast(f"{path}: array {i}", array, param.dtype) for i, (param, array) in pairs]
        for param, array in zip(params, fitting, strict=True):
            param[...] = to_side(array, to_gpu=is_on_gpu(param))

    def _path(self, where: str, file_name: str | os.PathLike[str] | None) -> Path:
        return as_path(where, f"{type(self).__name__}.pkl" if file_name is None else file_name)

    def _parameters(self) -> list[Any]:
        if self.params is None:
            raise ValueError(f"{type(self).__name__} has no params: its __init__ must set them")
        return flatten(self.params)
