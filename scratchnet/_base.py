"""What all layers share: their two lists, their errors, where gradients are written, and the books' attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, as_number, as_operand, as_real_array, empty, is_carray, is_on_gpu, is_writable
from ._links import Linked
from ._shown import shown


class Held(property):
    """A weight or gradient by the book's name: an entry of one of a layer's lists.

    A subclass whose own `__init__` does not call the layer's may set it first; the lists are then created.
    """

    def __init__(self, held_in: str, i: int, doc: str) -> None:
        super().__init__(doc=doc)
        self._held_in, self._i = held_in, i

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        if self._i >= len(getattr(layer, self._held_in)):
            if self._name not in vars(layer):
                raise AttributeError(f"{type(layer).__name__} has no {self._name} yet")
            self.__set__(layer, vars(layer).pop(self._name))  # an object with the attributes of the book's
        return getattr(layer, self._held_in)[self._i]

    def __set__(self, layer: Any, value: Any) -> None:
        for name in ("params", "grads"):
            entries = getattr(layer, name)
            if self._i >= len(entries):
                setattr(layer, name, [*entries, *[None] * (self._i + 1 - len(entries))])
        if value is None:
            return  # "not yet", in the book's classes
        getattr(layer, self._held_in)[self._i] = value
        if layer.grads[self._i] is None:
            layer.grads[self._i] = np.zeros_like(value)


class Computed:
    """An attribute that the book's layer keeps and this one does not: computed on access.

    A value set by a subclass or a script remains until the next forward of the layer itself.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        return self if layer is None else self._compute(layer)


class Layer(Linked):
    """Base of all layers: two lists, empty if there is nothing to train.

    A layer that whole-step training supports (`plan.py`) declares its role in a chain in `step_role`, and is
    decorated with `as_written`: a subclass may compute something else.

    Attributes with a value in the class need not be set by `__init__`: a subclass with its own `__init__`, or an
    object that was pickled as the book's class, has what its own code set.
    """

    params: Any = ()  # lists, once an object has been created here
    grads: Any = ()
    buffers: ClassVar[tuple[str, ...]] = ()  # the attributes that training changes, but no optimizer: statistics
    has_classes: ClassVar[bool] = True  # False for a loss whose targets are numbers, so that there is no accuracy
    _shown: ClassVar[tuple[str, ...]] = ()  # the attributes in its repr
    _pickled: ClassVar[tuple[str, ...]] = ()  # entries of the lists that the book's class has by these names
    _computed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.params, self.grads = [], []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._computed = cls._computed | {name for name, value in vars(cls).items() if isinstance(value, Computed)}

    def __getstate__(self) -> Any:
        """Return the state as the book's class has it as well: that class opens what is pickled under its name."""
        own = {name: getattr(self, name, None) for name in self._pickled}
        return super().__getstate__() | {name: value for name, value in own.items() if value is not None}

    def forward(self, *inputs: Any) -> Any:
        """Return what the layer makes of its inputs, and keep what backward needs."""
        raise NotImplementedError(self._error("a layer defines forward"))

    def backward(self, *douts: Any) -> Any:
        """Write the gradients of `params` into `grads`, and return that of the input."""
        raise NotImplementedError(self._error("a layer defines backward"))

    def __repr__(self) -> str:
        return shown(self, self._shown)

    def _outdate(self) -> None:
        """Discard a value that was set: forward has new data to compute the attribute from."""
        own = vars(self)
        for name in self._computed:
            if name in own:
                del own[name]

    def _error(self, text: str) -> str:
        return f"{type(self).__name__}: {text}"

    def _after_forward(self, kept: Any) -> Any:
        """Return what forward kept for backward, or raise an error if forward was not called."""
        if kept is None:
            raise RuntimeError(self._error("backward was called before forward; call forward first"))
        return kept

    def _as_dout(self, dout: Any, shape: tuple[int, ...], like: Array) -> Array:
        """Return the upstream gradient as an array like another; it has the output's shape, or is a scalar.

        If the layer keeps only a mask, as the books' do, the dtype is dout's own.
        """
        is_number = isinstance(dout, int | float | np.number)
        if like.dtype.kind == "b":
            dout = dout if is_number else as_real_array(self._error("dout"), dout)
            own = getattr(dout, "dtype", None)
            like = np.empty_like(like, own if own is not None and own.kind == "f" else np.float64, shape=())
        if is_number:
            return np.full_like(like, as_number(self._error("dout"), dout), order="C", shape=shape)
        d = as_operand(self._error("dout"), dout, like)
        if d.shape != shape:
            if d.ndim:
                raise ValueError(
                    self._error(f"dout has shape {d.shape}, expected {shape}, the shape of the output")
                )
            d = np.full_like(d, d, order="C", shape=shape)
        return d

    def _gradient(self, grads: Any, i: int, like: Array) -> Array:
        """Return the array that the kernel writes gradient i into: `grads[i]` itself if its layout fits."""
        grad: Array = grads[i]
        if is_on_gpu(grad) != is_on_gpu(like):
            raise ValueError(self._error(f"params[{i}] and grads[{i}] are not both on the CPU or both on the GPU"))
        if grad.shape == like.shape and grad.dtype == like.dtype and is_carray(grad):
            return grad
        if grad.size != like.size:
            raise ValueError(self._error(f"grads[{i}] has shape {grad.shape}, expected {like.shape}"))
        if not is_writable(grad):
            raise ValueError(self._error(f"grads[{i}] is read-only; backward writes into it"))
        return empty(like.shape, like)

    def _keep_gradient(self, grads: Any, i: int, written: Array) -> None:
        if written is not grads[i]:
            grads[i][...] = written.reshape(grads[i].shape)
