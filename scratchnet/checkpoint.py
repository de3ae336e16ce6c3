"""Checkpoints: a whole training run in one .npz file, from which it goes on as if it had not been interrupted.

A file is read and checked whole before anything is changed.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _model_state, _streams
from ._files import as_path, check_replaceable
from ._fit_state import FitState
from ._ranks import Ranks
from ._training import BaseTrainer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ResumableTrainer"]


_STATE_METHODS = ("state_dict", "load_state_dict")


class ResumableTrainer(BaseTrainer):
    """A trainer whose runs can be written to a file and continued from it."""

    _lists: ClassVar[dict[str, Callable[[Any], bool]]]  # attributes that a checkpoint holds, and what they must be
    _fit_state: FitState | None = None  # of the running or the last fit
    _ranks: Ranks = Ranks()

    @property
    def rank(self) -> int:
        """The number of this process among those that train together over MPI; 0 if it trains alone."""
        return self._ranks.rank

    def save_checkpoint(self, path: str | os.PathLike[str]) -> Path:
        """Write the run so far to an .npz file, from which a trainer of the same model and optimizer goes on.

        It contains the parameters, the buffers and states of layers, the optimizer's state, the order of the
        samples, NumPy's global random stream and that of fit's rng, the losses and the history, and the states of
        callbacks. It does not contain the data, nor anything else that a class of one's own keeps, nor the
        streams of CuPy and of Python's `random`. After Ctrl-C within an epoch, a run that goes on from it leaves
        out the rest of that epoch.

        Parameters
        ----------
        path
            File to write; `.npz` is appended if missing. The file appears under its name only once it is complete;
            an existing file stays unchanged until then. With comm rank 0 writes it.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        ValueError
            The optimizer or a callback has no state that can be written, or the path is not a valid path.
        OSError
            The file cannot be written: its folder is missing, the disk is full, or the path is not a regular file.
        """
        path = checkpoint_path("save_checkpoint", path)
        from ._checkpoint_file import write_checkpoint  # on use: a fit without checkpoints does not need it

        _check_can_be_saved("save_checkpoint", self)
        with self._ranks.telling():
            states = _states_of_all(self._ranks, self.model)
            if self.rank == 0:
                write_checkpoint(path, self, states)
        return path

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Restore a run that `save_checkpoint` or fit wrote; the next fit goes on from it.

        That fit's max_epoch counts the epochs of the whole run. NumPy's global random stream is restored, too. The
        data must be the same: of other data of the same length nothing can be known. The optimizer's settings, its
        learning rate among them, are the checkpoint's; those of the model (dropout_ratio, weight_decay, and the
        momentum of batch normalization) must be the same.

        Parameters
        ----------
        path
            File to read; `.npz` is appended if missing.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        OSError
            The file cannot be read, or is not a regular file.
        ValueError
            It is not a checkpoint, is damaged, or belongs to another model or optimizer. Then nothing is changed.
        """
        path = checkpoint_path("load_checkpoint", path)
        _check_can_be_saved("load_checkpoint", self)
        try:
            checkpoint = _read(path, self)
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no checkpoint {path}") from None
        checkpoint.restore(self)


