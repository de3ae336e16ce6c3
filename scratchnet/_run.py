"""A fit's data, as the model takes them, the engine that trains on them, and the validation after an epoch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, is_on_gpu, to_side
from ._engines import Layers, Planned
from ._parts import flatten, has_argument, has_classes, layers_of
from ._rank_fit import Batches, Shared, choose_shared, cut
from ._ranks import in_order
from ._training import check_trainable
from .loss_layers import as_weights
from .plan import Job, NoPlanError
from .util import accuracy, row_blocks


class FitRun:
    """A fit's data, as the model takes them, and the engine that trains on them.

    Parameters
    ----------
    trainer
        Its model and optimizer are trained.
    x, t, validation, max_grad, metric, sample_weight
        The arguments of fit. They are checked here; the model has predicted a sample of the validation data then.
    batches
        The batches of an epoch.
    """

    engine: Layers | Planned | Shared  # from `start` on

    def __init__(
        self,
        trainer: Any,
        x: Array,
        t: Array,
        validation: tuple[Any, Any] | None,
        batches: Batches,
        max_grad: float | None,
        metric: Callable[[Any, Any, Any], Any] | None,
        sample_weight: Any,
    ) -> None:
        self._trainer, self._metric, self._ranks = trainer, metric, trainer._ranks
        self._weights, self._batches = _checked_weights(trainer.model, sample_weight, len(x)), batches
        if self._weights is not None:
            count = float(np.count_nonzero(self._weights))
            if batches.is_sharded:
                count = self._ranks.meet("begins a fit", count)[:, 0].sum()
            if not count:
                raise ValueError("fit: sample_weight is 0 for every sample, so that nothing would be learned")
        self._given = x, t, None if validation is None else _checked_validation(*validation)
        self.is_validated = validation is not None
        self._max_grad = max_grad
        self._scores: tuple[int, ...] = ()  # shape of a sample's
        self._labels = _labels_for(trainer.model, t)
        if self._given[2] is not None:  # what does not fit is refused now
            self._scores = self._scores_of_one(self._given[2][0])
            _labels_for(trainer.model, self._given[2][1], "fit: validation's ")

    def _scores_of_one(self, samples: Array) -> tuple[int, ...]:
        """Return the shape of a sample's scores; errors of samples unlike those of x name the validation data."""
        model, expected = self._trainer.model, self._given[0].shape
        try:
            return np.shape(model.predict(to_side(samples[:1], to_gpu=_is_on_gpu(model))))
        except ValueError as error:
            if samples.shape[1:] == expected[1:]:
                raise
            each = ", ".join(map(str, ("N", *expected[1:]))) + "," * (len(expected) == 1)
            raise ValueError(
                f"fit: validation's x has shape {samples.shape}, expected ({each}), samples like those of x, of "
                f"shape {expected}: {error}"
            ) from error

    def start(self) -> None:
        """Choose the engine."""
        trainer = self._trainer
        self._arrange()
        kept, trainer._kept = trainer._kept, None  # a fit in a callback creates its own
        try:
            self.engine = self._engine(trainer._compile, is_new=True, kept=kept)
        except NoPlanError as error:
            raise ValueError(f"fit: compile=True, but {error}") from None
        trainer.engine = self.engine.name

    def _engine(self, compile: bool | None, **which: Any) -> Layers | Planned | Shared:
        return choose_shared(self._ranks, self._batches, compile, self._job, **which)

    def _arrange(self) -> None:
        """Arrange the data as the model takes them, on the side of its parameters."""
        model, optimizer = self._trainer.model, self._trainer.optimizer
        x, _, validation = self._given
        on_gpu = _is_on_gpu(model)
        x, t = to_side(x, to_gpu=on_gpu), to_side(self._labels, to_gpu=on_gpu)
        weights = None if self._weights is None else to_side(self._weights, to_gpu=on_gpu)
        batches = self._batches
        self._job = Job(model, optimizer, x, t, batches.size, self._max_grad, weights, batches.used)
        if validation is not None:
            samples, labels = validation[0], _labels_for(model, validation[1], "fit: validation's ")
            self._has_classes = _has_classes(model, self._scores, labels)
            self._validation = to_side(samples, to_gpu=on_gpu), to_side(labels, to_gpu=on_gpu)

    def train(self, rows: Array, log: Any, interrupted: Callable[[], None]) -> None:
        """Train on the rows, batch after batch; handle Ctrl-C between the engine's calls."""
        while len(rows):
            try:
                losses = self.engine.train(rows)
            except NoPlanError as difference:
                raise RuntimeError(f"fit: compile=True, but in {log.place} {difference}") from None
            sizes = self._job.batches(len(rows), len(losses))
            log.add(losses, self._given[0], rows, sizes)
            rows = rows[sum(sizes) :]
            if len(rows):
                interrupted()

    def look_again(self) -> None:
        """Take up changes to trainer, model and data after a callback has run."""
        trainer = self._trainer
        check_trainable("fit", trainer.model, trainer.optimizer)
        before, self._labels = self._labels, _labels_for(trainer.model, self._given[1])
        if not (self.engine.is_current(trainer.model, trainer.optimizer) and _are_same(self._labels, before)):
            is_new = trainer.model is not self._job.model
            self._arrange()
            try:
                self.engine = self._engine(trainer._compile, is_new=is_new)
            except Exception:  # errors of a changed model's own code are raised layer by layer
                self.engine = self._engine(False, is_new=is_new)
        trainer.engine = self.engine.name  # a callback may have called fit

    def validate(self) -> dict[str, float]:
        """Return the validation data's loss and metric, and if there are classes both accuracies."""
        model, (x, t) = self._trainer.model, self._validation
        flags = {"train_flg": False} if has_argument(model.forward, "train_flg") else {}

        def mean_loss(x: Array, t: Array) -> float:
            total = 0.0
            for part in row_blocks(len(x), sum(self._batches.whole)):
                loss = as_number("fit: the model's loss", model.forward(x[part], t[part], **flags))
                total += loss * len(x[part])
            return total / len(x)

        found = {"val_loss": self._mean(mean_loss, x, t)}
        if self._has_classes:
            mean = partial(self._mean, partial(_accuracy_of, model))
            own = mean(self._job.x, self._job.t, is_own=self._batches.is_sharded)
            found = {"accuracy": own} | found | {"val_accuracy": mean(x, t)}
        if self._metric is not None:
            on_gpu = is_on_gpu(x)
            given = [to_side(array, to_gpu=on_gpu) for array in self._given[2] or ()]
            value = as_number("fit: the metric's result", self._metric(model, *given))
            several = self._ranks.size > 1  # rank 0's is everyone's
            found["val_metric"] = float(self._ranks.meet("validates", value)[0, 0]) if several else value
        return found

    def _mean(self, mean: Callable[[Array, Array], float], x: Array, t: Array, is_own: bool = False) -> float:
        """Return a mean over rows, to which each rank has a part: some of them, or all where they are its own."""
        ranks = self._ranks
        if ranks.size == 1:
            return mean(x, t)
        ends = np.cumsum([0, *cut(len(x), ranks.size)])
        part = slice(None) if is_own else slice(ends[ranks.rank], ends[ranks.rank + 1])
        rows = len(x[part])
        told = ranks.meet("validates", rows * mean(x[part], t[part]) if rows else 0.0, rows)
        return in_order(told[:, 0]) / in_order(told[:, 1])


