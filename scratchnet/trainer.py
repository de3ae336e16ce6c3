"""The Trainer of book 2: `fit` runs mini-batch training, `plot` draws the loss.

Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy
import numpy as np

from ._fitting import (
    check_numbers,
    check_trainable,
    finish_step_on_interrupt,
    log_line,
    show_where_there_is_a_window,
)
from ._passed_on import pass_on_np
from .config import GPU
from .plan import NoPlanError, Plan, make_plan, record_plan
from .rnnlm_trainer import RnnlmTrainer
from .util import (
    accuracy,
    as_array,
    check_labels,
    clip_grads,
    flatten,
    is_on_gpu,
    layers_of,
    moved,
    remove_duplicate,
    row_blocks,
    to_cpu,
)

# With the modules that book 2's scripts expect from here, by a star import.
__all__ = [
    "GPU",
    "RnnlmTrainer",
    "Trainer",
    "clip_grads",
    "np",
    "numpy",
    "remove_duplicate",
    "sys",
    "time",
]

Array = np.ndarray[Any, np.dtype[Any]]

pass_on_np(__name__)

_LINES = {
    "en": "| epoch %d |  iter %d / %d | time %d[s] | loss %.2f",
    "ko": "| 에폭 %d |  반복 %d / %d | 시간 %d[s] | 손실 %.2f",
}


class Trainer:
    """Trains a model with an optimizer.

    Parameters
    ----------
    model
        A model of `scratchnet.models`, or any object with forward(x, t) -> loss, backward(), params and grads.
    optimizer
        An object with update(params, grads).
    compile : None, False or True
        Whether whole training steps run in C, without Python between the layers (the same numbers, faster).
        None: for scratchnet's own models, where it can be done. True: for any model whose forward is a chain
        of scratchnet's Affine, Sigmoid and Relu layers with SoftmaxWithLoss at its end; the chain is
        recorded from its forward, and proved on copies to train as the model's own code does. False: never.
    lang : None, "en" or "ko"
        Language of the log lines; None takes the environment's SCRATCHNET_LANG, else English.

    Attributes
    ----------
    loss_list : list of float
        Mean loss since the line before, one entry for every log line.
    current_epoch : int
        Whole epochs trained so far, counted on by further calls of fit.
    eval_interval : int or None
        Of the last fit.
    history : list of dict
        For each epoch: epoch, loss, and with validation data accuracy, val_loss, val_accuracy.
    engine : str
        What ran in the last fit: "plan" (whole steps) or "layers"; on the GPU "cuda-plan" or "cuda-layers".

    Raises
    ------
    ValueError
        The model or the optimizer lacks something that training needs, or an option is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
    """

    def __init__(
        self, model: Any, optimizer: Any, *, compile: bool | None = None, lang: str | None = None
    ) -> None:
        check_trainable("Trainer", model, optimizer)
        if compile not in (None, False, True):
            raise ValueError(f"Trainer: compile must be None, False or True, got {compile!r}")
        self._line = log_line("Trainer", _LINES, lang)
        self.model = model
        self.optimizer = optimizer
        self.loss_list: list[float] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0
        self.history: list[dict[str, Any]] = []
        self.engine = "layers"
        self._compile = compile

    def fit(
        self,
        x: Any,
        t: Any,
        max_epoch: int = 10,
        batch_size: int = 32,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
        *,
        validation: tuple[Any, Any] | None = None,
        verbose: bool = True,
        progress: bool = False,
        rng: Any = None,
        callbacks: Sequence[Callable[[Trainer], Any]] = (),
    ) -> None:
        """Train for max_epoch epochs of len(x) // batch_size steps each.

        Parameters
        ----------
        x, t
            Samples and labels, arrays with one entry a sample. The samples are never copied whole; the labels
            of scratchnet's own models are checked, and made class indices, once before the first step. For a
            model on the GPU both are brought there once.
        max_epoch : int
            Number of epochs; 0 does nothing.
        batch_size : int
            Samples in a step.
        max_grad : float, optional
            Largest norm of all gradients together; larger ones are scaled down to it.
        eval_interval : int or None
            A line is printed and an entry made in `loss_list` at the first of every so many steps of an
            epoch; None: never.
        validation : (x, t), optional
            Data whose loss and accuracy are added to `history` after each epoch, with the accuracy on the
            training data.
        verbose : bool
            Whether the lines are printed.
        progress : bool
            Whether a tqdm bar is shown, in a terminal or a notebook.
        rng : None, int or numpy.random.Generator
            Where the epochs' permutations are drawn; None is NumPy's global stream, as in the book.
        callbacks
            Functions called with the trainer after each epoch; training stops when one returns True.

        Raises
        ------
        ValueError
            x and t differ in length, an option makes no sense (a batch larger than the data, say), or
            compile=True and the model cannot be compiled.
        IndexError
            A label is no class of the model.
        ImportError
            progress=True, and tqdm is not installed.
        KeyboardInterrupt
            After Ctrl-C, when the running step has ended; model and trainer can be used and trained on.

        Notes
        -----
        An epoch draws one permutation and applies it to the order of the epoch before, beginning with the
        data's own: the same batches as the book's `x = x[idx]` makes. Small epochs may be drawn some ahead.
        """
        x, t = as_array(x), as_array(t)
        steps = self._check(x, t, max_epoch, batch_size, max_grad, eval_interval, validation, callbacks)
        permutation = _permutation(rng)
        t = self._labels(t)
        if validation is not None:
            validation = self._check_validation(*validation)
        x, t, validation = self._beside_the_model(x, t, validation)
        engine = self._choose_engine(x, t, batch_size, max_grad)
        self.engine = engine.name
        self.eval_interval = eval_interval
        order = np.arange(len(x))
        window_sum, window_count = 0.0, 0  # losses since the line before, as in the book over epochs' ends
        start = time.perf_counter()
        epoch_sum, step, next_line = 0.0, 0, 0
        left = max_epoch
        with _bar(progress, max_epoch * steps) as bar, finish_step_on_interrupt() as interrupted:
            while left:
                if callbacks and not engine.is_current():
                    x, t, validation = self._beside_the_model(x, t, validation)
                    engine = self._choose_engine(x, t, batch_size, max_grad)
                    self.engine = engine.name
                # Where nothing looks at the model between them, several small epochs are one call.
                epochs = 1 if callbacks or validation is not None else min(left, engine.epochs_at_once(steps))
                left -= epochs
                batches = []
                for _ in range(epochs):
                    order = order[permutation(len(x))]
                    batches.append(order[: steps * batch_size])
                rows = batches[0] if epochs == 1 else np.concatenate(batches)
                while len(rows):
                    interrupted()
                    losses = engine.train(rows)
                    rows = rows[len(losses) * batch_size :]
                    bar.update(len(losses))
                    for loss in losses:  # plain sums: an epoch of a small net is a few microseconds long
                        epoch_sum += loss
                        window_sum += loss
                        window_count += 1
                        if step == next_line and eval_interval is not None:
                            next_line += eval_interval
                            self.loss_list.append(window_sum / window_count)
                            window_sum, window_count = 0.0, 0
                            if verbose:
                                seconds = time.perf_counter() - start
                                numbers = (self.current_epoch + 1, step + 1, steps, seconds, self.loss_list[-1])
                                bar.write(self._line % numbers)
                        step += 1
                        if step == steps:
                            self.current_epoch += 1
                            self.history.append({"epoch": self.current_epoch, "loss": epoch_sum / steps})
                            epoch_sum, step, next_line = 0.0, 0, 0
                if validation is not None:
                    self.history[-1] |= self._validate(x, t, validation, batch_size)
                answers = [callback(self) for callback in callbacks]
                if any(isinstance(answer, bool | np.bool_) and answer for answer in answers):
                    break
            interrupted()

    def plot(self, ylim: tuple[float, float] | None = None, *, ax: Any = None) -> Any:
        """Draw `loss_list`; return the matplotlib axes.

        Parameters
        ----------
        ylim : (float, float), optional
            Limits of the vertical axis.
        ax : matplotlib axes, optional
            Where to draw; without it a new picture is made, and shown if matplotlib has a window to show it in.

        Raises
        ------
        ValueError
            There is nothing to draw yet.
        ImportError
            matplotlib is not installed.
        """
        from .plotting import plot_loss

        axes = plot_loss(self, ylim, ax=ax)
        if ax is None:
            show_where_there_is_a_window(axes)
        return axes

    def _check(
        self,
        x: Array,
        t: Array,
        max_epoch: int,
        batch_size: int,
        max_grad: float | None,
        eval_interval: int | None,
        validation: tuple[Any, Any] | None,
        callbacks: Sequence[Callable[[Trainer], Any]],
    ) -> int:
        """Return the number of steps in an epoch, or say what is wrong."""
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(f"fit: x has shape {x.shape} and t {t.shape}, expected as many labels as samples")
        check_numbers(
            max_grad, max_epoch=(max_epoch, 0), batch_size=(batch_size, 1), eval_interval=(eval_interval, 1)
        )
        if batch_size > len(x):
            raise ValueError(f"fit: batch_size is {batch_size}, but there are only {len(x)} samples")
        if validation is not None:
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise ValueError("fit: validation must be a pair (x, t)")
            if not hasattr(self.model, "predict"):
                raise ValueError("fit: the model has no predict, which validation needs")
        if not isinstance(callbacks, Iterable) or not all(map(callable, callbacks)):
            raise ValueError(f"fit: callbacks must be a list of functions, got {callbacks!r}")
        if len(flatten(self.model.params)) != len(flatten(self.model.grads)):
            raise ValueError(
                f"fit: the model has {len(flatten(self.model.params))} parameters and "
                f"{len(flatten(self.model.grads))} gradients; training needs one for each"
            )
        return len(x) // int(batch_size)

    def _labels(self, t: Array) -> Array:
        """Return labels as the model wants them for all steps, checked; of a reader's model, as they are."""
        prepare = getattr(self.model, "prepare_labels", None)
        return t if prepare is None else as_array(prepare(t))

    def _check_validation(self, x: Any, t: Any) -> tuple[Array, Array]:
        x, t = as_array(x), as_array(t)
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
            samples, labels = (len(a) if a.ndim else 0 for a in (x, t))
            raise ValueError(
                f"fit: validation has {samples} samples and {labels} labels, expected as many of each, and some"
            )
        self.model.predict(moved(x[:1], to_gpu=_is_on_gpu(self.model)))  # says now what does not fit
        return x, self._labels(t)

    def _beside_the_model(self, x: Array, t: Array, validation: tuple[Array, Array] | None) -> Any:
        """Return the data on the side of the parameters; a callback may have moved them."""
        on_gpu = _is_on_gpu(self.model)
        if validation is not None:
            validation = moved(validation[0], to_gpu=on_gpu), moved(validation[1], to_gpu=on_gpu)
        return moved(x, to_gpu=on_gpu), moved(t, to_gpu=on_gpu), validation

    def _choose_engine(self, x: Array, t: Array, batch_size: int, max_grad: float | None) -> _Layers | _Planned:
        arguments = (self.model, self.optimizer, x, t, batch_size, max_grad)
        if self._compile is not False:
            try:
                return _Planned(make_plan(*arguments), batch_size)
            except NoPlanError:
                pass
        if self._compile:
            try:
                return _Planned(record_plan(*arguments), batch_size)
            except NoPlanError as error:
                raise ValueError(f"fit: compile=True, but {error}") from None
        return (_LayersOnGPU if is_on_gpu(x) else _Layers)(*arguments)

    def _validate(self, x: Array, t: Array, validation: tuple[Array, Array], batch_size: int) -> dict[str, float]:
        val_x, val_t = validation
        total = 0.0
        for part in row_blocks(len(val_x), batch_size):
            total += float(self.model.forward(val_x[part], val_t[part])) * len(val_x[part])
        return {
            "accuracy": _accuracy_of(self.model, x, t),
            "val_loss": total / len(val_x),
            "val_accuracy": _accuracy_of(self.model, val_x, val_t),
        }


