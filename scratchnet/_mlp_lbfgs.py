"""The solver "lbfgs" of scikit-learn's perceptrons: SciPy's L-BFGS-B over all weights and biases at once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ._arrays import Array
from ._mlp_engine import Data

__all__ = ["fit_by_lbfgs"]


def fit_by_lbfgs(estimator: Any, X: Any, y: Array, sample_weight: Array | None) -> None:
    """Train an estimator on samples and encoded targets. The weights become float64, SciPy's dtype."""
    if estimator.dropout or estimator.batch_norm or estimator.device != "cpu":
        raise ValueError("dropout, batch_norm and device='cuda' are for solver='sgd' or 'adam', got 'lbfgs'")
    shapes = [array.shape for array in (*estimator.coefs_, *estimator.intercepts_)]
    packed = np.concatenate(
        [array.ravel() for array in (*estimator.coefs_, *estimator.intercepts_)], dtype=np.float64
    )
    arrays = _unpacked(packed, shapes)
    estimator.coefs_, estimator.intercepts_ = arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]
    network = estimator._network(for_training=True)
    data = Data(X, y, sample_weight).like(network)

    def loss_and_gradient(point: Array) -> tuple[float, Array]:
        packed[...] = point
        loss = network.whole_loss_and_gradients(data, estimator.alpha)
        grads = [layer.grads[i] for i in (0, 1) for layer in network.affine]
        return loss, np.concatenate([g.ravel() for g in grads])

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


def _unpacked(packed: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Return views of the arrays that are packed one after another."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    starts = [0, *ends[:-1]]
    return [packed[a:b].reshape(shape) for a, b, shape in zip(starts, ends, shapes, strict=True)]
