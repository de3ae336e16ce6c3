"""The Trainer of book 2: `fit` runs mini-batch training, `plot` draws the loss.

Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, is_on_gpu, to_side
from ._engines import Layers, Planned, choose_engine
from ._orders import Orders
from ._progress import show_progress
from ._training import BaseTrainer, LogLines, check_numbers, check_trainable, finish_step_on_interrupt
from ._watching import LossWatch, check_links
from .backends import LossMeans
from .plan import Job, NoPlanError
from .rnnlm_trainer import RnnlmTrainer
from .util import accuracy, flatten, has_classes, has_train_flg, random_stream, remove_duplicate, row_blocks

__all__ = ["RnnlmTrainer", "Trainer", "remove_duplicate"]

_LINES = {
    "en": "| epoch %d |  iter %d / %d | time %d[s] | loss %.2f",
    "ko": "| 에폭 %d |  반복 %d / %d | 시간 %d[s] | 손실 %.2f",
}


class Trainer(BaseTrainer):
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
        of scratchnet's layers with SoftmaxWithLoss at its end, if it can be verified (see the notes). False:
        never.
    lang : None, "en" or "ko"
        Language of the log lines; None means the environment variable SCRATCHNET_LANG, else English.

    Attributes
    ----------
    loss_list : list of float
        Mean loss since the previous log line, one entry per line.
    current_epoch : int
        Whole epochs trained so far, over all calls of fit.
    eval_interval : int or None
        The one of the last fit.
    history : list of dict
        For each epoch: epoch, loss, and, with validation data, accuracy, val_loss and val_accuracy.
    engine : str
        What ran in the last fit: "plan" (whole steps) or "layers"; on the GPU "cuda-plan" or "cuda-layers".

    Raises
    ------
    ValueError
        The model or the optimizer lacks something that training requires, or an option is unknown.

    Notes
    -----
    Whole steps give the same result as the model's own code. Classes, objects or arrays that were changed before a
    fit, or by a callback, are detected: the fit then follows them, layer by layer if necessary. With compile=True
    the chain is recorded from the model's forward, on a copy, and verified on copies: one step of the model's own
    code and one of the chain must give the same gradients, parameters and optimizer state. This is done in steps
    1, 2, 3 and 5, in the last step of every epoch, and after callbacks. A model that carries something over from
    one step to the next (a count, an average), or draws random numbers, is rejected. No such check detects
    behaviour that starts between two of them, or that depends on batches that they did not see. Whole steps do not
    set the layers' x, out and y.

    Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
    """

    _kept: Planned | None = None  # the last fit's engine, for reuse by the next

    def __init__(
        self, model: Any, optimizer: Any, *, compile: bool | None = None, lang: str | None = None
    ) -> None:
        super().__init__("Trainer", model, optimizer, _LINES, lang)
        if compile not in (None, False, True):
            raise ValueError(f"Trainer: compile must be None, False or True, got {compile!r}")
        self.loss_list: list[float] = []
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
        callbacks: Callable[[Trainer], Any] | Sequence[Callable[[Trainer], Any]] = (),
    ) -> None:
        """Train for max_epoch epochs of len(x) // batch_size steps each.

        Parameters
        ----------
        x, t
            Samples and labels, arrays with one entry per sample. The samples are never copied as a whole; the
            labels of scratchnet's own models are checked, and converted to class indices, once before the first
            step. For a model on the GPU both are moved there once.
        max_epoch : int
            Number of epochs; 0 does nothing.
        batch_size : int
            Samples per step.
        max_grad : float, optional
            Largest norm of all gradients together; gradients beyond it are scaled down.
        eval_interval : int or None
            A line is printed and an entry added to `loss_list` in the first of every `eval_interval` steps of
            an epoch; None means never.
        validation : (x, t), optional
            Data whose loss and accuracy are added to `history` after each epoch, with the accuracy on the
            training data; only the loss if the model has no classes, as in a regression.
        verbose : bool
            Whether the lines are printed.
        progress : bool
            Whether a tqdm bar is shown, in a terminal or a notebook, instead of the lines; with verbose it also
            shows the epoch and the loss.
        rng : None, int or numpy.random.Generator
            Source of the epochs' permutations; None is NumPy's global stream, as in the book.
        callbacks
            A function, or several, called with the trainer after each epoch; training stops when one returns True.

        Raises
        ------
        ValueError
            x and t differ in length, an option is invalid (a batch larger than the data, say),
            compile=True and the model cannot be compiled, the model's params are not those of its layers, or its
            first backward does not write a gradient.
        IndexError
            A label is not a class of the model.
        ImportError
            progress=True, and tqdm is not installed.
        RuntimeError
            compile=True, and a later check found a difference; names the step. The model is left as before it.
        KeyboardInterrupt
            After Ctrl-C, once the running step has finished; model and trainer remain usable.

        Warns
        -----
        RuntimeWarning
            A loss is not a finite number; the first one is named.

        Notes
        -----
        Each epoch draws one permutation and applies it to the order of the previous epoch, starting with the
        data's own: this gives the same batches as the book's `x = x[idx]`. Several small epochs are drawn ahead,
        and trained in one call.
        """
        x, t = as_array(x, "fit: x"), as_array(t, "fit: t")
        callbacks = [callbacks] if callable(callbacks) else callbacks
        self._check(x, t, max_epoch, batch_size, max_grad, eval_interval, validation, callbacks)
        left, batch_size = int(max_epoch), int(batch_size)  # Python's numbers: NumPy's overflow in products
        steps = len(x) // batch_size
        orders = Orders(random_stream("fit: rng", rng).permutation, len(x))
        run = _Run(self, x, t, validation, batch_size, max_grad)
        self.eval_interval = None if eval_interval is None else int(eval_interval)
        with show_progress(progress, left * steps) as bar, finish_step_on_interrupt() as interrupted:
            log = _LossLog(self, steps, bar, verbose)
            while left:
                interrupted()  # before anything is drawn from the stream: what is drawn ahead is one call
                # If nothing inspects the model between them, several small epochs are one call.
                is_watched = bool(callbacks) or validation is not None
                epochs = 1 if is_watched else min(left, run.engine.epochs_at_once(steps))
                left -= epochs
                run.train(orders.draw(epochs, steps * batch_size), log, interrupted)
                if validation is not None:
                    self.history[-1] |= run.validate()
                if _is_stopped_by([callback(self) for callback in callbacks]):
                    break
                if left and is_watched:
                    run.look_again()  # user code has run
            interrupted()
        self._kept = run.engine.kept()

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
    ) -> None:
        """Raise an error if the arguments of fit are invalid."""
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