class _Layers:
    """Trains layer by layer: the model's own forward and backward, then the optimizer."""

    name = "layers"

    def __init__(
        self, model: Any, optimizer: Any, x: Array, t: Array, batch_size: int, max_grad: float | None
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.x, self.t = x, t
        self.batch_size, self.max_grad = batch_size, max_grad
        self._flat = _lists_of_lists(model.params)
        self._shared = _has_shared(model.params)

    def is_current(self) -> bool:
        """Whether nothing has to be looked at anew: parameters may be shared now that were not before."""
        return False

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of so many steps are worth one call of train."""
        return 1

    def train(self, rows: Array) -> list[float]:
        """Make one step on the first batch of the rows; return its loss in a list."""
        return [self._step(rows[: self.batch_size])]

    def _step(self, batch: Array) -> Any:
        loss = self._number(self.model.forward(self.x[batch], self.t[batch]))
        self.model.backward()
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
        return float(loss)


class _LayersOnGPU(_Layers):
    """Trains layer by layer on the GPU; losses stay there for some steps, so that nothing waits for them."""

    name = "cuda-layers"
    STEPS = 20  # what the GPU may be behind when Ctrl-C comes

    def __init__(self, model: Any, *rest: Any) -> None:
        super().__init__(model, *rest)
        self._are_labels_checked = False

    def train(self, rows: Array) -> list[float]:
        """Make some steps on the batches of the rows; return their losses."""
        batches = moved(rows[: self.STEPS * self.batch_size], to_gpu=True).reshape(-1, self.batch_size)
        losses = [self._step(batch) for batch in batches]
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


class _Planned:
    """Trains by a plan: many steps in one call, but never for longer than signals can wait."""

    PATIENCE = 0.05  # seconds
    MOST_ROWS = 1 << 14  # drawn ahead, where an epoch has fewer: their numbers stay in the cache

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self.name = "cuda-plan" if plan.is_on_gpu else "plan"
        self.is_current = plan.is_current
        self._plan = plan
        self._batch_size = batch_size
        self._steps = 1

    def epochs_at_once(self, steps: int) -> int:
        """Return how many epochs of so many steps are worth one call of train."""
        return max(1, min(self._steps // steps, self.MOST_ROWS // (steps * self._batch_size)))

    def train(self, rows: Array) -> list[float]:
        """Make as many steps as patience allows on the batches of the rows; return their losses."""
        start = time.perf_counter()
        losses = self._plan.run(rows[: self._steps * self._batch_size])
        seconds = time.perf_counter() - start
        self._steps = max(1, min(int(self._steps * self.PATIENCE / (seconds + 1e-9)), 4 * self._steps))
        return losses


def _lists_of_lists(params: Any) -> bool:
    """Whether there is a list for every layer; one list of the arrays is then what any optimizer can take."""
    nested = any(isinstance(entry, list | tuple) for entry in params)
    return nested and all(isinstance(p, np.ndarray) or is_on_gpu(p) for p in flatten(params))


def _has_shared(params: Any) -> bool:
    arrays = flatten(params)
    return len(remove_duplicate(arrays, [0] * len(arrays))[0]) < len(arrays)


def _is_on_gpu(model: Any) -> bool:
    return any(map(is_on_gpu, flatten(model.params)))


def _accuracy_of(model: Any, x: Array, t: Array) -> float:
    return float(model.accuracy(x, t)) if hasattr(model, "accuracy") else accuracy(model, x, t)


def _permutation(rng: Any) -> Callable[[int], Array]:
    if rng is None:
        return np.random.permutation
    if isinstance(rng, np.random.RandomState):
        return rng.permutation
    return np.random.default_rng(rng).permutation


class _Quiet:
    """Stands where the progress bar would be."""

    def update(self, steps: int) -> None:
        pass

    def write(self, line: str) -> None:
        print(line)


@contextmanager
def _bar(progress: bool, total: int) -> Iterator[Any]:
    if not progress:
        yield _Quiet()
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('progress=True needs tqdm: pip install "scratchnet[progress]"') from None
    with tqdm(total=total, unit="step") as bar:
        yield bar
