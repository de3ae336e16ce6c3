"""Callbacks for `Trainer.fit(callbacks=...)`: early stopping, a schedule of the learning rate, a log, checkpoints.

A callback is called with the trainer after each epoch, and ends the training by returning True. It may have more:
`before_fit(trainer)` and `after_fit(trainer)`, called at the beginning of a fit and at its end (not after an error
or Ctrl-C); and `state_dict()` with `load_state_dict(state)`, for checkpoints: a dictionary of numbers, texts,
arrays, lists and dictionaries. A fit that goes on from a checkpoint loads that state in place of `before_fit`.
Over MPI they are called on all ranks (`trainer.rank` is this one's), and files are written by rank 0.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _model_state
from ._arrays import Array, as_number, check_integer, is_on_gpu, to_side
from ._files import as_path, check_replaceable, whole_file
from .checkpoint import checkpoint_path

__all__ = ["CSVLog", "Checkpoint", "EarlyStopping", "LearningRateSchedule"]


class EarlyStopping:
    """Ends the training when a number in the history has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        The number's name in `trainer.history`. Smaller is better for names that end in "loss", larger for those
        that end in "accuracy"; for any other say it with mode.
    patience : int
        How many epochs in a row without improvement end the training (0 is as 1).
    min_delta : float
        What is an improvement: a difference of more than this from the best.
    restore_best : bool
        Whether the parameters of the best epoch, and the buffers of layers, are put back at the end of the fit,
        however it ends, except by an error or Ctrl-C.
    mode : None, "min" or "max"
        Whether smaller or larger is better.

    Attributes
    ----------
    best : float or None
        The best number so far in this fit.
    best_epoch : int
        Its epoch, as in the history; 0 before the first.

    Raises
    ------
    ValueError
        An argument is invalid; in a fit, if the history does not have the number.

    Examples
    --------
    >>> from scratchnet import SGD, Trainer, TwoLayerNet
    >>> from scratchnet.dataset import spiral
    >>> x, t = spiral.load_data()
    >>> trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(lr=1.0))
    >>> stopping = EarlyStopping(patience=5)
    >>> trainer.fit(x, t, 300, 30, verbose=False, validation=(x, t), callbacks=stopping)
    >>> 1 <= stopping.best_epoch <= trainer.current_epoch
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
        *,
        mode: str | None = None,
    ) -> None:
        if not isinstance(monitor, str):
            raise ValueError(f"EarlyStopping: monitor must be a name in the history, got {monitor!r}")
        if mode is None:
            mode = "min" if monitor.endswith("loss") else "max" if monitor.endswith("accuracy") else None
            if mode is None:
                raise ValueError(
                    f"EarlyStopping: is a smaller or a larger {monitor} better? Give mode='min' or 'max'"
                )
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode must be None, 'min' or 'max', got {mode!r}")
        if not isinstance(restore_best, bool):
            raise ValueError(f"EarlyStopping: restore_best must be True or False, got {restore_best!r}")
        self.monitor, self.mode, self.restore_best = monitor, mode, restore_best
        self.patience = check_integer("EarlyStopping: patience", patience, 0)
        self.min_delta = as_number("EarlyStopping: min_delta", min_delta, 0)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch = self._waited = 0
        self._params: list[Array] | None = None  # of the best epoch
        self._buffers: list[Array | None] = []

    def before_fit(self, trainer: Any) -> None:
        """Forget what was best in an earlier fit."""
        self._forget()

    def __call__(self, trainer: Any) -> bool:
        """Look at the last epoch; return whether to stop."""
        entry = _last_entry("EarlyStopping", trainer)
        if self.monitor not in entry:
            hint = "; fit needs validation=(x, t)" * self.monitor.startswith("val_")
            raise ValueError(f"EarlyStopping: the history has no {self.monitor!r}, only {', '.join(entry)}{hint}")
        number = as_number(f"EarlyStopping: {self.monitor}", entry[self.monitor])
        gain = 0.0 if self.best is None else self.best - number if self.mode == "min" else number - self.best
        if gain > self.min_delta or (self.best is None and number == number):  # a NaN is not better
            self.best, self.best_epoch, self._waited = number, trainer.current_epoch, 0
            if self.restore_best:
                self._keep(trainer.model)
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self._put_back(trainer.model)
        return True

    def after_fit(self, trainer: Any) -> None:
        """Put the best epoch's parameters back."""
        self._put_back(trainer.model)

    def _keep(self, model: Any) -> None:
        self._params = [p.copy() for p in _model_state.parameters("EarlyStopping", model)]
        now = [getattr(*slot) for slot in _model_state.buffers(model)]
        self._buffers = [None if buffer is None else buffer.copy() for buffer in now]

    def _put_back(self, model: Any) -> None:
        if self._params is None:
            return
        params, slots = _model_state.parameters("EarlyStopping", model), _model_state.buffers(model)
        own = [p.shape for p in params], len(slots)
        if own != ([p.shape for p in self._params], len(self._buffers)):
            raise ValueError("EarlyStopping: the model is another one than in its best epoch")
        _model_state.put_parameters(params, self._params)
        for slot, buffer in zip(slots, self._buffers, strict=True):
            _model_state.put(slot, buffer, on_gpu=any(map(is_on_gpu, params)))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs, as NumPy arrays."""

        def on_cpu(arrays: list[Any]) -> list[Any]:
            return [None if a is None else to_side(a, to_gpu=False) for a in arrays]

        params = None if self._params is None else on_cpu(self._params)
        return {
            "monitor": self.monitor,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "params": params,
            "buffers": on_cpu(self._buffers),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        ValueError
            It is of another number, or invalid. Then nothing is changed.
        """
        if not isinstance(state, dict) or state.get("monitor") != self.monitor:
            of = state.get("monitor") if isinstance(state, dict) else state
            raise ValueError(f"EarlyStopping: the state is of {of!r}, expected {self.monitor!r}")
        try:
            best, params, buffers = state["best"], state["params"], state["buffers"]
            best = None if best is None else as_number("best", best)
            epoch, waited = (check_integer(name, state[name], 0) for name in ("best_epoch", "waited"))
            arrays = [*(params or []), *(a for a in buffers if a is not None)]
            if not all(isinstance(a, np.ndarray) for a in arrays):
                raise ValueError("params and buffers must be arrays")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"EarlyStopping: the state is invalid: {error!r}") from None
        self.best, self.best_epoch, self._waited = best, epoch, waited
        self._params, self._buffers = params, buffers


