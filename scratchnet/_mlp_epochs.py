"""The epochs of a fit by "sgd" or "adam": their order, when they end, and what an estimator keeps of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ._arrays import Array
from ._mlp_engine import Data
from ._mlp_solvers import Solver, adam, sgd
from ._mlp_steps import make_engine
from ._orders import Orders
from ._progress import show_progress

__all__ = ["begin", "fit_by_epochs"]


def begin(estimator: Any) -> None:
    """Set what a first fit begins with."""
    early = estimator.early_stopping
    estimator.loss_curve_ = []
    estimator._no_improvement_count = 0
    estimator.validation_scores_ = [] if early else None
    estimator.best_validation_score_ = -np.inf if early else None
    estimator.best_loss_ = None if early else np.inf


def fit_by_epochs(estimator: Any, X: Any, y: Array, sample_weight: Array | None, *, incremental: bool) -> None:
    """Train an estimator on samples and encoded targets: until it stops, or for one epoch if `incremental`."""
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = sgd(estimator) if estimator.solver == "sgd" else adam(estimator)
    held_out = None
    if estimator.early_stopping:
        X, y, sample_weight, held_out = _split(estimator, X, y, sample_weight)
    batch_size = _batch_size(estimator, X.shape[0])
    network = estimator._network(for_training=True)
    data = Data(X, y, sample_weight)
    engine = make_engine(network, data, estimator.alpha, batch_size, estimator._optimizer.optimizer)
    epochs = _Epochs(estimator, engine, X.shape[0], held_out)
    try:
        with show_progress(estimator.progress, 1 if incremental else estimator.max_iter) as bar:
            epochs.run(bar, only_one=incremental)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    finally:
        estimator._take(network)
        if estimator.device == "cuda":
            estimator._optimizer.to_cpu()
    if held_out is not None:
        estimator._restore_best()


def _batch_size(estimator: Any, rows: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5
        )
    return int(min(max(estimator.batch_size, 1), rows))


def _split(estimator: Any, X: Any, y: Array, sample_weight: Array | None) -> tuple[Any, Array, Any, Data]:
    """Return what to train on, and the rows that are held out to decide when to stop."""
    is_by_class = is_classifier(estimator) and estimator.n_outputs_ == 1
    arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
    parts = train_test_split(
        *arrays,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=y if is_by_class else None,
    )
    if parts[1].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    weights = parts[4:] or (None, None)
    if any(part is not None and not part.any() for part in weights):
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return parts[0], parts[2], weights[0], Data(parts[1], parts[3], weights[1])


class _Epochs:
    """Runs epochs and decides after each whether it was the last."""

    def __init__(self, estimator: Any, engine: Any, rows: int, held_out: Data | None) -> None:
        self._estimator, self._engine, self._rows, self._held_out = estimator, engine, rows, held_out
        callbacks = estimator.callbacks
        self._callbacks = [callbacks] if callable(callbacks) else list(callbacks or ())
        if not all(callable(c) and not isinstance(c, type) for c in self._callbacks):
            raise ValueError(f"callbacks must be a function or a list of functions, got {callbacks!r}")

    def run(self, bar: Any, *, only_one: bool) -> None:
        """Train; `only_one` epoch, or as long as the estimator's parameters want."""
        estimator, rows, train = self._estimator, self._rows, self._engine.train_epoch
        solver, is_shown = estimator._optimizer, estimator.verbose or estimator.progress
        orders = Orders(estimator._random_state.permutation, rows)
        estimator.n_iter_ = 0
        for n in range(1, estimator.max_iter + 1):  # an epoch of a small network takes 20 µs
            estimator.loss_ = loss = train(orders.draw(1, rows) if estimator.shuffle else orders.order)
            estimator.n_iter_ = n
            estimator.t_ += rows
            estimator.loss_curve_.append(loss)
            if is_shown:
                self._report(bar)
            if self._improves(loss) if self._held_out is None else self._improves_on(self._held_out, bar):
                estimator._no_improvement_count = 0
            else:
                estimator._no_improvement_count += 1
            solver.end_epoch(estimator.t_)
            if estimator._no_improvement_count > estimator.n_iter_no_change and self._is_last(solver, bar):
                return
            if (self._callbacks and self._call_back()) or only_one:
                return
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=5,
        )

    def _report(self, bar: Any) -> None:
        estimator = self._estimator
        if estimator.progress:
            bar.write(f"| iteration {estimator.n_iter_} | loss {estimator.loss_:.6f}")
            bar.update(1)
        else:
            bar.write(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")

    def _call_back(self) -> bool:
        """Call the callbacks; return whether one of them wants to stop."""
        self._estimator._take(self._engine.network)
        return True in [callback(self._estimator) for callback in self._callbacks]

    def _is_last(self, solver: Solver, bar: Any) -> bool:
        estimator = self._estimator
        stops = not solver.lower()
        if estimator.verbose and not estimator.progress:
            what = "Training loss" if self._held_out is None else "Validation score"
            then = "Stopping." if stops else f"Setting learning rate to {solver.learning_rate:f}"
            if stops and solver.schedule == "adaptive":
                then = "Learning rate too small. Stopping."
            bar.write(
                f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
                f"consecutive epochs. {then}"
            )
        if not stops:
            estimator._no_improvement_count = 0
        return stops

    def _improves(self, loss: float) -> bool:
        """Return whether an epoch's loss is better than the best so far by tol; note it if it is the best."""
        estimator = self._estimator
        best = estimator.best_loss_
        if loss < best:
            estimator.best_loss_ = loss
        return not loss > best - estimator.tol

    def _improves_on(self, held_out: Data, bar: Any) -> bool:
        """Return whether the score of the rows held out is better by tol, and keep the weights of the best one."""
        estimator = self._estimator
        estimator._take(self._engine.network)
        score = estimator._validation_score(held_out.X, held_out.targets, held_out.weights)
        estimator.validation_scores_.append(score)
        if estimator.verbose and not estimator.progress:
            bar.write(f"Validation score: {score:f}")
        best = estimator.best_validation_score_
        if score > best:
            estimator.best_validation_score_ = score
            estimator._keep_best()
        return not score < best + estimator.tol
