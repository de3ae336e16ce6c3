"""The Trainer of book 2: `fit` runs mini-batch training, `plot` draws the loss.

Source: *Deep Learning from Scratch* 2, ch. 1.4.4.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._arrays import Array, as_array
from ._engines import Planned
from ._fit_state import FitState, are_entries, are_numbers, is_count, is_interval
from ._hints import hint_at_compile
from ._parts import remove_duplicate
from ._progress import show_progress
from ._proof import streams_put_back
from ._rank_fit import Batches, begin_together, end_epoch, orders_of, share_epochs, share_streams, take_states
from ._ranks import Ranks
from ._run import FitRun
from ._training import LogLines, check_numbers, finish_step_on_interrupt
from ._watching import LossWatch, check_links
from .backends import LossMeans
from .checkpoint import ResumableTrainer, begin_fit, call_hook, checked_checkpoint
from .rnnlm_trainer import RnnlmTrainer
from .util import random_stream

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RnnlmTrainer", "Trainer", "remove_duplicate"]

_LINES = {
    "en": "| epoch %d |  iter %d / %d | time %d[s] | loss %.2f",
    "ko": "| 에폭 %d |  반복 %d / %d | 시간 %d[s] | 손실 %.2f",
}


class Trainer(ResumableTrainer):
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
    comm : mpi4py.MPI.Comm, optional
        The ranks that train together; every one makes the same calls, with the same arguments. See `fit`.

    Attributes
    ----------
    loss_list : list of float
        Mean loss since the previous log line, one entry per line.
    current_epoch : int
        Whole epochs trained so far, over all calls of fit.
    eval_interval : int or None
        The one of the last fit.
    history : list of dict
        For each epoch: epoch, loss, and, with validation data, val_loss, if there are classes accuracy and
        val_accuracy, and with a metric val_metric.
    engine : str
        What ran in the last fit: "plan" (whole steps) or "layers"; on the GPU "cuda-plan" or "cuda-layers".
    rank : int
        This process's number among those that train together; 0 without comm.

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

    Examples
    --------
    >>> from scratchnet.dataset import spiral
    >>> x, t = spiral.load_data()
    >>> from scratchnet.models import TwoLayerNet
    >>> from scratchnet.optimizer import SGD
    >>> trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(lr=1.0))
    >>> trainer.fit(x, t, max_epoch=300, batch_size=30, verbose=False)
    >>> trainer.model.accuracy(x, t) > 0.9
    True
    """

    _kept: Planned | None = None  # the last fit's engine, for reuse by the next
    _lists: ClassVar[dict[str, Callable[[Any], bool]]] = {
        "current_epoch": is_count,
        "eval_interval": is_interval,
        "loss_list": are_numbers,
        "history": are_entries,
    }

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        *,
        compile: bool | None = None,
        lang: str | None = None,
        comm: Any = None,
    ) -> None:
        super().__init__("Trainer", model, optimizer, _LINES, lang)
        self._ranks = Ranks(comm)
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
        metric: Callable[[Any, Any, Any], Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        sample_weight: Any = None,
        drop_last: bool = True,
        sharded: bool = False,
    ) -> None:
        """Train for max_epoch epochs, each of len(x) // batch_size steps, and with drop_last=False of the rest.

        Parameters
        ----------
        x, t
            Samples and labels, arrays with one entry per sample. The samples are never copied as a whole; the
            labels of scratchnet's own models are checked, and converted to class indices, once before the first
            step. For a model on the GPU both are moved there once.
        max_epoch : int
            Number of epochs; 0 does nothing. In a run that goes on from a checkpoint, those before it count.
        batch_size : int
            Samples per step.
        max_grad : float, optional
            Largest norm of all gradients together; gradients beyond it are scaled down.
        eval_interval : int or None
            A line is printed and an entry added to `loss_list` in the first of every `eval_interval` steps of
            an epoch; None means never.
        validation : (x, t), optional
            Data whose loss and accuracy are added to `history` after each epoch, with the accuracy on the
            training data. Where there are no classes (real-valued labels, a loss that is not softmax's over
            several scores), only its loss.
        verbose : bool
            Whether the lines are printed.
        progress : bool
            Whether a tqdm bar is shown, in a terminal or a notebook, instead of the lines; with verbose it also
            shows the epoch and the loss.
        rng : None, int or numpy.random.Generator
            Source of the epochs' permutations; None is NumPy's global stream, as in the book.
        callbacks
            A function, or several, called with the trainer after each epoch; training stops when one returns True.
            `scratchnet.callbacks` has some, and says what else a callback may have.
        metric : function, optional
            metric(model, x, t) -> float of the validation data, added to `history` as val_metric.
        checkpoint : path, optional
            File that is written after each epoch, as by `save_checkpoint`, after the callbacks.
        resume : bool
            Whether the run goes on from that file, if it exists: all is restored, random streams included, and the
            end is that of a run without interruption, to the bit. A run that a callback stopped is at its end.
            The data must be the same; their number is checked, their content cannot be. The optimizer's learning
            rate and other settings are the file's; the model's dropout and weight decay must be those of the run.
        sample_weight : array, shape (len(x),), optional
            A weight for each sample, not negative. The loss of a batch is the mean by its weights, 0 if all are 0;
            validation has none. A model of your own gets them as forward(x, t, sample_weight=...).
        drop_last : bool
            Whether what is left of an epoch after its whole batches is left out, as in the book; otherwise it is a
            last, smaller batch, and an epoch's loss the mean over its samples.
        sharded : bool
            With comm, whether each rank passes samples, labels and weights of its own; else all pass the same.

        Raises
        ------
        ValueError
            x and t differ in length, an option is invalid (a batch larger than the data, say),
            compile=True and the model cannot be compiled, the model's params are not those of its layers, or its
            first backward does not write a gradient. The checkpoint is damaged or belongs to another run.
        OSError
            The checkpoint cannot be read or written. Model and trainer remain usable, and so does an older file.
        IndexError
            A label is not a class of the model.
        ImportError
            progress=True, and tqdm is not installed.
        RuntimeError
            compile=True, and a later check found a difference; names the step. The model is left as before it.
            With comm, another rank has failed or ended; says which, and why.
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

        With comm, batch_size is that of all ranks together. Each takes its rows of every batch, rank 0 the
        first; gradients are summed over the ranks, in their order, and all make the same update: parameters,
        losses and history are the same on all, to the bit, and those of one process but for rounding. What rank
        0 has at the beginning (parameters, statistics, random streams, checkpoint) is everyone's; settings that
        differ between the ranks, those of the optimizer among them, are an error. Dropout draws the mask of the
        whole batch, batch normalization takes its statistics over all ranks, layer by layer; layers of your own
        that draw or take statistics do so with the rows of their rank. Rank 0 prints, and writes checkpoints;
        callbacks are called on all ranks, and one that ends the training ends it for all. With `sharded` a batch
        has rows of each shard, in its own order, an epoch the steps of the smallest, and the validation data are
        the same on all. A run goes on with the same number of ranks only.
        """
        with self._ranks.telling():
            x, t = as_array(x, "fit: x"), as_array(t, "fit: t")
            callbacks = [callbacks] if callable(callbacks) else callbacks
            self._check(
                x, t, max_epoch, batch_size, max_grad, eval_interval, validation, callbacks, metric, sharded
            )
            for name, value in (("drop_last", drop_last), ("sharded", sharded)):
                if not isinstance(value, bool | np.bool_):
                    raise ValueError(f"fit: {name} must be True or False, got {value!r}")
            path = checked_checkpoint(checkpoint, resume)
            stream = random_stream("fit: rng", rng)
            own = None if rng is None else stream
            given = {
                **dict(max_epoch=max_epoch, batch_size=batch_size, max_grad=max_grad, eval_interval=eval_interval),
                **dict(drop_last=drop_last, resume=resume, checkpoint=path is not None, compile=self._compile),
            }
            data = [x, t, sample_weight, *(validation or ())]
            begin_together(self._ranks, self, own, data, sharded, **given)
            # Python's numbers: NumPy's overflow in products
            batches = share_epochs(self._ranks, len(x), int(batch_size), bool(drop_last), bool(sharded))
            sizes = {"samples": sum(batches.lengths), "batch_size": int(batch_size), "drop_last": int(drop_last)}
            sizes["has_weights"] = int(sample_weight is not None)
            sizes |= {"ranks": self._ranks.size, "sharded": int(batches.is_sharded)}
            goes_on = self._fit_state is not None and self._fit_state.is_loaded
            with streams_put_back() if goes_on else nullcontext():  # a model may draw when it predicts
                run = FitRun(self, x, t, validation, batches, max_grad, metric, sample_weight)
            state = begin_fit(self, sizes, own, callbacks, path, resume=resume)
            if state.is_loaded:
                take_states(batches, self.model)
            left = 0 if state.is_stopped else max(0, int(max_epoch) - state.epochs)
            run.start()
            verbose, progress = verbose and self.rank == 0, progress and self.rank == 0
            if verbose and self._compile is None and self.engine == "layers":
                hint_at_compile(self.model)
            state.is_loaded = False
            self.eval_interval = None if eval_interval is None else int(eval_interval)
            self._train(run, state, batches, orders_of(batches, stream.permutation, state.order), left, own,
                        callbacks, path, verbose=verbose, progress=progress)  # fmt: skip
            self._kept = run.engine.kept()

    def _train(
        self,
        run: FitRun,
        state: FitState,
        batches: Batches,
        orders: Any,
        left: int,
        stream: Any,
        callbacks: Sequence[Callable[..., Any]],
        path: Path | None,
        *,
        verbose: bool,
        progress: bool,
    ) -> None:
        """Train for so many epochs that are left."""
        steps, last = batches.steps, sum(batches.last) / sum(batches.whole)
        with show_progress(progress, left * steps) as bar, finish_step_on_interrupt() as interrupted:
            log = _LossLog(self, state, steps, last, bar, verbose)
            try:
                while left:
                    interrupted()  # before anything is drawn from the stream: what is drawn ahead is one call
                    # If nothing inspects the model between them, several small epochs are one call.
                    is_watched = bool(callbacks) or run.is_validated
                    is_single = is_watched or path is not None or self._ranks.size > 1
                    epochs = 1 if is_single else min(left, run.engine.epochs_at_once(steps))
                    left -= epochs
                    rows = orders.draw(epochs, batches.used)
                    state.order = orders.order
                    run.train(rows, log, interrupted)
                    if is_single:
                        self._finish_epoch(run, state, log, callbacks, path, stream)
                    if state.is_stopped:
                        break
                    if left and is_watched:
                        run.look_again()  # user code has run
            finally:
                state.window = log.window
                state.settle()
            for callback in callbacks:
                call_hook(callback, "after_fit", self)
            interrupted()

    def _finish_epoch(
        self,
        run: FitRun,
        state: FitState,
        log: _LossLog,
        callbacks: Sequence[Callable[..., Any]],
        path: Path | None,
        stream: Any,
    ) -> None:
        """Validate, call the callbacks and write the checkpoint."""
        if run.is_validated:
            self.history[-1] |= run.validate()
        state.window = log.window  # a callback may write a checkpoint, too
        for callback in callbacks:
            answer = callback(self)
            state.is_stopped |= isinstance(answer, bool | np.bool_) and bool(answer)
        state.is_stopped = end_epoch(self._ranks, self, state.is_stopped)
        self._fit_state = state  # a callback may have called fit
        if path is not None:
            self.save_checkpoint(path)
        share_streams(self._ranks, stream)

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
        metric: Callable[[Any, Any, Any], Any] | None,
        sharded: bool,
    ) -> None:
        """Raise an error if the arguments of fit are invalid."""
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(f"fit: x has shape {x.shape} and t {t.shape}, expected as many labels as samples")
        check_numbers(
            "fit", max_grad, max_epoch=(max_epoch, 0), batch_size=(batch_size, 1), eval_interval=(eval_interval, 1)
        )
        if batch_size > len(x) and not (sharded and self._ranks.size > 1):
            raise ValueError(f"fit: batch_size is {batch_size}, but there are only {len(x)} samples")
        if validation is not None:
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise ValueError("fit: validation must be a pair (x, t)")
            if not hasattr(self.model, "predict"):
                raise ValueError("fit: the model has no predict, which validation needs")
        if not isinstance(callbacks, Iterable) or not all(map(callable, callbacks)):
            raise ValueError(f"fit: callbacks must be a list of functions, got {callbacks!r}")
        for callback in callbacks:
            if isinstance(callback, type):
                raise ValueError(f"fit: the callback {callback.__name__} is a class; call it to create one")
        if metric is not None and (not callable(metric) or validation is None):
            what = "requires validation=(x, t)" if callable(metric) else f"must be a function, got {metric!r}"
            raise ValueError(f"fit: metric {what}; it is called as metric(model, x, t)")
        check_links("fit", self.model)


