"""Book 1's SimpleConvNet: a convolution, then two fully connected layers.

Source: *Deep Learning from Scratch* 1, ch. 7.5, `ch07/simple_convnet.py`.
"""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_number, check_integer, is_on_gpu, to_side
from .._as_written import as_written
from .._files import as_path, whole_file
from .._shown import shown
from ..util import class_indices, load_pickle, to_cpu
from ._network import DictionaryNet
from .layers import Affine, Convolution, Pooling, Relu, SoftmaxWithLoss

__all__ = ["SimpleConvNet"]

_CONV_PARAM = MappingProxyType({"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1})
_WEIGHTED = ("Conv1", "Affine1", "Affine2")  # W1 and b1 are the first one's


@as_written
class SimpleConvNet(DictionaryNet):
    """Convolution, Relu, Pooling, Affine, Relu, Affine, for classification.

    Parameters
    ----------
    input_dim : (int, int, int)
        Channels, height and width of an image; height and width are equal.
    conv_param : dict
        filter_num, filter_size, pad and stride of the convolution, whose output has an even side.
    hidden_size, output_size : int
        Units between the Affine layers; number of classes.
    weight_init_std : float
        Standard deviation of the initial weights; biases start at 0.

    Attributes
    ----------
    params : dict of str to ndarray
        W1, b1, W2, b2, W3, b3, float64, drawn in this order by NumPy's `randn`; the layers hold the same arrays.
    layers : OrderedDict
        Conv1, Relu1, Pool1, Affine1, Relu2, Affine2.
    last_layer
        The loss.

    Raises
    ------
    ValueError
        A size is not a positive integer, one of conv_param is missing, or the images are not square or do not fit.

    Notes
    -----
    Source: book 1, ch. 7.5.

    Examples
    --------
    >>> SimpleConvNet().predict(np.zeros((2, 1, 28, 28))).shape
    (2, 10)
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, int] = _CONV_PARAM,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
    ) -> None:
        who = "SimpleConvNet"
        if not isinstance(conv_param, Mapping) or not conv_param.keys() >= _CONV_PARAM.keys():
            raise ValueError(f"{who}: conv_param must have {', '.join(_CONV_PARAM)}, got {conv_param!r}")
        filters, side, pad, stride = (
            check_integer(f"{who}: {name}", conv_param[name], name != "pad") for name in _CONV_PARAM
        )
        if not isinstance(input_dim, Sequence | np.ndarray) or len(input_dim) != 3:
            raise ValueError(f"{who}: input_dim must be channels, height and width, got {input_dim!r}")
        channels, height, width = (check_integer(f"{who}: each of input_dim", size, 1) for size in input_dim)
        check_integer(f"{who}: hidden_size", hidden_size, 1)
        check_integer(f"{who}: output_size", output_size, 1)
        scale = as_number(f"{who}: weight_init_std", weight_init_std, 0)
        places = (height + 2 * pad - side) / stride + 1
        if height != width or places < 2 or places % 2:
            raise ValueError(
                f"{who}: filters of {side} x {side}, stride {stride}, pad {pad} have {places:g} places along an "
                f"image of {height} x {width}, expected square images and an even number of places"
            )
        pooled = filters * (int(places) // 2) ** 2
        self.params: dict[str, Array] = {}
        shapes = ((filters, channels, side, side), (pooled, hidden_size), (hidden_size, output_size))
        for i, shape in enumerate(shapes, start=1):
            self.params[f"W{i}"] = scale * np.random.randn(*shape)
            self.params[f"b{i}"] = np.zeros(shape[0] if i == 1 else shape[1])
        W1, b1, W2, b2, W3, b3 = self.params.values()
        self.layers: OrderedDict[str, Any] = OrderedDict()
        self.layers["Conv1"] = Convolution(W1, b1, stride, pad)
        self.layers["Relu1"] = Relu()
        self.layers["Pool1"] = Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers["Affine1"] = Affine(W2, b2)
        self.layers["Relu2"] = Relu()
        self.layers["Affine2"] = Affine(W3, b3)
        self.last_layer = SoftmaxWithLoss()

    def __repr__(self) -> str:
        return shown(self, ("layers", "last_layer"))

    def accuracy(self, x: Any, t: Any, batch_size: int = 100) -> float:
        """Return the fraction of samples whose largest score is at their label; t indices or one-hot.

        As in the book, what is left after whole batches counts as wrong.

        Raises
        ------
        ValueError
            There are no samples, not as many labels as samples, or batch_size is not a positive integer.
        IndexError
            A label is not a class of the model.
        """
        x = as_array(x, "accuracy: x")
        if x.ndim == 0 or not len(x):
            raise ValueError("accuracy: there are no samples, so it is undefined")
        size = check_integer("accuracy: batch_size", batch_size, 1)
        labels = class_indices("accuracy: t", t, self.params["b3"].size, rows=len(x))
        right = 0
        for i in range(len(x) // size):
            batch = slice(i * size, (i + 1) * size)
            right += int(np.sum(to_cpu(self.predict(x[batch])).argmax(axis=1) == labels[batch]))
        return right / len(x)

    def gradient(self, x: Any, t: Any) -> dict[str, Array]:
        """Return the gradients by backpropagation, by the parameters' names."""
        self._backpropagate(x, t)
        grads = {}
        for i, name in enumerate(_WEIGHTED, start=1):
            grads[f"W{i}"], grads[f"b{i}"] = self.layers[name].dW, self.layers[name].db
        return grads

    def save_params(self, file_name: str | os.PathLike[str] = "params.pkl") -> None:
        """Write the parameters to a file, a pickled dictionary of arrays.

        The file appears under its name only once it is complete.

        Raises
        ------
        ValueError
            The name is not a file name.
        OSError
            The file cannot be written.
        """
        arrays = {name: to_side(array, to_gpu=False) for name, array in self.params.items()}
        with whole_file(as_path("save_params", file_name)) as file:
            pickle.dump(arrays, file)

    def load_params(self, file_name: str | os.PathLike[str] = "params.pkl") -> None:
        """Read the parameters from a file that `save_params`, or the book's code, wrote; nothing in it is run.

        Raises
        ------
        OSError
            The file does not exist, or is not a regular file.
        ValueError
            It is not a dictionary of arrays of the parameters' names and shapes. The model is then unchanged.
        """
        stored = load_pickle(as_path("load_params", file_name))
        own = {name: array.shape for name, array in self.params.items()}
        is_ours = isinstance(stored, dict) and all(
            isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in stored.values()
        )
        if not is_ours or {name: a.shape for name, a in stored.items()} != own:
            raise ValueError(f"load_params: {file_name} does not contain the arrays {own}")
        on_gpu = is_on_gpu(self.params["W1"])
        self.params.update({name: to_side(a, to_gpu=on_gpu) for name, a in stored.items()})
        for i, name in enumerate(_WEIGHTED, start=1):
            self.layers[name].W, self.layers[name].b = self.params[f"W{i}"], self.params[f"b{i}"]