class _LossLog(LogLines):
    """Keeps a trainer's losses, epochs and history, and prints the lines of its log, during a fit.

    Parameters
    ----------
    trainer
        The trainer; its eval_interval is that of this fit.
    steps : int
        Steps per epoch.
    bar
        Progress bar, which also writes the lines.
    verbose : bool
        Whether lines are printed.
    """

    _trainer: Trainer

    def __init__(self, trainer: Trainer, steps: int, bar: Any, verbose: bool) -> None:
        super().__init__(trainer, steps, bar.write)
        self._bar, self._verbose = bar, verbose
        self._means = LossMeans(steps, trainer.eval_interval)
        self._watch = LossWatch("fit", steps, depth=3)
        self._step = 0  # done in the running epoch

    @property
    def place(self) -> str:
        """The next step."""
        return f"epoch {self._trainer.current_epoch + 1}, step {self._step + 1} of {self._steps}"

    def add(self, losses: list[float], x: Array, rows: Array) -> None:
        """Record the losses of the next steps, taken on these rows of the samples x."""
        trainer = self._trainer
        self._watch.look(losses, trainer.current_epoch * self._steps + self._step, x, rows)
        self._bar.update(len(losses))
        self._step = (self._step + len(losses)) % self._steps
        for step, since_line, of_epoch in self._means.add(losses):
            if since_line is not None:
                trainer.loss_list.append(since_line)
                if self._verbose:
                    self.print(step, since_line)
            if of_epoch is not None:
                trainer.current_epoch += 1
                trainer.history.append({"epoch": trainer.current_epoch, "loss": of_epoch})


