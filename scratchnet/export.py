"""Networks as ONNX files, which other programs run: ONNX Runtime, browsers, phones.

Source: the operators of https://onnx.ai/onnx/operators/, version 17.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from . import layers
from ._arrays import Array, described
from ._files import as_path, whole_file
from ._version import __version__
from .batch_normalization import EPS
from .book1 import layers as book1
from .book1.multi_layer_net import MultiLayerNet as Book1MultiLayerNet
from .book1.multi_layer_net_extend import MultiLayerNetExtend
from .models import MultiLayerNet, Sequential, TwoLayerNet
from .util import to_cpu

__all__ = ["to_onnx"]

_OPSET, _IR_VERSION = 17, 8  # of 2022: what runs ONNX at all runs these
_LARGEST_FILE = 2**31 - 1  # a limit of the format
_BATCH = "N"
_MODELS = (TwoLayerNet, MultiLayerNet, Sequential, Book1MultiLayerNet, MultiLayerNetExtend)

Shape = tuple[Any, ...]  # the batch axis and what is not known as a text


def to_onnx(
    model: Any, path: str | os.PathLike[str], *, input_shape: Sequence[int] | None = None, dtype: Any = np.float32
) -> Path:
    """Write a network to an ONNX file that computes `model.predict(x)` for any number of samples.

    Parameters
    ----------
    model
        A TwoLayerNet, MultiLayerNet or Sequential, or a MultiLayerNet or MultiLayerNetExtend of book 1,
        of the layers MatMul, Affine, Sigmoid, Relu, Tanh, Softmax, Dropout, Flatten, Convolution, Pooling and
        BatchNormalization. Dropout and batch normalization are written as they work after training, with the
        running statistics. The loss is not: the file's output `scores` are the scores before softmax or sigmoid
        of a SoftmaxWithLoss or SigmoidWithLoss, and the numbers of an IdentityWithLoss.
    path
        File to write; `.onnx` is appended if missing. It appears under its name only once it is complete.
    input_shape : tuple of int, optional
        Shape of one sample, such as (1, 28, 28). Without it the sizes of images remain open, and a network that
        begins with Flatten takes rows (N, D).
    dtype
        float32 or float64, of the file's parameters, its input `x` and its output. ONNX Runtime has no Convolution
        in float64.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ImportError
        The package onnx is missing; says what to install.
    ValueError
        The model or one of its layers cannot be written; names it. Or an argument is invalid.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from scratchnet import TwoLayerNet
    >>> to_onnx(TwoLayerNet(2, 10, 3), "model").name
    'model.onnx'
    """
    path = as_path("to_onnx", path)
    if not path.name:
        raise ValueError(f"to_onnx: expected the name of a file, got {str(path)!r}")
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"to_onnx: dtype must be float32 or float64, got {dtype}")
    chain = _layers_of(model)
    try:
        import onnx
    except ImportError:
        raise ImportError('to_onnx requires onnx: pip install "scratchnet[onnx]"') from None
    graph = _Graph(dtype, _input_shape(chain, input_shape))
    entered = graph.shape
    for place, layer in enumerate(chain, start=1):
        graph.where = f"to_onnx: layer {place}, {type(layer).__name__}"
        _OPERATORS[type(layer)](graph, layer)
    if input_shape is not None:
        _try_out(model, entered)
    content = _serialized(onnx, graph, entered, dtype)
    path = path if path.suffix == ".onnx" else path.with_name(path.name + ".onnx")
    with whole_file(path) as file:
        file.write(content)
    return path


class _Graph:
    """The nodes so far, and the name and shape of what the last one returns."""

    def __init__(self, dtype: np.dtype[Any], shape: Shape) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.arrays: dict[str, Array] = {}
        self.dtype, self.shape, self.out, self.where = dtype, shape, "x", ""

    def add(self, operator: str, *arrays: Array, **attributes: Any) -> None:
        """Add a node that takes what the last one returns, and arrays."""
        count = len(self.nodes) + 1
        names = [f"{operator.lower()}{count}_{k}" for k in range(1, len(arrays) + 1)]
        for name, array in zip(names, arrays, strict=True):
            self.arrays[name] = np.asarray(array, order="C")
        self._node(operator, [self.out, *names], attributes)

    def _node(self, operator: str, inputs: list[str], attributes: dict[str, Any]) -> None:
        out = f"{operator.lower()}{len(self.nodes) + 1}"
        self.nodes.append((operator, inputs, out, attributes))
        self.out = out

    def reshape_like(self, other: str) -> None:
        """Give what the last node returns the shape of another node's output."""
        last = self.out
        self._node("Shape", [other], {})
        self._node("Reshape", [last, self.out], {})

    def numbers(self, values: Any) -> Array:
        """Return parameters in the file's dtype.

        Raises
        ------
        ValueError
            One is too large for it.
        """
        array = to_cpu(values) if not isinstance(values, int | float | np.number) else np.asarray(values)
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        if np.isinf(cast).sum() > np.isinf(array).sum():
            raise ValueError(f"{self.where} has values that are too large for {self.dtype}")
        return cast

    def expect(self, axes: int, why: str) -> None:
        """Raise ValueError if the layer's input has another number of axes."""
        if len(self.shape) != axes:
            raise ValueError(f"{self.where} gets an input of {len(self.shape)} axes, expected {why}")


