"""Who runs the steps of a fit: the model's own code layer by layer, or whole steps in C or on the GPU.

An engine trains on rows of the data, batch after batch, and returns the losses of the steps that it made. When
somebody else's code has run, a callback's say, the Trainer asks whether the engine `is_current`, and takes a new
one if not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from ._arrays import Array, as_number, check_labels, is_on_gpu, moved
from ._proof import Twin, record, streams_put_back
from ._watching import FirstBackward
from .plan import NoPlanError, Plan, make_plan, pair_up
from .util import class_indices, clip_grads, flatten, layers_of, remove_duplicate, to_cpu


def engine_for(
    compile: bool | None,
    model: Any,
    optimizer: Any,
    x: Array,
    t: Array,
    batch_size: int,
    max_grad: float | None,
    *,
    is_new: bool,
    kept: Planned | None = None,
) -> Layers | Planned:
    """Return the engine that trains a model on the samples x and labels t.

    Parameters
    ----------
    compile
        As for the Trainer.
    is_new
        Whether the model has not been trained in this fit: its first step shows what backward writes.
    kept
        The engine of a fit before, which serves again if all is as it was but for the data.

    Raises
    ------
    NoPlanError
        compile is True, and the model cannot be compiled.
    """
    arguments = (model, optimizer, x, t, batch_size, max_grad)
    if compile is not False:
        try:
            if kept is not None and kept.serves_again(*arguments):
                return kept
            return Planned(make_plan(*arguments), batch_size)
        except NoPlanError:
            pass
    if compile:
        return Proved(*arguments)
    return (LayersOnGPU if is_on_gpu(x) else Layers)(*arguments, is_new=is_new)


class Layers:
    """Trains layer by layer: the model's own forward and backward, then the optimizer."""

    name = "layers"

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        x: Array,
        t: Array,
        batch_size: int,
        max_grad: float | None,
        *,
        is_new: bool = False,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.x, self.t = x, t
        self.batch_size, self.max_grad = batch_size, max_grad
        self._flat = _lists_of_lists(model.params)
        self._shared = _has_shared(model.params)
        self._is_new = is_new

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether nothing has to be looked at anew: parameters may be shared now that were not before."""
        return False

    def kept(self) -> Planned | None:
        """Return what is worth keeping for the next fit."""
        return None

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of so many steps are worth one call of train."""
        return 1

    def train(self, rows: Array) -> list[float]:
        """Make one step on the first batch of the rows; return its loss in a list."""
        return [self.step(rows[: self.batch_size])]

    def step(self, batch: Array) -> Any:
        """Make one step on the rows of a batch; return its loss."""
        first = FirstBackward("fit", self.model) if self._is_new else None
        loss = self._number(self.model.forward(self.x[batch], self.t[batch]))
        self.model.backward()
        if first is not None:
            first.check()
            self._is_new = False
        params, grads = self.model.params, self.model.grads
        if self._flat or self._shared:
            params, grads = flatten(params), flatten(grads)
        if self._shared:
            params, grads = remove_duplicate(params, grads)
        if self.max_grad is not None:
            clip_grads(grads, self.max_grad)
        self.optimizer.update(params, grads)
        return loss

    def _number(self, loss: Any) -> Any:
        """Return the loss as a number, or raise before anything is updated."""
        return as_number("fit: the model's loss", loss)


class LayersOnGPU(Layers):
    """Trains layer by layer on the GPU; losses stay there for some steps, so that nothing waits for them."""

    name = "cuda-layers"
    STEPS = 20  # what the GPU may be behind when Ctrl-C comes

    def __init__(self, *arguments: Any, is_new: bool = False) -> None:
        super().__init__(*arguments, is_new=is_new)
        self._are_labels_checked = False

    def train(self, rows: Array) -> list[float]:
        """Make some steps on the batches of the rows; return their losses."""
        batches = moved(rows[: self.STEPS * self.batch_size], to_gpu=True).reshape(-1, self.batch_size)
        losses = [self.step(batch) for batch in batches]
        return [float(loss) for loss in losses]

    def _number(self, loss: Any) -> Any:
        """Return the loss as it is; the first one shows how many classes there are, so that labels are checked."""
        if not self._are_labels_checked:
            self._are_labels_checked = True
            for layer in layers_of(self.model):
                y: Any = getattr(layer, "y", None)
                t: Any = getattr(layer, "t", None)
                if is_on_gpu(y) and is_on_gpu(t) and self.t.ndim == t.ndim == 1 and self.t.dtype.kind in "iu":
                    check_labels("t", to_cpu(self.t), y.shape[-1])
        return loss