class _Run:
    """A fit's data, as the model takes them, and the engine that trains on them.

    Parameters
    ----------
    trainer
        Its model and optimizer are trained.
    x, t, validation, batch_size, max_grad
        The arguments of fit.
    """

    engine: Layers | Planned

    def __init__(
        self,
        trainer: Trainer,
        x: Array,
        t: Array,
        validation: tuple[Any, Any] | None,
        batch_size: int,
        max_grad: float | None,
    ) -> None:
        self._trainer = trainer
        self._given = x, t, None if validation is None else _checked_validation(trainer.model, *validation)
        self._batch_size, self._max_grad = batch_size, max_grad
        self._labels = _labels_for(trainer.model, t)
        self._arrange()
        kept, trainer._kept = trainer._kept, None  # a fit in a callback creates its own
        try:
            self.engine = choose_engine(trainer._compile, self._job, is_new=True, kept=kept)
        except NoPlanError as error:
            raise ValueError(f"fit: compile=True, but {error}") from None
        trainer.engine = self.engine.name

    def _arrange(self) -> None:
        """Arrange the data as the model takes them, on the side of its parameters."""
        model, optimizer = self._trainer.model, self._trainer.optimizer
        x, _, validation = self._given
        on_gpu = _is_on_gpu(model)
        x, t = to_side(x, to_gpu=on_gpu), to_side(self._labels, to_gpu=on_gpu)
        self._job = Job(model, optimizer, x, t, self._batch_size, self._max_grad)
        if validation is not None:
            samples, labels = validation[0], _labels_for(model, validation[1])
            self._validation = to_side(samples, to_gpu=on_gpu), to_side(labels, to_gpu=on_gpu)

    def train(self, rows: Array, log: _LossLog, interrupted: Callable[[], None]) -> None:
        """Train on the rows, batch after batch; handle Ctrl-C between the engine's calls."""
        while len(rows):
            try:
                losses = self.engine.train(rows)
            except NoPlanError as difference:
                raise RuntimeError(f"fit: compile=True, but in {log.place} {difference}") from None
            made = len(losses) * self._batch_size
            log.add(losses, self._given[0], rows[:made])
            rows = rows[made:]
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
                self.engine = choose_engine(trainer._compile, self._job, is_new=is_new)
            except Exception:  # errors of a changed model's own code are raised layer by layer
                self.engine = choose_engine(False, self._job, is_new=is_new)
        trainer.engine = self.engine.name  # a callback may have called fit

    def validate(self) -> dict[str, float]:
        """Return the accuracy on the training data, and loss and accuracy on the validation data.

        Of a model without classes only the loss.
        """
        model, (x, t) = self._trainer.model, self._validation
        flags = {"train_flg": False} if has_train_flg(model.forward) else {}
        total = 0.0
        for part in row_blocks(len(x), self._batch_size):
            loss = as_number("fit: the model's loss", model.forward(x[part], t[part], **flags))
            total += loss * len(x[part])
        if not has_classes(model, t):
            return {"val_loss": total / len(x)}
        return {
            "accuracy": _accuracy_of(model, self._job.x, self._job.t),
            "val_loss": total / len(x),
            "val_accuracy": _accuracy_of(model, x, t),
        }


def _labels_for(model: Any, t: Array) -> Array:
    """Return checked labels in the form that the model uses in all steps; unchanged for a user's own model."""
    prepare = getattr(model, "prepare_labels", None)
    if prepare is None:
        return t
    labels = as_array(prepare(t))
    return labels.copy() if labels is t else labels  # checked once: a callback may change the caller's


def _checked_validation(model: Any, x: Any, t: Any) -> tuple[Array, Array]:
    x, t = as_array(x, "fit: validation's x"), as_array(t, "fit: validation's t")
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
        samples, labels = (len(a) if a.ndim else 0 for a in (x, t))
        raise ValueError(
            f"fit: validation has {samples} samples and {labels} labels, expected the same number of both, "
            "at least one"
        )
    model.predict(to_side(x[:1], to_gpu=_is_on_gpu(model)))  # raises now if something does not fit
    return x, t


def _are_same(labels: Array, before: Array) -> bool:
    """Whether labels are unchanged; on the GPU this is not checked, so as not to wait for it."""
    return labels is before or is_on_gpu(labels) or np.array_equal(labels, before)


def _is_stopped_by(answers: Iterable[Any]) -> bool:
    """Whether a callback returned True."""
    return any(isinstance(answer, bool | np.bool_) and answer for answer in answers)


def _is_on_gpu(model: Any) -> bool:
    return any(map(is_on_gpu, flatten(model.params)))


def _accuracy_of(model: Any, x: Array, t: Array) -> float:
    return float(model.accuracy(x, t)) if hasattr(model, "accuracy") else accuracy(model, x, t)