def _labels_for(model: Any, t: Array, whose: str = "") -> Array:
    """Return checked labels in the form that the model uses in all steps; unchanged for a user's own model.

    `whose` is put before what an error says of t.
    """
    prepare = getattr(model, "prepare_labels", None)
    if prepare is None:
        return t
    try:
        labels = as_array(prepare(t))
    except (IndexError, ValueError) as error:
        if not whose:
            raise
        raise (IndexError if isinstance(error, IndexError) else ValueError)(f"{whose}{error}") from None
    return labels.copy() if labels is t else labels  # checked once: a callback may change the caller's


def _checked_validation(x: Any, t: Any) -> tuple[Array, Array]:
    x, t = as_array(x, "fit: validation's x"), as_array(t, "fit: validation's t")
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
        samples, labels = (len(a) if a.ndim else 0 for a in (x, t))
        raise ValueError(
            f"fit: validation has {samples} samples and {labels} labels, expected the same number of both, "
            "at least one"
        )
    return x, t


def _checked_weights(model: Any, sample_weight: Any, rows: int) -> Array | None:
    """Return a copy of the samples' weights as float64, or None."""
    if sample_weight is None:
        return None
    if not has_argument(model.forward, "sample_weight"):
        raise ValueError(
            f"fit: with sample_weight the model is called as forward(x, t, sample_weight=...), which "
            f"{type(model).__name__} does not accept"
        )
    given = to_side(as_array(sample_weight, "fit: sample_weight"), to_gpu=False)
    dtypes = [p.dtype for p in flatten(model.params) if getattr(p, "dtype", None) in (np.float32, np.float16)]
    like = np.empty(0, *dtypes[:1])  # the losses cast them to the dtype of the parameters
    return np.array(as_weights("fit: sample_weight", given, rows, like), np.float64)


def _are_same(labels: Array, before: Array) -> bool:
    """Whether labels are unchanged; on the GPU this is not checked, so as not to wait for it."""
    return labels is before or is_on_gpu(labels) or np.array_equal(labels, before)


def _has_classes(model: Any, scores: tuple[int, ...], t: Array) -> bool:
    """Whether labels are of classes, so that a share of them is right; a model may define its own accuracy."""
    if hasattr(model, "prepare_labels"):  # scratchnet's networks
        return has_classes(model, t)
    own = getattr(model, "accuracy", None)
    if own is not None and not str(getattr(own, "__module__", "")).startswith("scratchnet."):
        return True
    layers = layers_of(model)
    if not all(getattr(layer, "has_classes", True) for layer in layers):  # a loss of numbers
        return False
    if any(type(layer).__name__ == "SoftmaxWithLoss" for layer in layers):  # also a reader's own
        return True
    if len(scores) != 2 or scores[1] < 2:
        return False
    if t.ndim == 2 and t.shape[1] == scores[1]:  # one-hot, or numbers for each output
        return bool(((t == 0) | (t == 1)).all() and (t.sum(axis=1) == 1).all())
    return t.dtype.kind in "biu"


def _is_on_gpu(model: Any) -> bool:
    return any(map(is_on_gpu, flatten(model.params)))


def _accuracy_of(model: Any, x: Array, t: Array) -> float:
    return float(model.accuracy(x, t)) if hasattr(model, "accuracy") else accuracy(model, x, t)
