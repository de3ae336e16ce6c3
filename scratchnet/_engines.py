"""The engines that run the steps of a fit: the model's own code layer by layer, or whole steps in C or on the GPU.

An engine trains on rows of the data, batch after batch, and returns the losses of its steps. After user code has
run, such as a callback, the Trainer asks whether the engine `is_current`, and creates a new one if not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from ._arrays import Array, as_number, check_labels, is_on_gpu, to_side
from ._as_written import unmodified_chain
from ._parts import flatten, layers_of, remove_duplicate
from ._proof import Twin, record, streams_put_back
from ._watching import FirstBackward
from .plan import Job, NoPlanError, Plan
from .util import class_indices, clip_grads, to_cpu

Gradients = tuple[Any, Any, Any]  # a loss, the parameters and their gradients


def choose_engine(
    compile: bool | None, job: Job, *, is_new: bool, kept: Planned | None = None
) -> Layers | Planned:
    """Return the engine that trains a job.

    Parameters
    ----------
    compile
        As for the Trainer.
    job
        The model, the optimizer and the data.
    is_new
        Whether the model has not been trained in this fit: its first step shows what backward writes.
    kept
        The engine of an earlier fit, which is reused if nothing but the data has changed.

    Raises
    ------
    NoPlanError
        compile is True, and the model cannot be compiled.
    """
    if compile is not False:
        try:
            return kept if kept is not None and kept.serves(job) else Planned(Plan(job), job.batch_size)
        except NoPlanError:
            pass
    if compile:
        return Proved(job)
    return (LayersOnGPU if is_on_gpu(job.x) else Layers)(job, is_new=is_new)


class TrainStep:
    """A training step by the model's own code: forward, backward, clip, update.

    Parameters
    ----------
    model, optimizer, max_grad
        As in a Job.
    checks
        Functions called once, after the first backward and before its update; what they raise ends the training.
    """

    def __init__(self, model: Any, optimizer: Any, max_grad: float | None, *checks: Callable[[], None]) -> None:
        self._model, self._optimizer, self._max_grad = model, optimizer, max_grad
        self._checks = checks
        arrays = flatten(model.params)
        self._are_shared = len(remove_duplicate(arrays, [0] * len(arrays))[0]) < len(arrays)
        # A list for every layer; any optimizer accepts one flat list of arrays.
        self._are_nested = any(isinstance(entry, list | tuple) for entry in model.params) and all(
            isinstance(p, np.ndarray) or is_on_gpu(p) for p in arrays
        )

    def __call__(self, x: Array, t: Array, weights: Array | None = None) -> Any:
        """Run a step on samples and labels; return the loss: a number, or on the GPU what forward returned."""
        loss, params, grads = self.gradients(x, t, weights)
        self.update(params, grads)
        return loss

    def gradients(self, x: Array, t: Array, weights: Array | None = None, dout: Any = None) -> Gradients:
        """Return the loss, the parameters, each once, and their gradients, of the loss times `dout`."""
        forward = self._model.forward
        loss = forward(x, t) if weights is None else forward(x, t, sample_weight=weights)
        if not is_on_gpu(loss):
            loss = as_number("fit: the model's loss", loss)
        self._model.backward(*(() if dout is None else (dout,)))
        if self._checks:
            for check in self._checks:
                check()
            self._checks = ()
        params, grads = self._model.params, self._model.grads
        if self._are_nested or self._are_shared:
            params, grads = flatten(params), flatten(grads)
        if self._are_shared:
            params, grads = remove_duplicate(params, grads)
        return loss, params, grads

    def update(self, params: Any, grads: Any) -> None:
        """Clip the gradients and update the parameters."""
        if self._max_grad is not None:
            clip_grads(grads, self._max_grad)
        self._optimizer.update(params, grads)


class Layers:
    """Trains layer by layer."""

    name = "layers"

    def __init__(self, job: Job, *, is_new: bool = False) -> None:
        self._job = job
        checks = self._first_checks()
        if is_new:
            checks.append(FirstBackward("fit", job.model).check)
        self._step = TrainStep(job.model, job.optimizer, job.max_grad, *checks)
        self._is_own = unmodified_chain(job.model) is not None  # whose backward takes a factor

    def _first_checks(self) -> list[Callable[[], None]]:
        return []

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether nothing needs to be re-examined: parameters may have become shared."""
        return False

    def kept(self) -> Planned | None:
        """Return what is worth keeping for the next fit."""
        return None

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of this many steps to train in one call of `train`."""
        return 1

    def train(self, rows: Array) -> list[float]:
        """Run one step on the first batch of the rows; return its loss in a list."""
        (size,) = self._job.batches(len(rows), 1)
        return [self._on(rows[:size])]

    def _on(self, batch: Array) -> Any:
        """Run a step on a batch of rows, which are on the data's side."""
        return self._step(*self._taken(batch))

    def _taken(self, batch: Array) -> tuple[Array, Array, Array | None]:
        x, t, weights = self._job.x, self._job.t, self._job.weights
        return x[batch], t[batch], None if weights is None else weights[batch]

    def factor(self, share: float) -> float:
        """Return what the gradients are of: the mean loss times this, the share if they can be of that."""
        return share if self._is_own else 1.0

    def gradients(self, batch: Array, start: int, total: int, share: float) -> Gradients:
        """Return what TrainStep.gradients does, of rows that a batch of `total` has from `start` on."""
        there = to_side(batch, to_gpu=is_on_gpu(self._job.x))
        return self._step.gradients(*self._taken(there), share if self._is_own else None)