def _product(graph: _Graph, layer: Any) -> None:
    """X W + b over the last axis."""
    W = graph.numbers(layer.params[0])
    bias = [np.broadcast_to(graph.numbers(b).reshape(-1), W.shape[1:]) for b in layer.params[1:]]
    shape = graph.shape
    if isinstance(shape[-1], int) and shape[-1] != len(W):
        raise ValueError(f"{graph.where} expects rows of {len(W)} numbers, but gets {shape[-1]}")
    if len(shape) == 2:
        graph.add("Gemm", W, *bias)
    else:
        graph.add("MatMul", W)
        if bias:
            graph.add("Add", *bias)
    graph.shape = (*shape[:-1], W.shape[1])


def _product_of_rows(graph: _Graph, layer: Any) -> None:
    """Book 1's Affine makes rows of its input."""
    _flatten(graph, layer)
    _product(graph, layer)


def _flatten(graph: _Graph, layer: Any) -> None:
    if len(graph.shape) != 2:
        graph.add("Flatten", axis=1)
        sizes = graph.shape[1:]
        graph.shape = (_BATCH, "features" if any(isinstance(size, str) for size in sizes) else prod(sizes))


def _convolve(graph: _Graph, layer: Any) -> None:
    W = graph.numbers(layer.W)
    b = np.broadcast_to(graph.numbers(layer.b).reshape(-1), W.shape[:1])
    graph.expect(4, "images (N, C, H, W)")
    stride, pad = int(layer.stride), int(layer.pad)
    if isinstance(graph.shape[1], int) and graph.shape[1] != W.shape[1]:
        raise ValueError(f"{graph.where} expects {W.shape[1]} channels, but gets {graph.shape[1]}")
    graph.add("Conv", W, b, strides=[stride, stride], pads=[pad] * 4, kernel_shape=list(W.shape[2:]))
    graph.shape = _windows(graph, len(W), W.shape[2:], stride, pad)


def _pool(graph: _Graph, layer: Any) -> None:
    graph.expect(4, "images (N, C, H, W)")
    if layer.pad != 0:
        raise ValueError(f"{graph.where}: pad must be 0, got {layer.pad}")
    window, stride = [int(layer.pool_h), int(layer.pool_w)], int(layer.stride)
    graph.add("MaxPool", kernel_shape=window, strides=[stride, stride])
    graph.shape = _windows(graph, graph.shape[1], window, stride, 0)


def _windows(graph: _Graph, channels: Any, window: Sequence[int], stride: int, pad: int) -> Shape:
    """Return the shape of images after a convolution or pooling."""
    sides = graph.shape[2:]
    left = [
        (side + 2 * pad - size) // stride + 1 if isinstance(side, int) else f"{graph.out}_{axis}"
        for side, size, axis in zip(sides, window, ("height", "width"), strict=True)
    ]
    if any(isinstance(side, int) and side < 1 for side in left):
        raise ValueError(f"{graph.where}: its window {tuple(window)} does not fit into images of {tuple(sides)}")
    return (_BATCH, channels, *left)


def _normalize(graph: _Graph, layer: Any) -> None:
    """Batch normalization by the running statistics: of each channel of images, else of each number of a row."""
    size = max(np.size(layer.gamma), np.size(layer.beta))
    statistics = [getattr(layer, name) for name in layer.buffers]
    mean, var = (np.zeros(size) if values is None else values for values in statistics)
    size = max(size, np.size(mean))
    sizes = graph.shape[1:]
    if size == 1 and not any(isinstance(known, str) for known in sizes):  # numbers, for each column
        size = prod(sizes)
    rows = [
        np.broadcast_to(graph.numbers(values).reshape(-1), (size,))
        for values in (layer.gamma, layer.beta, mean, var)
    ]
    shape, before = graph.shape, graph.out
    channels = shape[1] if len(shape) == 4 else None
    if isinstance(channels, str):
        raise ValueError(
            f"{graph.where} may be for channels or for pixels; say which by input_shape=, the shape of a sample"
        )
    per_channel = channels == size
    if len(shape) > 2 and not per_channel:
        graph.add("Flatten", axis=1)
    graph.add("BatchNormalization", *rows, epsilon=EPS)
    if len(shape) > 2 and not per_channel:
        graph.reshape_like(before)