def _last_entry(who: str, trainer: Any) -> Any:
    """Return the last epoch's entry of the history, which another callback may have emptied."""
    if not trainer.history:
        raise ValueError(f"{who}: the history is empty; another callback may have emptied it")
    return trainer.history[-1]


def _writes(trainer: Any) -> bool:
    """Whether this process writes files: over MPI that of rank 0 does."""
    return getattr(trainer, "rank", 0) == 0


class LearningRateSchedule:
    """Sets the optimizer's learning rate before each epoch.

    Parameters
    ----------
    f : function
        f(epoch) -> learning rate, where epoch is how many epochs the trainer has trained: 0 before the first.

    Raises
    ------
    ValueError
        f is not a function; in a fit, if it does not return a non-negative number, or the optimizer has no lr.

    Examples
    --------
    >>> schedule = LearningRateSchedule(lambda epoch: 1.0 if epoch < 100 else 0.3)
    """

    def __init__(self, f: Callable[[int], float]) -> None:
        if not callable(f):
            raise ValueError(f"LearningRateSchedule: f must be a function, got {f!r}")
        self.f = f

    def before_fit(self, trainer: Any) -> None:
        """Set the learning rate of the first epoch."""
        self(trainer)

    def __call__(self, trainer: Any) -> None:
        """Set the learning rate of the next epoch."""
        epoch = trainer.current_epoch
        if not hasattr(trainer.optimizer, "lr"):
            raise ValueError(f"LearningRateSchedule: the optimizer {type(trainer.optimizer).__name__} has no lr")
        trainer.optimizer.lr = as_number(f"LearningRateSchedule: f({epoch})", self.f(epoch), 0)


class CSVLog:
    """Writes the history to a CSV file, a row for each epoch.

    The file is written anew when a fit begins or goes on from a checkpoint, when an epoch has a number that those
    before it had not, and when it has been removed; otherwise rows are added.
    While another program, such as a spreadsheet, keeps Windows from writing to it, rows wait for a later epoch.

    Parameters
    ----------
    path
        File to write.

    Raises
    ------
    ValueError
        The path is not a valid path.
    OSError
        The file cannot be written: at the beginning of the fit, if that is known then; at its end, if rows still
        wait.

    Examples
    --------
    >>> log = CSVLog("log.csv")  # callbacks=[log]: a line after each epoch
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path("CSVLog: path", path)
        self._columns: list[str] = []
        self._waiting: list[dict[str, Any]] = []

    def before_fit(self, trainer: Any) -> None:
        """Write the epochs so far."""
        if _writes(trainer):
            check_replaceable(self.path)
            self._write_anew(trainer.history)

    def __call__(self, trainer: Any) -> None:
        """Add the last epoch."""
        if not _writes(trainer):
            return
        entry = _last_entry("CSVLog", trainer)
        if not self._columns or not entry.keys() <= set(self._columns) or not self.path.exists():
            self._write_anew(trainer.history)
            return
        self._waiting.append(entry)
        try:
            self._write_waiting()
        except PermissionError:
            if sys.platform != "win32":
                raise

    def after_fit(self, trainer: Any) -> None:
        """Add the rows that could not be written before."""
        if self._waiting:
            self._write_waiting()

    def _write_waiting(self) -> None:
        with open(self.path, "ab") as file:
            file.write(self._text(self._waiting))
        self._waiting.clear()

    def _write_anew(self, history: list[dict[str, Any]]) -> None:
        self._columns = list(dict.fromkeys(name for entry in history for name in entry))
        heading = {name: name for name in self._columns}
        with whole_file(self.path) as file:
            file.write(self._text([heading, *history] if history else []))
        self._waiting.clear()

    def _text(self, rows: list[dict[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()


class Checkpoint:
    """Writes a checkpoint every few epochs; see `Trainer.save_checkpoint`.

    It belongs at the end of the list of callbacks: the states of those after it are from the epoch before. To
    write one after each epoch and to go on from it, `fit(checkpoint=path, resume=True)` is simpler.

    Parameters
    ----------
    path
        File to write; `.npz` is appended if missing.
    every : int
        Number of epochs from one to the next.

    Raises
    ------
    ValueError
        The path is not a valid path, or every is not a positive integer.

    Examples
    --------
    >>> saving = Checkpoint("run.npz", every=10)  # callbacks=[saving]: a file every 10 epochs
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = checkpoint_path("Checkpoint: path", path)
        self.every = check_integer("Checkpoint: every", every, 1)

    def before_fit(self, trainer: Any) -> None:
        """Raise OSError now if the file is known not to be replaceable."""
        if _writes(trainer):
            check_replaceable(self.path)

    def __call__(self, trainer: Any) -> None:
        """Write it, if it is time."""
        if trainer.current_epoch % self.every == 0:
            trainer.save_checkpoint(self.path)
