"""What the two estimators of `estimators.py` share: validation, the first weights, fits and predictions."""

from __future__ import annotations

import copy
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._arrays import Array, is_carray, to_side, zeros_in_one_buffer
from ._mlp_engine import Dropped, Network, is_sparse
from ._mlp_epochs import begin, fit_by_epochs
from ._mlp_lbfgs import fit_by_lbfgs
from ._mlp_losses import activated
from ._mlp_parameters import check_known
from ._mlp_predict import scores
from .layers import BatchNormalization

__all__ = ["MultilayerPerceptron"]


def _has_partial_fit(estimator: Any) -> bool:
    if estimator.solver not in ("sgd", "adam"):
        raise AttributeError(f"partial_fit is only available for solver 'sgd' or 'adam', not {estimator.solver!r}")
    return True


class MultilayerPerceptron(BaseEstimator):  # type: ignore[misc]
    """Base of both estimators; each validates, encodes and decodes its own targets."""

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit the network to samples X and targets y.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (N, D)
            Samples. float32 is trained in float32, all else in float64.
        y : array-like, shape (N,) or (N, outputs)
            Class labels, or numbers.
        sample_weight : array-like, shape (N,), optional
            Weights of the samples.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(_has_partial_fit)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch on the given samples; parameters as those of `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Any:
        check_known(self)
        hidden = self._hidden_sizes()
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y, weights = self._validated(X, y, incremental=incremental, reset=is_first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            weights = sample_weight if weights is None else sample_weight * weights
        if weights is not None and not weights.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        y = y.reshape(len(y), -1)
        if not is_first:
            self._check_same_network(y.shape[1])
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        if is_first:
            self._initialize([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        X = X.tocsr() if is_sparse(X) else X
        if self.solver == "lbfgs":
            fit_by_lbfgs(self, X, y, weights)
        else:
            fit_by_epochs(self, X, y, weights, incremental=incremental)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need "
                "to be preprocessed."
            )
        return self

    def _check_same_network(self, outputs: int) -> None:
        """Raise ValueError if a fit that goes on would need another network."""
        has = hasattr(self, "normalizations_")
        if bool(self.batch_norm) != has:
            raise ValueError(f"batch_norm is {self.batch_norm}, but the network that is trained on has {has}")
        own = len(self.intercepts_[-1])
        if outputs != own:
            raise ValueError(f"y has {outputs} outputs, but the network that is trained on has {own}")

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _validated(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Array, Array | None]:
        """Return checked samples, encoded targets, and weights that belong to the targets, or None."""
        raise NotImplementedError

    def _output_activation(self) -> str:
        raise NotImplementedError

    def _initialize(self, sizes: list[int], dtype: Any) -> None:
        """Draw the first weights and biases, as Glorot and Bengio (2010) do, in scikit-learn's order."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._output_activation()
        arrays = zeros_in_one_buffer([shape for D, M in pairwise(sizes) for shape in ((D, M), (M,))], dtype)
        for array, (D, M) in zip(arrays, [pair for pair in pairwise(sizes) for _ in range(2)], strict=True):
            bound = sqrt((2.0 if self.activation == "logistic" else 6.0) / (D + M))
            array[...] = self._random_state.uniform(-bound, bound, array.shape)
        self.coefs_, self.intercepts_ = arrays[::2], arrays[1::2]
        self.__dict__.pop("normalizations_", None)
        if self.batch_norm:
            ones = [np.ones(size, dtype) for size in sizes[1:-1]]
            self.normalizations_ = [BatchNormalization(one, np.zeros_like(one)) for one in ones]
        self._keep_best()
        if self.solver != "lbfgs":
            begin(self)

    def _keep_best(self) -> None:
        """Copy the weights, to be put back by `_restore_best`."""
        self._best_coefs = [W.copy() for W in self.coefs_]
        self._best_intercepts = [b.copy() for b in self.intercepts_]
        self._best_normalizations = copy.deepcopy(getattr(self, "normalizations_", None))

    def _restore_best(self) -> None:
        self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts
        if self._best_normalizations is not None:
            self.normalizations_ = self._best_normalizations

    def _network(self, *, for_training: bool) -> Network:
        """Return the layers, over the estimator's own arrays where these can be trained in place."""
        arrays = [*self.coefs_, *self.intercepts_]
        dtype = np.result_type(*arrays)
        if for_training and not all(array.dtype == dtype and is_carray(array) for array in arrays):
            arrays = [np.array(array, dtype, order="C") for array in arrays]
        normalizations = getattr(self, "normalizations_", ())
        network = Network(
            arrays[: len(arrays) // 2],
            arrays[len(arrays) // 2 :],
            self.activation,
            self.out_activation_,
            copy.deepcopy(normalizations) if self.device == "cuda" else normalizations,
            Dropped(self.dropout, self._random_state) if self.dropout else None,
        )
        if self.device == "cuda":
            network.to_gpu()
        return network

    def _take(self, network: Network) -> None:
        """Keep the arrays of a network that is being trained, on the CPU."""
        self.coefs_ = [to_side(layer.W, to_gpu=False) for layer in network.affine]
        self.intercepts_ = [to_side(layer.b, to_gpu=False) for layer in network.affine]
        for own, trained in zip(getattr(self, "normalizations_", ()), network.normalizations, strict=True):
            if own is not trained:
                for name in ("gamma", "beta", *own.buffers):
                    getattr(own, name)[...] = to_side(getattr(trained, name), to_gpu=False)

    def _scores(self, X: Any, *, check: bool = True) -> Array:
        """Return the last layer's scores for samples, [N,outputs]."""
        if check:
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        X = X.tocsr() if is_sparse(X) else X
        if self.dropout or hasattr(self, "normalizations_") or self.device == "cuda":
            return self._network(for_training=False).predict(X)
        dtype = np.result_type(X.dtype, self.coefs_[0].dtype)
        return scores(X, self.coefs_, self.intercepts_, self.activation, dtype)

    def _outputs(self, X: Any, *, check: bool = True) -> Array:
        """Return what the network makes of samples, [N,outputs]."""
        return activated(self._scores(X, check=check), self.out_activation_)

    def _validation_score(self, X: Any, targets: Array, weights: Array | None) -> float:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
