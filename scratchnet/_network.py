"""What scratchnet's networks share: a chain of layers ending in a loss, its parameters in lists.

Source: *Deep Learning from Scratch* 2, ch. 1.4; 1, ch. 4.5, 5.7 and 6.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ._architecture import describe
from ._arrays import (
    Array,
    as_array,
    as_labels,
    as_operand,
    as_real_array,
    as_scalar,
    check_labels,
    described,
    is_on_gpu,
    uploaded,
)
from ._devices import move
from ._links import Linked
from ._parts import has_argument, takes_train_flg
from ._shown import shown
from .backends import backend_for
from .layers import Affine, IdentityWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from .loss_layers import whole
from .util import accuracy, class_indices, row_blocks, to_cpu
from .weights import load_params, save_params

if TYPE_CHECKING:
    from pathlib import Path


class Network(Linked):
    """A chain of layers ending in a loss: the base of scratchnet's networks.

    Attributes
    ----------
    layers : list
        The layers that make the scores.
    loss_layer
        The layer that makes the loss.
    params, grads : list of ndarray
        [W1, b1, W2, b2, ...] and their gradients, changed in place by training.
    weight_decay : float
        0.5 weight_decay sum of W^2 is added to the loss, for all weight matrices and filters. It may be set at any
        time; ValueError unless it is a finite, non-negative number.

    Notes
    -----
    A class decorated with `as_written` computes exactly its `step_chain`, so that whole steps can be compiled
    (`plan.py`); a subclass may compute something else.
    """

    layers: list[Any]
    loss_layer: Any
    params: list[Array]
    grads: list[Array]
    _weight_decay: float = 0.0
    _shown: ClassVar[tuple[str, ...]] = ("layers", "loss_layer")

    @property
    def weight_decay(self) -> float:
        """0.5 weight_decay sum of W^2 is added to the loss."""
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, decay: Any) -> None:
        try:
            number = as_scalar("weight_decay", decay)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):  # a NaN is not
            raise ValueError(f"weight_decay must be a finite, non-negative number, got {described(decay)}")
        self._weight_decay = number

    def step_chain(self) -> list[Any]:
        """Return the layers that forward calls, in order, ending with the loss."""
        return [*self.layers, self.loss_layer]

    def __repr__(self) -> str:
        return shown(self, (*self._shown, *(("weight_decay",) if self.weight_decay else ())))

    def _scores(self, x: Any, train_flg: bool) -> Any:
        x = self._beside_params(x)
        for layer in self.layers:
            x = layer.forward(x, train_flg) if takes_train_flg(layer) else layer.forward(x)
        return x

    def _beside_params(self, x: Any) -> Any:
        """Return samples on the GPU if the model is there."""
        on_gpu = self.params and is_on_gpu(self.params[0])
        return uploaded(f"{type(self).__name__}: x", x) if on_gpu else x

    def _rows_at_once(self, x: Array) -> int:
        """Return how many samples predict processes at a time."""
        raise NotImplementedError

    def predict(self, x: Any) -> Array:
        """Return the scores of the samples x (N, ...), one row for each.

        Dropout and batch normalization work as after training. Large inputs are processed in blocks: this takes
        the memory of the output and a few MB. The scores of a model on the GPU are a CuPy array; x may be on
        either device.
        """
        x = as_array(x, "predict: x")
        size = self._rows_at_once(x) if x.ndim > 1 and len(x) else 1
        if x.ndim < 2 or len(x) <= size:
            scores: Array = self._scores(x, False)
            return scores
        out: Array | None = None
        for block in row_blocks(len(x), size):
            part = self._scores(x[block], False)
            if out is None:
                out = np.empty_like(part, shape=(len(x), *part.shape[1:]))
            out[block] = part
        assert out is not None
        return out

    def forward(self, x: Any, t: Any, train_flg: bool = True, sample_weight: Any = None) -> float:
        """Return the loss of the samples x against the labels or targets t, as the loss layer takes them.

        `train_flg` is for dropout and batch normalization, which work as in training or as after it. With
        `sample_weight`, one for each sample, the loss is the mean by these, to which weight decay is added.
        """
        # A subclass that changes the scores does so in `predict`, as in the books.
        scores = self._scores(x, train_flg) if type(self).predict is Network.predict else self.predict(x)
        if sample_weight is None:
            loss: float = self.loss_layer.forward(scores, t)
        elif has_argument(self.loss_layer.forward, "sample_weight"):
            loss = self.loss_layer.forward(scores, t, sample_weight=sample_weight)
        else:
            raise ValueError(f"forward: {type(self.loss_layer).__name__} takes no sample_weight")
        return loss + self._penalty() if self.weight_decay else loss

    def loss(self, x: Any, t: Any) -> float:
        """Return forward(x, t), by book 1's name."""
        return self.forward(x, t)

    def backward(self, dout: Any = 1) -> Any:
        """Write the gradients of the last forward's loss into `grads`; return the gradient of its input."""
        dx = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        if self.weight_decay:
            for i in self.decayed():
                dW = as_operand("dW", self.grads[i], self.grads[i])
                W = as_operand("W", self.params[i], dW)
                backend_for(dW).sgd_update(dW, W, -self.weight_decay * float(dout))  # dW += weight_decay W
                if dW is not self.grads[i]:
                    self.grads[i][...] = dW
        return dx

    def decayed(self) -> list[int]:
        """Return which of `params` the weight decay is for: the layers' W."""
        weights = {id(getattr(layer, "W", None)) for layer in self.layers}
        return [i for i, p in enumerate(self.params) if id(p) in weights]

    def _penalty(self) -> Any:
        squares: Any = 0.0
        for i in self.decayed():  # not sum(), which since Python 3.12 rounds differently
            W = as_operand("W", self.params[i], self.params[i])
            squares = squares + backend_for(W).squared_norm(W)
        return 0.5 * self.weight_decay * squares

    def gradient(self, x: Any, t: Any) -> list[Array]:
        """Return `grads` after forward(x, t) and backward()."""
        self.forward(x, t)
        self.backward()
        return self.grads

    def accuracy(self, x: Any, t: Any) -> float:
        """Return the fraction of samples whose largest score is at their label.

        With SigmoidWithLoss: of samples whose labels, 0 or 1, are all on their scores' side of 0.

        Raises
        ------
        ValueError
            There are no samples, or the labels do not fit; or the loss is that of a regression, without classes.
        """
        if not getattr(self.loss_layer, "has_classes", True):
            raise ValueError(f"accuracy: {type(self.loss_layer).__name__} has targets, not classes")
        if isinstance(self.loss_layer, SigmoidWithLoss):
            scores = to_cpu(self.predict(x))
            if not len(scores):
                raise ValueError("accuracy: there are no samples, so it is undefined")
            labels = _binary("accuracy: t", to_cpu(as_array(t)), scores.size)
            return float(
                ((scores > 0) == (labels.reshape(scores.shape) == 1)).reshape(len(scores), -1).all(1).mean()
            )
        return accuracy(self, x, t)

    def prepare_labels(self, t: Any) -> Array:
        """Return the labels of a whole data set as a fit uses them, checked once for all steps.

        Indices (N,) or one-hot (N, C) become class indices (N,); those of SigmoidWithLoss integers, 0 or 1. The
        targets of IdentityWithLoss remain as they are. Where another loss, or a last layer that is not Affine,
        leaves open what they must be, so do all.
        """
        last: Any = self.layers[-1] if self.layers else None
        labels = as_array(t, "t")
        if type(last) is not Affine:
            return labels
        if labels.ndim == 0:
            raise ValueError(f"t: expected labels, one for each sample, got a scalar {labels.dtype.name}")
        outputs, kind, rows = last.W.shape[1], type(self.loss_layer), len(labels)
        if kind is SoftmaxWithLoss:
            return class_indices("t", labels, outputs)
        if kind is SigmoidWithLoss:
            return _binary("t", to_cpu(labels), rows * outputs).reshape(labels.shape)
        if kind is IdentityWithLoss and as_real_array("t", labels).shape != (rows, outputs):
            raise ValueError(f"t has shape {labels.shape}, expected ({rows}, {outputs}), a number for each output")
        return labels

    def architecture(self) -> dict[str, Any] | None:
        """Return what `models.load` needs to make the model again, for JSON; None if it is a class of your own."""
        return describe(self)

    def save_params(self, path: str | os.PathLike[str], dtype: Any = None) -> Path:
        """Write the parameters to an .npz or .safetensors file; see `weights.save_params`."""
        return save_params(self, path, dtype)

    def load_params(self, path: str | os.PathLike[str]) -> None:
        """Read the parameters from an .npz or .safetensors file; see `weights.load_params`."""
        load_params(self, path)

    @property
    def device(self) -> str:
        """Where the parameters are, "cpu" or "cuda"."""
        return "cuda" if any(map(is_on_gpu, self.params)) else "cpu"

    def to(self, device: str) -> Self:
        """Move the parameters, gradients and running statistics, and return the model itself.

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
        move(self, device)
        return self


def _binary(where: str, t: Array, count: int) -> Array:
    """Return `count` labels, each 0 or 1, as int64.

    Raises
    ------
    ValueError
        There are more or fewer, or they are not integers.
    IndexError
        One is neither 0 nor 1; names its position.
    """
    labels = as_labels(where, whole(t), count, 2, one_hot=False)
    check_labels(where, labels, 2)
    return labels
