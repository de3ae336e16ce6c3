"""Networks: the books' two, fully connected with softmax and cross entropy, and any chain of layers.

Source: *Deep Learning from Scratch* 2, ch. 1.4; 1, ch. 4.5, 5.7 and 6.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any, ClassVar, Literal

import numpy as np

from . import config
from ._architecture import LOSSES, as_dict, chain
from ._arrays import Array, as_number, check_integer, described, zeros_in_one_buffer
from ._as_written import as_written
from ._network import Network
from ._parts import takes_train_flg
from .layers import Affine, Layer, Relu, Sigmoid
from .util import accuracy, predict, random_stream
from .weights import TEXTS, copy_into, load_params, read_weights, save_params

__all__ = [
    "MultiLayerNet",
    "Network",
    "Sequential",
    "TwoLayerNet",
    "accuracy",
    "load",
    "load_params",
    "predict",
    "save_params",
]

Activation = Literal["sigmoid", "relu"]
Loss = Literal["softmax", "sigmoid", "identity"]

# Elements in the widest activation of one block of rows: about 1 MB, so that a block stays in the cache.
_BLOCK = 1 << 18


class _Dense(Network):
    """A chain of Affine layers with an activation between them, all parameters in one buffer.

    `activation` is "sigmoid" or "relu".
    """

    _activations: ClassVar[dict[str, type[Layer]]] = {"sigmoid": Sigmoid, "relu": Relu}

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation,
        scales: Sequence[float],
        dtype: Any,
        rng: Any,
        loss: Loss = "softmax",
    ) -> None:
        who = type(self).__name__
        if not isinstance(activation, str) or activation not in self._activations:
            raise ValueError(f"{who}: activation must be 'sigmoid' or 'relu', got {activation!r}")
        if not isinstance(loss, str) or loss not in LOSSES:
            raise ValueError(f"{who}: loss must be 'softmax', 'sigmoid' or 'identity', got {loss!r}")
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
        self.loss_layer = LOSSES[loss]()
        self._block_size = max(1, _BLOCK // max(sizes))
        if config.GPU:
            self.to("cuda")

    def _rows_at_once(self, x: Array) -> int:
        return self._block_size

    def architecture(self) -> dict[str, Any] | None:
        """Return what `load` needs to make the model again, for JSON; None if it is a class of your own."""
        found = super().architecture() if type(self) in _MODELS.values() else None
        kinds = [Affine, self._activations[self.activation]] * len(self.layers)
        if [*map(type, self.layers)] != kinds[: len(self.layers)] or len(self.layers) % 2 == 0:
            return found and {"model": "Sequential", **found}  # others have been put in
        return found and {"model": type(self).__name__, "activation": self.activation, **found}


@as_written
class TwoLayerNet(_Dense):
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

    Examples
    --------
    >>> model = TwoLayerNet(2, 10, 3)
    >>> model.predict(np.zeros((5, 2))).shape
    (5, 3)
    >>> print(model.loss(np.zeros((5, 2)), np.zeros(5, int)).round(1))
    1.1
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
class MultiLayerNet(_Dense):
    """The books' network with any number of hidden layers; for a regression with loss="identity".

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
    loss : {"softmax", "sigmoid", "identity"}
        SoftmaxWithLoss for classes, SigmoidWithLoss for labels that are each 0 or 1, IdentityWithLoss for numbers.
    weight_decay : float
        0.5 weight_decay sum of W^2 is added to the loss, for all weights but not the biases.

    Raises
    ------
    ValueError
        A size is not a positive integer, or an option is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 1, ch. 6.2 and 6.6.

    Examples
    --------
    >>> model = MultiLayerNet(784, [50, 50], 10, activation="relu", weight_init_std="he")
    >>> [p.shape for p in model.params[::2]]
    [(784, 50), (50, 50), (50, 10)]
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
        loss: Loss = "softmax",
        weight_decay: float = 0.0,
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
        self.weight_decay = weight_decay
        super().__init__(sizes, activation, scales, dtype, rng, loss)


