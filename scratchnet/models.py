"""The books' networks: a chain of Affine and activation layers ending in softmax with cross entropy.

Source: *Deep Learning from Scratch* 2, ch. 1.4; 1, ch. 4.5, 5.7 and 6.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from . import config
from ._arrays import (
    Array,
    as_array,
    as_number,
    check_integer,
    check_parameter,
    is_on_gpu,
    to_side,
    uploaded,
    zeros_in_one_buffer,
)
from ._as_written import as_written
from ._links import Linked
from ._shown import shown
from .layers import Affine, Layer, Relu, Sigmoid, SoftmaxWithLoss
from .util import accuracy, class_indices, layers_of, load_cupy, predict, random_stream, row_blocks
from .weights import load_params, save_params

__all__ = ["MultiLayerNet", "Network", "TwoLayerNet", "accuracy", "load_params", "predict", "save_params"]

Activation = Literal["sigmoid", "relu"]

# Elements in the widest activation of one block of rows: about 1 MB, so that a block stays in the cache.
_BLOCK = 1 << 18


class Network(Linked):
    """A chain of layers ending in a loss: the base of the books' two networks.

    Attributes
    ----------
    layers : list
        Affine, activation, ..., Affine.
    loss_layer : SoftmaxWithLoss
    params, grads : list of ndarray
        [W1, b1, W2, b2, ...] and their gradients: views of one buffer each, changed in place by training.
    activation : str
        "sigmoid" or "relu".

    Notes
    -----
    A class decorated with `as_written` computes exactly its `step_chain`, so that whole steps can be compiled
    (`plan.py`); a subclass may compute something else.
    """

    _activations: ClassVar[dict[str, type[Layer]]] = {"sigmoid": Sigmoid, "relu": Relu}

    def __init__(
        self, sizes: Sequence[int], activation: Activation, scales: Sequence[float], dtype: Any, rng: Any
    ) -> None:
        who = type(self).__name__
        if not isinstance(activation, str) or activation not in self._activations:
            raise ValueError(f"{who}: activation must be 'sigmoid' or 'relu', got {activation!r}")
        if not _is_floating(dtype):
            raise ValueError(f"{who}: dtype must be float32 or float64 (or float16, uncompiled), got {dtype!r}")
        randn = _normal(who, rng)
        shapes = [shape for D, M in pairwise(sizes) for shape in ((D, M), (M,))]
        self.activation = activation
        self.params = zeros_in_one_buffer(shapes, np.dtype(dtype))
        self.grads = zeros_in_one_buffer(shapes, np.dtype(dtype))
        self.layers: list[Layer] = []
        for k, scale in enumerate(scales):
            W, b = self.params[2 * k : 2 * k + 2]
            W[...] = scale * randn(*W.shape)
            affine = Affine(W, b)
            affine.grads[:] = self.grads[2 * k : 2 * k + 2]
            self.layers += [affine, self._activations[activation]()]
        del self.layers[-1]
        self.loss_layer = SoftmaxWithLoss()
        self._block_size = max(1, _BLOCK // max(sizes))
        if config.GPU:
            self.to("cuda")

    def step_chain(self) -> list[Any]:
        """Return the layers that forward calls, in order, ending with the loss."""
        return [*self.layers, self.loss_layer]

    def __repr__(self) -> str:
        return shown(self, ("layers", "loss_layer"))

    def _scores(self, x: Any) -> Any:
        if is_on_gpu(self.params[0]):
            x = uploaded(f"{type(self).__name__}: x", x)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def predict(self, x: Any) -> Array:
        """Return the scores (N, C) of the samples x (N, D), or (C,) of one sample (D,).

        Large inputs are processed in blocks: this takes the memory of the output and a few MB. The scores of a
        model on the GPU are a CuPy array; x may be on either device.
        """
        x = as_array(x, "predict: x")
        if x.ndim < 2 or len(x) <= self._block_size:
            scores: Array = self._scores(x)
            return scores
        out: Array | None = None
        for block in row_blocks(len(x), self._block_size):
            part = self._scores(x[block])
            if out is None:
                out = np.empty_like(part, shape=(len(x), *part.shape[1:]))
            out[block] = part
        assert out is not None
        return out

    def forward(self, x: Any, t: Any) -> float:
        """Return the loss of the samples x (N, D) against the labels t, indices (N,) or one-hot (N, C)."""
        # A subclass that changes the scores does so in `predict`, as in the books.
        scores = self._scores(x) if type(self).predict is Network.predict else self.predict(x)
        return self.loss_layer.forward(scores, t)

    def loss(self, x: Any, t: Any) -> float:
        """Return forward(x, t), by book 1's name."""
        return self.forward(x, t)

    def backward(self, dout: Any = 1) -> Any:
        """Write the gradients of the last forward's loss into `grads`; return the gradient of its input."""
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def gradient(self, x: Any, t: Any) -> list[Array]:
        """Return `grads` after forward(x, t) and backward()."""
        self.forward(x, t)
        self.backward()
        return self.grads

    def accuracy(self, x: Any, t: Any) -> float:
        """Return the fraction of samples whose largest score is at their label."""
        return accuracy(self, x, t, block_size=self._block_size)

    def prepare_labels(self, t: Any) -> Array:
        """Return the labels of a whole data set as a fit uses them.

        Indices (N,) or one-hot (N, C) become checked class indices (N,), once for all steps. A subclass with
        another loss, or whose last layer is not Affine, gets them unchanged.
        """
        last = self.layers[-1] if self.layers else None
        if type(self.loss_layer) is not SoftmaxWithLoss or type(last) is not Affine:
            return as_array(t)
        return class_indices("t", t, last.W.shape[1])

    def save_params(self, path: str | os.PathLike[str], dtype: Any = None) -> Path:
        """Write the parameters to an .npz file; see `weights.save_params`."""
        return save_params(self, path, dtype)

    def load_params(self, path: str | os.PathLike[str]) -> None:
        """Read the parameters from an .npz file; see `weights.load_params`."""
        load_params(self, path)

    @property
    def device(self) -> str:
        """Where the parameters are: "cpu" or "cuda"."""
        return "cuda" if any(map(is_on_gpu, self.params)) else "cpu"

    def to(self, device: str) -> Self:
        """Move the parameters and gradients, and return the model itself.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            Where the model computes from now on. The lists remain the same objects; their arrays are new.

        Raises
        ------
        ValueError
            The device is unknown, or a parameter cannot be moved: float16, or a view of another one. Then nothing
            is changed.
        NoGPUError
            CuPy or a GPU is missing; the message says what to do.
        """
        if device not in ("cpu", "cuda"):
            raise ValueError(f"to: device must be 'cpu' or 'cuda', got {device!r}")
        on_gpu = device == "cuda"
        layers = layers_of(self)
        lists = [self.params, self.grads, *(arrays for layer in layers for arrays in (layer.params, layer.grads))]
        if all(is_on_gpu(array) == on_gpu for arrays in lists for array in arrays):
            return self
        if on_gpu:
            load_cupy()
        there: dict[int, Array] = {}
        for arrays in lists:  # everything is allocated before anything is changed: memory may run out
            _move(arrays, on_gpu, there)
        for arrays in lists:
            arrays[:] = [there[id(array)] for array in arrays]
        return self