class LayersOnGPU(Layers):
    """Trains layer by layer on the GPU; losses stay there for several steps, so that nothing waits for them."""

    name = "cuda-layers"
    STEPS = 20  # the most that the GPU may lag behind when Ctrl-C is pressed

    def train(self, rows: Array) -> list[float]:
        """Run several steps on the batches of the rows; return their losses."""
        ends = np.cumsum(self._job.batches(len(rows), self.STEPS)).tolist()
        there = to_side(rows[: ends[-1]], to_gpu=True)
        losses = [self._on(there[start:end]) for start, end in pairwise([0, *ends])]
        return [float(loss) for loss in losses]

    def _first_checks(self) -> list[Callable[[], None]]:
        return [self._check_labels]

    def _check_labels(self) -> None:
        """Check the labels: only after the first forward is it known how many classes there are."""
        labels = self._job.t
        for layer in layers_of(self._job.model):
            y: Any = getattr(layer, "y", None)
            t: Any = getattr(layer, "t", None)
            if is_on_gpu(y) and is_on_gpu(t) and labels.ndim == t.ndim == 1 and labels.dtype.kind in "iu":
                check_labels("t", to_cpu(labels), y.shape[-1])


class Planned:
    """Trains by a plan: many steps per call, but never for longer than signals may be delayed."""

    MAX_CHUNK_SECONDS = 0.05
    MAX_KEPT_BYTES = 1 << 20  # of activations kept between two fits
    MAX_ROWS = 1 << 14  # drawn ahead if an epoch has fewer: the indices stay in the cache

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self.name = "cuda-plan" if plan.is_on_gpu else "plan"
        self.plan = plan
        self.batch_size = batch_size
        self._steps = 1  # per call
        self._is_free = False

    def __reduce__(self) -> Any:
        return _nothing, ()  # a copied or unpickled Trainer creates its own

    def kept(self) -> Planned | None:
        """Return itself without the data, if that is worth keeping for the next fit of the same Trainer."""
        if self.plan.is_on_gpu or self.plan.nbytes > self.MAX_KEPT_BYTES:
            return None
        self.plan.forget_data()
        self._is_free = True
        return self

    def serves(self, job: Job) -> bool:
        """Whether it can be reused for another fit, of this job; if so, it now serves that job."""
        is_free, self._is_free = self._is_free, False  # one fit at a time: a copy of the Trainer may hold it too
        return is_free and self.plan.serves(job)

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether the plan trains what the model's own code would, after user code has run."""
        return self.plan.is_current(model, optimizer)

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of this many steps to train in one call of `train`."""
        if self.plan.draws:  # from the stream of the epochs' orders, in turn with them
            return 1
        return max(1, min(self._steps // steps, self.MAX_ROWS // (steps * self.batch_size)))

    def train(self, rows: Array) -> list[float]:
        """Run as many steps as time permits on the batches of the rows; return their losses."""
        return self._run(rows, self._steps)

    def factor(self, share: float) -> float:
        """Return what the gradients are of: the mean loss times this."""
        return 1.0

    def gradients(self, batch: Array, start: int, total: int, share: float) -> Gradients:
        """Return what TrainStep.gradients does, of rows that a batch of `total` has from `start` on."""
        loss, model = self.plan.gradients(batch, start, total), self.plan.model
        return loss, model.params, model.grads

    def _run(self, rows: Array, steps: int) -> list[float]:
        start = time.perf_counter()
        losses = self.plan.run(rows, min(steps, self._steps))
        seconds = time.perf_counter() - start
        made = len(losses)
        most = max(self._steps, 4 * made)  # not far beyond what was measured: a call may have had few rows
        self._steps = max(1, min(int(made * self.MAX_CHUNK_SECONDS / (seconds + 1e-9)), most))
        return losses


class Proved(Planned):
    """Trains a user's own model by a plan, and repeatedly verifies that its own code would do the same.

    Verified are a step on rows spread over the data before the first one, steps 2, 3 and 5, the last of every
    epoch, and one after user code has run.

    Raises
    ------
    NoPlanError
        Names the layer that cannot be part of a plan, or the difference that was found. From `train`, too: the
        model is then as before the step.
    """

    EARLY = (1, 2, 4)  # steps run before

    def __init__(self, job: Job) -> None:
        samples = len(job.x)
        spread = np.arange(job.batch_size) * samples // job.batch_size  # data are often sorted by class
        batch = to_side(spread, to_gpu=is_on_gpu(job.x))
        super().__init__(Plan(job, record(job.model, job.x[batch], job.t[batch])), job.batch_size)
        self._job = job
        self._steps_of_epoch = -(-job.samples // job.batch_size)
        self._made = 0  # steps
        self._batch = spread  # or the last that was trained
        self._twin = self._new_twin()
        with streams_put_back():
            self._proof(spread, keep=False)
            kept = self._twin.what_is_kept(spread)
        if kept is not None:
            raise NoPlanError(kept)

    def kept(self) -> Planned | None:
        """Return None: what a user's own code does is verified in each fit."""
        return None

    def _new_twin(self) -> Twin:
        x, t, max_grad = self._job.x, self._job.t, self._job.max_grad

        def step_of(model: Any, optimizer: Any) -> Callable[[Array], Any]:
            step = TrainStep(model, optimizer, max_grad)

            def on_rows(batch: Array) -> Any:
                rows = to_side(batch, to_gpu=is_on_gpu(x))
                return step(x[rows], t[rows])

            return on_rows

        return Twin(self._job.model, self._job.optimizer, step_of, (x, t))

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether the plan trains what the model's own code would: verified on the last trained batch."""
        if not super().is_current(model, optimizer):
            return False
        try:
            if not np.array_equal(class_indices("t", self._job.t, self.plan.classes), self.plan.labels):
                return False
            self._twin = self._new_twin()
            with streams_put_back():
                self._proof(self._batch, keep=False)
        except Exception:  # whatever the model's own code raises is raised again layer by layer
            return False
        return True

    def train(self, rows: Array) -> list[float]:
        """Run steps on the batches of the rows up to the next one to be verified, or that one."""
        last = self._made - self._made % self._steps_of_epoch + self._steps_of_epoch - 1  # of this epoch
        steps = min(due for due in (*self.EARLY, last) if due >= self._made) - self._made
        if steps:
            losses = self._run(rows, steps)
        else:  # restoring streams takes longer than a step; a model that draws from them was rejected earlier
            with streams_put_back() if self._made in self.EARLY else nullcontext():
                losses = self._proof(rows[: self._job.batches(len(rows), 1)[0]], keep=True)
        self._made += len(losses)
        *before, size = self._job.batches(len(rows), len(losses))
        self._batch = rows[sum(before) : sum(before) + size]
        return losses

    def verify(self, batch: Array) -> None:
        """Verify the next step, which is run elsewhere, on its batch, if `train` would verify it."""
        made = self._made + 1
        if self._made in self.EARLY or made % self._steps_of_epoch == 0:
            with streams_put_back():
                self._proof(batch, keep=False)
        self._made, self._batch = made, batch

    def _proof(self, batch: Array, *, keep: bool) -> list[float]:
        """Run a step by the plan, and on the twin with the model's own code; raise an error if they differ."""
        self._twin.make_step(batch)
        before = [array.copy() for array in self.plan.arrays]
        losses = self.plan.run(batch, 1)
        difference = self._twin.what_differs(losses[0])
        if difference is not None or not keep:
            for array, kept in zip(self.plan.arrays, before, strict=True):
                array[...] = kept
            self._job.optimizer.count_steps(-1)
        if difference is not None:
            raise NoPlanError(difference)
        return losses


def _nothing() -> None:
    return None
