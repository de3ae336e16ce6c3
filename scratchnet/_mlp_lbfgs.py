"""The solver "lbfgs" of scikit-learn's perceptrons: SciPy's L-BFGS-B over all weights and biases at once."""

from __future__ import annotations

import warnings
from itertools import chain, pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ._arrays import Array, zeros_in_one_buffer
from ._mlp_engine import Data
from ._mlp_parameters import OWN
from ._mlp_steps import gradients_of
from .plan import coalesce

__all__ = ["fit_by_lbfgs"]


def fit_by_lbfgs(estimator: Any, X: Any, y: Array, sample_weight: Array | None) -> None:
    """Train an estimator on samples and encoded targets. The weights become float64, SciPy's dtype."""
    for name, default in OWN.items():
        if getattr(estimator, name) != default:
            raise ValueError(f"{name} is for solver='sgd' or 'adam', not for 'lbfgs'; leave it at {default!r}")
    sizes = [estimator.n_features_in_, *(len(b) for b in estimator.intercepts_)]
    arrays = zeros_in_one_buffer([shape for D, M in pairwise(sizes) for shape in ((D, M), (M,))], np.dtype(float))
    for array, first in zip(
        arrays, chain(*zip(estimator.coefs_, estimator.intercepts_, strict=True)), strict=True
    ):
        array[...] = first
    estimator.coefs_, estimator.intercepts_ = arrays[::2], arrays[1::2]
    network = estimator._network(for_training=True)
    gradients = gradients_of(network, Data(X, y, sample_weight), estimator.alpha)
    ((packed, packed_gradient, _),) = coalesce(network.params, network.grads, [])

    def loss_and_gradient(point: Array) -> tuple[float, Array]:
        packed[...] = point
        return gradients(), packed_gradient.copy()

    iterations = 0

    def report(intermediate_result: Any) -> None:
        nonlocal iterations
        iterations += 1
        print(f"Iteration {iterations}, loss = {intermediate_result.fun:.8f}")

    result = minimize(
        loss_and_gradient,
        packed.copy(),
        method="L-BFGS-B",
        jac=True,
        callback=report if estimator.verbose else None,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
    )
    packed[...] = result.x
    estimator.loss_ = result.fun
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    if result.status != 0:
        warnings.warn(
            f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}):\n"
            f"{result.message}\n\nIncrease the number of iterations (max_iter) or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
