"""What book 1's networks share: layers by name, parameters and gradients in dictionaries."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Self

from .._arrays import Array
from .._devices import move
from .._links import Linked
from .gradient import numerical_gradient


class DictionaryNet(Linked):
    """A chain of layers ending in a loss.

    Attributes
    ----------
    params : dict of str to ndarray
        The parameters; the layers hold the same arrays.
    layers : OrderedDict
        The layers that make the scores.
    last_layer
        The loss.
    """

    params: dict[str, Array]
    layers: OrderedDict[str, Any]
    last_layer: Any

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu" or "cuda", as `scratchnet.models.Network.to`; return the network itself."""
        move(self, device)
        return self

    def decay(self) -> float:
        """Return the weight of the penalty 0.5 sum of W^2 in the loss."""
        return 0.0

    def predict(self, x: Any) -> Array:
        """Return the scores of x, one row for each sample."""
        for layer in self.layers.values():
            x = layer.forward(x)
        scores: Array = x
        return scores

    def loss(self, x: Any, t: Any) -> float:
        """Return the mean loss of x against the labels t."""
        loss: float = self.last_layer.forward(self.predict(x), t)
        return loss

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Array]:
        """Return the gradients by central differences: slow, but independent of backpropagation."""

        def loss(_: Array) -> float:
            return self._training_loss(x, t)

        return {name: numerical_gradient(loss, self.params[name]) for name in self._names()}

    def _names(self) -> list[str]:
        """Return the names of the gradients in the book's order, layer by layer; its scripts print them so."""
        return list(self.params)

    def _training_loss(self, x: Any, t: Any) -> float:
        return self.loss(x, t)

    def _backpropagate(self, x: Any, t: Any) -> None:
        """Compute the gradients of all layers."""
        self._training_loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
