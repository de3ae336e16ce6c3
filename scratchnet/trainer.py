"""The Trainer of book 2: `fit` runs mini-batch training, `plot` draws the loss.

Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy
import numpy as np

from ._arrays import Array, as_array, as_number, is_on_gpu, moved
from ._engines import Layers, Planned, engine_for
from ._fitting import (
    check_numbers,
    check_trainable,
    finish_step_on_interrupt,
    log_line,
    show_where_there_is_a_window,
)
from ._orders import Orders
from ._passed_on import pass_on_np
from ._progress import show_progress
from ._watching import LossWatch, check_links
from .backends import LossMeans
from .config import GPU
from .plan import NoPlanError
from .rnnlm_trainer import RnnlmTrainer
from .util import accuracy, clip_grads, flatten, random_stream, remove_duplicate, row_blocks

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
        of scratchnet's Affine, Sigmoid and Relu layers with SoftmaxWithLoss at its end, if it can be proved (see
        the notes). False: never.
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
    Whole steps train what the model's own code would. Classes, objects or arrays that were changed before a fit,
    or by a callback, are noticed: the fit goes on as they say, layer by layer where it must. With compile=True the
    chain is recorded from the model's forward, on a copy, and proved on copies: one step of the model's own code
    and one of the chain must give the same gradients, parameters and optimizer. That is done at first, in the
    steps 2, 3 and 5, in the last of every epoch, and after callbacks. A model that keeps something from one step
    for the next (a count, an average), or draws random numbers, is refused. No proof sees behaviour that begins
    between two of them, or that depends on batches that they did not see. Whole steps leave nothing in the layers'
    x, out and y.

    Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
    """

    _kept: Planned | None = None  # the last fit's engine, for the next

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

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, {self.optimizer!r}, current_epoch={self.current_epoch})"

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
        callbacks: Callable[[Trainer], Any] | Sequence[Callable[[Trainer], Any]] = (),
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
            Whether a tqdm bar is shown, in a terminal or a notebook, in place of the lines: with verbose its text
            has the epoch and the loss.
        rng : None, int or numpy.random.Generator
            Where the epochs' permutations are drawn; None is NumPy's global stream, as in the book.
        callbacks
            A function, or some, called with the trainer after each epoch; training stops when one returns True.

        Raises
        ------
        ValueError
            x and t differ in length, an option makes no sense (a batch larger than the data, say),
            compile=True and the model cannot be compiled, the model's params are not those of its layers, or its
            first backward does not write a gradient.
        IndexError
            A label is no class of the model.
        ImportError
            progress=True, and tqdm is not installed.
        RuntimeError
            compile=True, and a later proof found a difference; names the step. The model is as it was before it.
        KeyboardInterrupt
            After Ctrl-C, when the running step has ended; model and trainer can be used and trained on.

        Warns
        -----
        RuntimeWarning
            A loss is not a finite number; the first one is named.

        Notes
        -----
        An epoch draws one permutation and applies it to the order of the epoch before, beginning with the
        data's own: the same batches as the book's `x = x[idx]` makes. Small epochs are drawn some
        ahead, and trained in one call.
        """
        x, t = as_array(x, "fit: x"), as_array(t, "fit: t")
        callbacks = [callbacks] if callable(callbacks) else callbacks
        steps = self._check(x, t, max_epoch, batch_size, max_grad, eval_interval, validation, callbacks)
        # Not in a NumPy type of their own, in which products overflow.
        max_epoch, batch_size = int(max_epoch), int(batch_size)
        eval_interval = None if eval_interval is None else int(eval_interval)
        orders = Orders(random_stream("fit: rng", rng).permutation, len(x))
        if validation is not None:
            validation = self._check_validation(*validation)
        labels = self._labels(t)
        data, model = self._prepared(x, labels, validation), self.model
        kept, self._kept = self._kept, None  # a fit in a callback makes its own
        engine = self._engine(data, batch_size, max_grad, kept=kept)
        self.eval_interval = eval_interval
        means = LossMeans(steps, eval_interval)
        start = time.perf_counter()
        left, step = max_epoch, 0
        watch = LossWatch("fit", steps)
        with show_progress(progress, max_epoch * steps) as bar, finish_step_on_interrupt() as interrupted:
            while left:
                interrupted()  # before the stream is drawn from: what is drawn ahead is one call
                # Where nothing looks at the model between them, several small epochs are one call.
                epochs = 1 if callbacks or validation is not None else min(left, engine.epochs_at_once(steps))
                left -= epochs
                rows = orders.draw(epochs, steps * batch_size)
                while len(rows):
                    try:
                        losses = engine.train(rows)
                    except NoPlanError as difference:
                        place = f"epoch {self.current_epoch + 1}, step {step + 1} of {steps}"
                        raise RuntimeError(f"fit: compile=True, but in {place} {difference}") from None
                    watch.look(losses, self.current_epoch * steps + step, x, rows[: len(losses) * batch_size])
                    rows = rows[len(losses) * batch_size :]
                    bar.update(len(losses))
                    step = (step + len(losses)) % steps
                    for at, line, epoch in means.add(losses):
                        if line is not None:
                            self.loss_list.append(line)
                            if verbose:
                                seconds = time.perf_counter() - start
                                bar.write(self._line % (self.current_epoch + 1, at, steps, seconds, line))
                        if epoch is not None:
                            self.current_epoch += 1
                            self.history.append({"epoch": self.current_epoch, "loss": epoch})
                    if len(rows):
                        interrupted()
                if validation is not None:
                    self.history[-1] |= self._validate(data, batch_size)
                answers = [callback(self) for callback in callbacks]
                if any(isinstance(answer, bool | np.bool_) and answer for answer in answers):
                    break
                if left and (callbacks or validation is not None):  # somebody else's code has run
                    check_trainable("fit", self.model, self.optimizer)
                    labels, before = self._labels(t), labels
                    if not (engine.is_current(self.model, self.optimizer) and _are_same(labels, before)):
                        data = self._prepared(x, labels, validation)
                        engine = self._engine(
                            data, batch_size, max_grad, is_first=False, is_new=self.model is not model
                        )
                        model = self.model
                    self.engine = engine.name  # a callback may have called fit
            interrupted()
        self._kept = engine.kept()

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
            "fit", max_grad, max_epoch=(max_epoch, 0), batch_size=(batch_size, 1), eval_interval=(eval_interval, 1)
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
        check_links("fit", self.model)
        return len(x) // int(batch_size)

    def _labels(self, t: Array) -> Array:
        """Return labels as the model wants them for all steps, checked; of a reader's model, as they are."""
        prepare = getattr(self.model, "prepare_labels", None)
        if prepare is None:
            return t
        labels = as_array(prepare(t))
        return labels.copy() if labels is t else labels  # checked once: a callback may change the caller's

    def _check_validation(self, x: Any, t: Any) -> tuple[Array, Array]:
        x, t = as_array(x, "fit: validation's x"), as_array(t, "fit: validation's t")
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
            samples, labels = (len(a) if a.ndim else 0 for a in (x, t))
            raise ValueError(
                f"fit: validation has {samples} samples and {labels} labels, expected as many of each, and some"
            )
        self.model.predict(moved(x[:1], to_gpu=_is_on_gpu(self.model)))  # says now what does not fit
        return x, t

    def _prepared(self, x: Array, labels: Array, validation: tuple[Array, Array] | None) -> _Data:
        """Return the data as the model takes them, on the side of the parameters."""
        on_gpu = _is_on_gpu(self.model)

        def prepared(samples: Array, labels: Array) -> tuple[Array, Array]:
            return moved(samples, to_gpu=on_gpu), moved(labels, to_gpu=on_gpu)

        if validation is not None:
            validation = prepared(validation[0], self._labels(validation[1]))
        return _Data(*prepared(x, labels), validation)

    def _engine(
        self,
        data: _Data,
        batch_size: int,
        max_grad: float | None,
        *,
        is_first: bool = True,
        is_new: bool = True,
        kept: Planned | None = None,
    ) -> Layers | Planned:
        """Return what makes the steps from now on; later in a fit, layer by layer where compile=True cannot be."""
        arguments = (self.model, self.optimizer, data.x, data.t, batch_size, max_grad)
        try:
            engine = engine_for(self._compile, *arguments, is_new=is_new, kept=kept)
        except (
            Exception
        ) as error:  # a changed model's own code may raise anything, and then does so layer by layer
            if is_first:
                if not isinstance(error, NoPlanError):
                    raise
                raise ValueError(f"fit: compile=True, but {error}") from None
            engine = engine_for(False, *arguments, is_new=is_new)
        self.engine = engine.name
        return engine

    def _validate(self, data: _Data, batch_size: int) -> dict[str, float]:
        assert data.validation is not None
        x, t = data.validation
        total = 0.0
        for part in row_blocks(len(x), batch_size):
            loss = as_number("fit: the model's loss", self.model.forward(x[part], t[part]))
            total += loss * len(x[part])
        return {
            "accuracy": _accuracy_of(self.model, data.x, data.t),
            "val_loss": total / len(x),
            "val_accuracy": _accuracy_of(self.model, x, t),
        }


class _Data(NamedTuple):
    """Samples and labels of a fit, and of its validation."""

    x: Array
    t: Array
    validation: tuple[Array, Array] | None


def _are_same(labels: Array, before: Array) -> bool:
    """Whether labels are those that they were; of those on the GPU nobody waits to see it."""
    return labels is before or is_on_gpu(labels) or np.array_equal(labels, before)


def _is_on_gpu(model: Any) -> bool:
    return any(map(is_on_gpu, flatten(model.params)))


def _accuracy_of(model: Any, x: Array, t: Array) -> float:
    return float(model.accuracy(x, t)) if hasattr(model, "accuracy") else accuracy(model, x, t)