def _drop_out(graph: _Graph, layer: Any) -> None:
    """The books' Dropout scales what it does not drop, after training."""
    graph.add("Mul", graph.numbers(1 - layer._ratio()))


def _softmax(graph: _Graph, layer: Any) -> None:
    graph.add("Softmax", axis=-1)


def _elementwise(operator: str) -> Callable[[_Graph, Any], None]:
    return lambda graph, layer: graph.add(operator)


_OPERATORS: dict[type, Callable[[_Graph, Any], None]] = {
    layers.MatMul: _product,
    layers.Affine: _product,
    layers.BatchNormalization: _normalize,
    layers.Convolution: _convolve,
    layers.Dropout: _drop_out,
    layers.Flatten: _flatten,
    layers.Pooling: _pool,
    layers.Relu: _elementwise("Relu"),
    layers.Sigmoid: _elementwise("Sigmoid"),
    layers.Softmax: _softmax,
    layers.Tanh: _elementwise("Tanh"),
    book1.Affine: _product_of_rows,
    book1.BatchNormalization: _normalize,
    book1.Convolution: _convolve,
}


def _layers_of(model: Any) -> list[Any]:
    if type(model) not in _MODELS:
        raise ValueError(
            f"to_onnx: expected a TwoLayerNet, a MultiLayerNet, a Sequential or one of book 1's networks, got "
            f"{described(model)}; put its layers into a scratchnet.Sequential"
        )
    found = model.layers.values() if isinstance(model.layers, Mapping) else model.layers
    chain = list(found)
    for place, layer in enumerate(chain, start=1):
        if type(layer) not in _OPERATORS:
            known = ", ".join(dict.fromkeys(cls.__name__ for cls in _OPERATORS))
            raise ValueError(
                f"to_onnx: layer {place} is a {type(layer).__name__}, which cannot be written to ONNX; expected "
                f"one of scratchnet's own {known}"
            )
    if not chain:
        raise ValueError("to_onnx: the model has no layers")
    return chain


def _input_shape(chain: list[Any], given: Sequence[int] | None) -> Shape:
    """Return the shape of the samples as far as it is known: by the first layer that determines it."""
    if given is not None:
        if not isinstance(given, Sequence) or not all(type(size) is int and size > 0 for size in given):
            raise ValueError(f"to_onnx: input_shape must be a sample's shape, such as (1, 28, 28), got {given!r}")
        return (_BATCH, *given)
    for layer in chain:
        if isinstance(layer, layers.MatMul | book1.Affine):
            return (_BATCH, np.shape(layer.params[0])[0])
        if isinstance(layer, layers.Convolution | book1.Convolution):
            return (_BATCH, np.shape(layer.W)[1], "height", "width")
        if isinstance(layer, layers.Pooling):
            return (_BATCH, "channels", "height", "width")
    size = max((np.size(layer.gamma) for layer in chain if hasattr(layer, "gamma")), default=1)
    return (_BATCH, size if size > 1 else "features")


def _try_out(model: Any, shape: Shape) -> None:
    """Raise ValueError if the model does not take samples of the shape that was given."""
    try:
        model.predict(np.zeros((1, *shape[1:])))
    except ValueError as error:
        raise ValueError(f"to_onnx: input_shape {shape[1:]} does not fit the model: {error}") from None


def _serialized(onnx: Any, graph: _Graph, entered: Shape, dtype: np.dtype[Any]) -> bytes:
    """Return the file's bytes, once ONNX's own checker has accepted them."""
    if sum(array.nbytes for array in graph.arrays.values()) > _LARGEST_FILE - 1_000_000:
        raise ValueError("to_onnx: the parameters take more than 2 GB, the largest file that ONNX allows")
    make, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(dtype)
    (*nodes, last) = [*graph.nodes] or [("Identity", ["x"], "", {})]
    made = [
        make.make_node(operator, inputs, [out], name=out or "scores", **attributes)
        for operator, inputs, out, attributes in [*nodes, (last[0], last[1], "scores", last[3])]
    ]
    description = make.make_model(
        make.make_graph(
            made,
            "network",
            [make.make_tensor_value_info("x", kind, entered)],
            [make.make_tensor_value_info("scores", kind, graph.shape)],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.arrays.items()],
        ),
        opset_imports=[make.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="scratchnet",
        producer_version=__version__,
        doc_string="scores: what predict returns, before the softmax or sigmoid of the loss",
    )
    try:
        onnx.checker.check_model(description, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(
            f"to_onnx: the layers do not fit together, or their arrays do not fit them: {error}"
        ) from None
    content: bytes = description.SerializeToString()
    return content