def begin_fit(
    trainer: ResumableTrainer,
    sizes: dict[str, int],
    stream: Any,
    callbacks: Sequence[Any],
    path: Path | None,
    *,
    resume: bool,
) -> FitState:
    """Return the state from which a fit begins or goes on, after everything has been restored.

    Its is_loaded is for the fit to clear, when nothing else can be refused.

    Parameters
    ----------
    trainer
        Goes on from the checkpoint that it has loaded, or, with `resume`, from the file if it exists.
    sizes, stream
        As in a FitState.
    callbacks
        All of the fit. `before_fit` is called on those that have it, or else their state is loaded.
    path : Path or None
        Where the fit writes checkpoints.

    Raises
    ------
    ValueError
        The file is damaged, or belongs to another run. Then nothing is changed.
    OSError
        The file cannot be read, or could not be replaced.
    """
    live = [c for c in callbacks if all(callable(getattr(c, name, None)) for name in _STATE_METHODS)]
    fresh = callbacks
    checkpoint = None
    if path is not None:
        _check_can_be_saved("fit: checkpoint", trainer)
        ranks = trainer._ranks
        content = ranks.from_first(partial(_found, path, resume, as_bytes=ranks.size > 1))
        if content is not None:
            checkpoint = _read(path, trainer, content or None)
    state = checkpoint.fit_state if checkpoint else trainer._fit_state
    if state is not None and state.is_loaded and state.sizes:
        own_stream = state.check_continues(sizes, stream, live)
        pairs = list(zip(live, [stored["state"] for stored in state.callbacks], strict=True))
        for callback, own in pairs:  # all are tried before the first is changed
            _copied(callback, trainer).load_state_dict(copy.deepcopy(own))
        for callback, own in pairs:
            callback.load_state_dict(own)
        if checkpoint:
            checkpoint.restore(trainer)
        if own_stream is not None:
            _streams.set_state(stream, own_stream)
        state.stream, state.live = stream, live
        state.is_stopped &= resume
        fresh = [c for c in callbacks if not any(c is other for other in live)]
    else:
        if checkpoint:
            checkpoint.restore(trainer)
        state = FitState(sizes, stream, live)
    trainer._fit_state = state
    for callback in fresh:
        call_hook(callback, "before_fit", trainer)
    return state


def _copied(callback: Any, trainer: Any) -> Any:
    """Return a callback like another one, on which its state can be tried; it may hold the trainer itself."""
    try:
        return copy.deepcopy(callback, {id(held): held for held in (trainer, trainer.model)})
    except Exception:  # it holds a file, say: that alone is shared
        twin = copy.copy(callback)
        for name, value in vars(callback).items():
            with suppress(Exception):
                setattr(twin, name, value if value is trainer else copy.deepcopy(value))
        return twin


def call_hook(callback: Any, name: str, trainer: Any) -> None:
    """Call a callback's `before_fit` or `after_fit`, if it has one."""
    hook = getattr(callback, name, None)
    if callable(hook):
        hook(trainer)


def checkpoint_path(where: str, given: Any) -> Path:
    """Return a checkpoint's path, with the ending .npz."""
    path = as_path(where, given)
    if not path.name:
        raise ValueError(f"{where}: expected the name of a file, got {str(path)!r}")
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def checked_checkpoint(checkpoint: Any, resume: Any) -> Path | None:
    """Return the path of fit's checkpoint, or None; ValueError if one of the arguments is invalid."""
    if not isinstance(resume, bool):
        raise ValueError(f"fit: resume must be True or False, got {resume!r}")
    if checkpoint is not None:
        return checkpoint_path("fit: checkpoint", checkpoint)
    if resume:
        raise ValueError("fit: resume=True requires checkpoint=, the file to go on from")
    return None


def _check_can_be_saved(who: str, trainer: ResumableTrainer) -> None:
    """Raise ValueError if a checkpoint cannot hold the model's parameters or the optimizer's state."""
    _model_state.parameters(who, trainer.model)
    for name in _STATE_METHODS:
        if not callable(getattr(trainer.optimizer, name, None)):
            raise ValueError(f"{who}: the optimizer {type(trainer.optimizer).__name__} has no {name}")


def _states_of_all(ranks: Ranks, model: Any) -> list[Any] | None:
    """Return the states of stateful layers for the rows of all ranks; None if they are the model's own."""
    slots = _model_state.states(model)
    if ranks.size == 1 or not slots:
        return None
    each = ranks.of_all("saves a run", [_model_state.on_cpu(getattr(*slot)) for slot in slots])
    return [None if parts[0] is None else np.concatenate(parts) for parts in zip(*each, strict=True)]


def _found(path: Path, resume: bool, *, as_bytes: bool) -> bytes | None:
    """Return whether a fit goes on from a file: its content, or nothing of it; None if not."""
    if check_replaceable(path) is not None and resume:
        return path.read_bytes() if as_bytes else b""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"fit: checkpoint: there is no folder {path.parent}")
    return None


def _read(path: Path, trainer: ResumableTrainer, content: bytes | None = None) -> Any:
    from ._checkpoint_file import read_checkpoint

    return read_checkpoint(path, trainer, content)
