"""What a trained multilayer perceptron makes of samples: the kernels one after another, block of rows by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import Array, as_operand
from ._mlp_engine import blocks_of, is_sparse
from .backends import backend_for

__all__ = ["scores"]

_ACTIVATIONS = {"logistic": "sigmoid_forward", "tanh": "tanh_forward", "relu": "relu_forward"}


def scores(X: Any, weights: Sequence[Array], biases: Sequence[Array], activation: str, dtype: Any) -> Array:
    """Return the last layer's scores [N,M] for samples X [N,D], dense or sparse, computed in a dtype."""
    like: Array = np.empty(0, dtype)
    weights, biases = ([as_operand("a weight", a, like) for a in arrays] for arrays in (weights, biases))
    out: Array = np.empty((X.shape[0], weights[-1].shape[1]), dtype)
    kernels = backend_for(like)
    activate = getattr(kernels, _ACTIVATIONS[activation]) if activation in _ACTIVATIONS else None
    hidden: list[Array] = []  # outputs of the hidden layers, for a block
    for rows in blocks_of(X, weights):
        x, into = X[rows], out[rows]
        hidden = hidden or [np.empty((len(into), W.shape[1]), dtype) for W in weights[:-1]]
        for W, b, target in zip(weights, biases, [*(h[: len(into)] for h in hidden), into], strict=True):
            if is_sparse(x):
                target[...] = x @ W
                target += b
            else:
                kernels.affine_forward(as_operand("X", x, like), W, b, target)
            if target is not into and activate is not None:
                activate(target, target)
            x = target
    return out