def _move(arrays: Sequence[Array], on_gpu: bool, there: dict[int, Array]) -> None:
    """Add to `there` each array's counterpart on the other side, by id; shared memory stays shared."""
    todo = list({id(a): a for a in arrays if id(a) not in there}.values())
    kinds = {(a.dtype, is_on_gpu(a)) for a in todo}
    for array in todo:
        check_parameter("to: a parameter", array)
        if on_gpu and array.dtype not in (np.float32, np.float64):
            raise ValueError(f"to: the GPU computes in float32 and float64; a parameter has dtype {array.dtype}")
        if on_gpu and any(other is not array and np.shares_memory(array, other) for other in todo):
            raise ValueError("to: two parameters share memory without being one array; move such a model manually")
    if len(kinds) == 1:
        new = zeros_in_one_buffer([a.shape for a in todo], todo[0].dtype, on_gpu=on_gpu)
    else:
        new = [zeros_in_one_buffer([a.shape], a.dtype, on_gpu=on_gpu)[0] for a in todo]
    for array, counterpart in zip(todo, new, strict=True):
        counterpart[...] = to_side(array, to_gpu=on_gpu)
        there[id(array)] = counterpart


@as_written
class TwoLayerNet(Network):
    """The books' network with one hidden layer: Affine, activation, Affine, softmax with cross entropy.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Numbers of inputs, hidden units and classes.
    weight_init_std : float
        Standard deviation of the initial weights; biases start at 0.
    activation : {"sigmoid", "relu"}
        Activation of the hidden layer.
    dtype
        float32 or float64 (float16 runs uncompiled).
    rng : None, int or numpy.random.Generator
        Source of the initial weights; None is NumPy's global stream, W1 before W2 by randn, so that a seed
        gives the books' weights.

    Raises
    ------
    ValueError
        A size is not a positive integer, or an option is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 1.4.2; 1, ch. 4.5.1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        activation: Activation = "sigmoid",
        dtype: Any = np.float32,
        rng: Any = None,
    ) -> None:
        sizes = _as_sizes([input_size, hidden_size, output_size])
        super().__init__(sizes, activation, [_as_scale(weight_init_std)] * 2, dtype, rng)


@as_written
class MultiLayerNet(Network):
    """The books' network with any number of hidden layers.

    Parameters
    ----------
    input_size : int
        Number of inputs.
    hidden_size_list : list of int
        Units of each hidden layer; an empty list makes a linear classifier.
    output_size : int
        Number of classes.
    activation : {"sigmoid", "relu"}
        Activation after every layer but the last.
    weight_init_std : float, "he" or "xavier"
        Standard deviation of the initial weights. "he" (or "relu") is sqrt(2 / n), "xavier" (or "sigmoid")
        sqrt(1 / n), n being the number of the layer's inputs. Biases start at 0.
    dtype
        float32 or float64 (float16 runs uncompiled).
    rng : None, int or numpy.random.Generator
        Source of the initial weights; None is NumPy's global stream, W1, W2, ... by randn.

    Raises
    ------
    ValueError
        A size is not a positive integer, or an option is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.2 and 6.6.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: Activation = "sigmoid",
        weight_init_std: float | str = 0.01,
        *,
        dtype: Any = np.float32,
        rng: Any = None,
    ) -> None:
        if not isinstance(hidden_size_list, Sequence | np.ndarray) or isinstance(hidden_size_list, str):
            raise ValueError(f"hidden_size_list must be a list of sizes, got {hidden_size_list!r}")
        sizes = _as_sizes([input_size, *hidden_size_list, output_size])
        gain = {"he": 2.0, "relu": 2.0, "xavier": 1.0, "sigmoid": 1.0}
        if isinstance(weight_init_std, str):
            if weight_init_std.lower() not in gain:
                raise ValueError(f"weight_init_std must be a number, 'he' or 'xavier', got {weight_init_std!r}")
            scales = [sqrt(gain[weight_init_std.lower()] / n) for n in sizes[:-1]]
        else:
            scales = [_as_scale(weight_init_std)] * (len(sizes) - 1)
        super().__init__(sizes, activation, scales, dtype, rng)


def _as_sizes(sizes: Sequence[Any]) -> list[int]:
    return [check_integer("each of sizes", size, 1) for size in sizes]


def _as_scale(weight_init_std: Any) -> float:
    scale = as_number("weight_init_std", weight_init_std, 0)
    if scale == float("inf"):
        raise ValueError("weight_init_std must be a finite number, got inf")
    return scale


def _is_floating(dtype: Any) -> bool:
    try:
        return dtype is not None and np.dtype(dtype) in (np.float16, np.float32, np.float64)
    except (TypeError, ValueError):  # NumPy's, for something that is not a dtype
        return False


def _normal(who: str, rng: Any) -> Any:
    """Return a function like randn that draws from the given stream."""
    stream = random_stream(f"{who}: rng", rng)
    return getattr(stream, "randn", None) or (lambda *shape: stream.standard_normal(shape))