@as_written
class Sequential(Network):
    """Any chain of layers that ends in a loss.

    Parameters
    ----------
    layers : list
        Layers in order, each with forward, backward, params and grads; their arrays are trained in place.
    loss_layer
        SoftmaxWithLoss(), SigmoidWithLoss() or IdentityWithLoss(), or one of your own.
    weight_decay : float
        0.5 weight_decay sum of W^2 is added to the loss, for the layers' W but not their biases, gamma or beta.

    Raises
    ------
    ValueError
        Something in the list is not a layer, or weight_decay is not a non-negative number.

    Notes
    -----
    Layers whose forward has `train_flg`, such as Dropout and BatchNormalization, get that of `forward`, True by
    default; predict and accuracy, and validation in a fit, pass False.

    Examples
    --------
    >>> from scratchnet.layers import Affine, Relu, SoftmaxWithLoss
    >>> layers = [Affine(np.ones((2, 4)), np.zeros(4)), Relu(), Affine(np.ones((4, 3)), np.zeros(3))]
    >>> Sequential(layers, SoftmaxWithLoss()).predict([[1, 2]])
    array([[12., 12., 12.]])
    """

    def __init__(self, layers: Sequence[Any], loss_layer: Any, *, weight_decay: float = 0.0) -> None:
        if not isinstance(layers, list | tuple):
            raise ValueError(f"Sequential: layers must be a list of layers, got {described(layers)}")
        for layer in (*layers, loss_layer):
            if isinstance(layer, type):
                raise ValueError(f"Sequential: {layer.__name__} is a class; call it to create a layer")
            missing = [n for n in ("forward", "backward", "params", "grads") if not hasattr(layer, n)]
            if missing:
                raise ValueError(f"Sequential: {described(layer)} is no layer: it has no {missing[0]}")
        self.layers, self.loss_layer = list(layers), loss_layer
        self.weight_decay = weight_decay
        self.params = [p for layer in self.layers for p in layer.params]
        self.grads = [g for layer in self.layers for g in layer.grads]
        if config.GPU:
            self.to("cuda")

    def _rows_at_once(self, x: Array) -> int:
        """Return the rows of which the widest output is about a block: one sample is tried."""
        if len(x) == 1:
            return 1
        out, widest = self._beside_params(x[:1]), 1
        for layer in self.layers:
            out = layer.forward(out, False) if takes_train_flg(layer) else layer.forward(out)
            widest = max(widest, out.size)
        return max(1, _BLOCK // widest)

    def architecture(self) -> dict[str, Any] | None:
        """Return what `load` needs to make the model again, for JSON; None if it has layers of your own."""
        found = super().architecture() if type(self) is Sequential else None
        return found and {"model": "Sequential", **found}


_MODELS: dict[str, Any] = {"TwoLayerNet": TwoLayerNet, "MultiLayerNet": MultiLayerNet}


def load(path: str | os.PathLike[str]) -> Network:
    """Return the network that `save_params` wrote, made again with its layers, parameters and statistics.

    Parameters
    ----------
    path
        A file of a TwoLayerNet, a MultiLayerNet, or a Sequential of scratchnet's layers; `.npz` is appended unless
        it ends in that or in `.safetensors`. Nothing in it is run. The parameters have the file's dtype, float32
        if that is float16.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not a weights file, is damaged, or does not say what the network is: one of a class of your own is
        made by your own code, and reads its parameters with `load_params`.

    Notes
    -----
    What is allocated is bounded by the file's size, as in `weights.read_weights`.

    Examples
    --------
    >>> _ = TwoLayerNet(2, 10, 3).save_params("weights.npz")
    >>> load("weights.npz").params[0].shape
    (2, 10)
    """
    return load_with_texts(path)[0]


def load_with_texts(path: str | os.PathLike[str]) -> tuple[Network, dict[str, str]]:
    """Return what `load` does, and the file's texts by name."""
    stored = read_weights(path)
    try:
        return _made_of(stored), {name: str(stored[name]) for name in TEXTS & stored.keys()}
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _made_of(stored: dict[str, Array]) -> Network:
    """Return the network of a weights file's arrays."""
    arrays = {
        name: a.astype(np.float32) if a.dtype == np.float16 else a
        for name, a in stored.items()
        if name not in TEXTS
    }
    if "architecture" not in stored:  # of scratchnet 0.1
        model = _dense_of("MultiLayerNet", arrays, stored.get("activation"), "softmax")
        copy_into(model, arrays)
        return model
    found = as_dict(str(stored["architecture"]))
    kind = found["model"]
    if kind == "Sequential":
        layers, loss, decay = chain(found, arrays)
        return Sequential(layers, LOSSES[loss](), weight_decay=decay)
    if kind not in _MODELS:
        raise ValueError(f"its architecture has an unknown model {kind!r}")
    model = _dense_of(kind, arrays, found.get("activation"), found.get("loss"))
    model.weight_decay = found.get("weight_decay")
    if model.architecture() != found:
        raise ValueError(f"its architecture is not that of a {kind} of these sizes")
    copy_into(model, arrays)
    return model


def _dense_of(kind: str, arrays: dict[str, Array], activation: Any, loss: Any) -> Network:
    """Return a fully connected network of the sizes of these weights."""
    matrices = [arrays[name] for name in sorted(arrays, key=lambda n: (len(n), n)) if name.startswith("W")]
    is_chain = all(W.ndim == 2 for W in matrices) and all(a.shape[1] == b.shape[0] for a, b in pairwise(matrices))
    if not (matrices and is_chain):
        raise ValueError("it does not contain the weights of a chain of fully connected layers")
    if activation is None:
        raise ValueError("it does not say what network it is of; create that one, and use its load_params")
    sizes = [W.shape[0] for W in matrices] + [matrices[-1].shape[1]]
    options: Any = {"activation": str(activation), "dtype": matrices[0].dtype, "rng": 0}
    if kind == "TwoLayerNet" and len(sizes) == 3:
        return TwoLayerNet(sizes[0], sizes[1], sizes[2], 0.0, **options)
    return MultiLayerNet(sizes[0], sizes[1:-1], sizes[-1], weight_init_std=0.0, loss=loss, **options)


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