class _LossLog(LogLines):
    """Keeps a trainer's losses, epochs and history, and prints the lines of its log, during a fit.

    Parameters
    ----------
    trainer
        The trainer; its eval_interval is that of this fit.
    state
        Where the fit is: its epochs are counted there.
    steps : int
        Steps per epoch.
    last : float
        What the last of them counts in the epoch's loss: the share of its batch, if that is smaller.
    bar
        Progress bar, which also writes the lines.
    verbose : bool
        Whether lines are printed.
    """

    _trainer: Trainer

    def __init__(
        self, trainer: Trainer, state: FitState, steps: int, last: float, bar: Any, verbose: bool
    ) -> None:
        super().__init__(trainer, steps, bar.write)
        self._state, self._bar, self._verbose = state, bar, verbose
        self._means = LossMeans(steps, trainer.eval_interval, *state.window, last)
        self._watch = LossWatch("fit", steps, depth=4)
        self._step = 0  # done in the running epoch

    @property
    def place(self) -> str:
        """The next step."""
        return f"epoch {self._trainer.current_epoch + 1}, step {self._step + 1} of {self._steps}"

    @property
    def window(self) -> tuple[float, int]:
        """Sum and number of the losses since the last line."""
        return self._means.window()

    def add(self, losses: list[float], x: Array, rows: Array, batches: list[int]) -> None:
        """Record the losses of the next steps, on batches of so many of these rows of the samples x."""
        trainer = self._trainer
        if trainer.rank == 0:
            self._watch.look(losses, trainer.current_epoch * self._steps + self._step, x, rows, batches)
        self._bar.update(len(losses))
        self._step = (self._step + len(losses)) % self._steps
        for step, since_line, of_epoch in self._means.add(losses):
            if since_line is not None:
                trainer.loss_list.append(since_line)
                if self._verbose:
                    self.print(step, since_line)
            if of_epoch is not None:
                trainer.current_epoch += 1
                self._state.epochs += 1
                trainer.history.append({"epoch": trainer.current_epoch, "loss": of_epoch})