class Planned:
    """Trains by a plan: many steps in one call, but never for longer than signals can wait."""

    PATIENCE = 0.05  # seconds
    MOST_KEPT = 1 << 20  # bytes of activations, between two fits
    MOST_ROWS = 1 << 14  # drawn ahead, where an epoch has fewer: their numbers stay in the cache

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self.name = "cuda-plan" if plan.is_on_gpu else "plan"
        self.plan = plan
        self.batch_size = batch_size
        self._steps = 1  # that one call may make
        self._is_free = False

    def __reduce__(self) -> Any:
        return _nothing, ()  # a copied or unpickled Trainer makes its own

    def kept(self) -> Planned | None:
        """Return itself without the data, if that is worth keeping for the next fit of the same Trainer."""
        if self.plan.is_on_gpu or self.plan.nbytes > self.MOST_KEPT:
            return None
        self.plan.forget_data()
        self._is_free = True
        return self

    def serves_again(self, *arguments: Any) -> bool:
        """Whether it serves another fit, of which these are what a plan is made of: from now on it does."""
        is_free, self._is_free = self._is_free, False  # one fit at a time: a copy of the Trainer may have it too
        return is_free and self.plan.set_data(*arguments)

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether the plan trains what the model's own code would, after somebody else's code has run."""
        return self.plan.is_current(model, optimizer)

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of so many steps are worth one call of train."""
        return max(1, min(self._steps // steps, self.MOST_ROWS // (steps * self.batch_size)))

    def train(self, rows: Array) -> list[float]:
        """Make as many steps as patience allows on the batches of the rows; return their losses."""
        start = time.perf_counter()
        losses = self.plan.run(rows[: self._steps * self.batch_size])
        seconds = time.perf_counter() - start
        made = len(losses)
        most = max(self._steps, 4 * made)  # not beyond what was shown: a call may have had few rows
        self._steps = max(1, min(int(made * self.PATIENCE / (seconds + 1e-9)), most))
        return losses


class Proved(Planned):
    """Trains a reader's own model by a plan, and proves again and again that its own code would do the same.

    Proved are a step on rows from all over the data before the first one, steps 2, 3 and 5, the last of every
    epoch, and one after somebody else's code has run.

    Raises
    ------
    NoPlanError
        Names the layer that has no place in a plan, or the difference that the proof found. From `train`, too: the
        model is then as it was before the step.
    """

    EARLY = (1, 2, 4)  # steps made before

    def __init__(
        self, model: Any, optimizer: Any, x: Array, t: Array, batch_size: int, max_grad: float | None
    ) -> None:
        spread = np.arange(batch_size) * len(x) // batch_size  # data often are in the order of their classes
        beside = moved(spread, to_gpu=is_on_gpu(x))
        chain = record(model, x[beside], t[beside])
        classes = pair_up(chain)[-1][0].shape[1]
        labels = class_indices("t", t, classes)
        if labels is t:
            labels = t.copy()  # checked once: a callback may change the caller's
        self._labels, self._classes = labels, classes
        super().__init__(Plan(lambda _: chain, model, optimizer, x, labels, batch_size, max_grad), batch_size)
        self._model, self._optimizer = model, optimizer
        self._arguments: tuple[Array, Array, int, float | None] = (x, t, batch_size, max_grad)
        self._steps_of_epoch = len(x) // batch_size
        self._made = 0  # steps
        self._batch = spread  # or the last that was trained
        self._twin = self._new_twin()
        with streams_put_back():
            self._proof(spread, keep=False)
            kept = self._twin.what_is_kept(spread)
        if kept is not None:
            raise NoPlanError(kept)

    def kept(self) -> Planned | None:
        """Return nothing: what a reader's own code does is proved in each fit."""
        return None

    def _new_twin(self) -> Twin:
        x, t, batch_size, max_grad = self._arguments

        def step_of(model: Any, optimizer: Any) -> Callable[[Array], Any]:
            layers = Layers(model, optimizer, x, t, batch_size, max_grad)
            return lambda batch: layers.step(moved(batch, to_gpu=is_on_gpu(x)))

        return Twin(self._model, self._optimizer, step_of, (x, t))

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether the plan trains what the model's own code would: proved on the batch that was trained last."""
        if not super().is_current(model, optimizer):
            return False
        try:
            if not np.array_equal(class_indices("t", self._arguments[1], self._classes), self._labels):
                return False
            self._twin = self._new_twin()
            with streams_put_back():
                self._proof(self._batch, keep=False)
        except Exception:  # whatever the model's own code raises it raises again layer by layer
            return False
        return True

    def train(self, rows: Array) -> list[float]:
        """Make steps on the batches of the rows up to the next that is to be proved, or that one."""
        last = self._made - self._made % self._steps_of_epoch + self._steps_of_epoch - 1  # of this epoch
        steps = min(due for due in (*self.EARLY, last) if due >= self._made) - self._made
        if steps:
            losses = super().train(rows[: steps * self.batch_size])
        else:  # to put streams back takes longer than a step; a model that draws from them has been refused early
            with streams_put_back() if self._made in self.EARLY else nullcontext():
                losses = self._proof(rows[: self.batch_size], keep=True)
        self._made += len(losses)
        self._batch = rows[(len(losses) - 1) * self.batch_size : len(losses) * self.batch_size]
        return losses

    def _proof(self, batch: Array, *, keep: bool) -> list[float]:
        """Make a step by the plan, and on the twin as the model's own code does; say if they are not the same."""
        self._twin.make_step(batch)
        before = [array.copy() for array in self.plan.arrays]
        losses = self.plan.run(batch)
        difference = self._twin.what_differs(losses[0])
        if difference is not None or not keep:
            for array, kept in zip(self.plan.arrays, before, strict=True):
                array[...] = kept
            self._optimizer.count_steps(-1)
        if difference is not None:
            raise NoPlanError(difference)
        return losses


def _nothing() -> None:
    return None


def _lists_of_lists(params: Any) -> bool:
    """Whether there is a list for every layer; one list of the arrays is then what any optimizer can take."""
    nested = any(isinstance(entry, list | tuple) for entry in params)
    return nested and all(isinstance(p, np.ndarray) or is_on_gpu(p) for p in flatten(params))


def _has_shared(params: Any) -> bool:
    arrays = flatten(params)
    return len(remove_duplicate(arrays, [0] * len(arrays))[0]) < len(arrays)
