"""What the trainers share: checks of their arguments, the log and its language, Ctrl-C, and the plot.

Checks of what a model does with its gradients and its loss are in `_watching.py`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import numpy as np

_WHOLE = (int, np.integer)


class BaseTrainer:
    """A model, an optimizer, the line of the log, and a picture of what is logged."""

    def __init__(self, who: str, model: Any, optimizer: Any, lines: Mapping[str, str], lang: str | None) -> None:
        check_trainable(who, model, optimizer)
        self._line = log_line(who, lines, lang)
        self.model = model
        self.optimizer = optimizer
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, {self.optimizer!r}, current_epoch={self.current_epoch})"

    def plot(self, ylim: tuple[float, float] | None = None, *, ax: Any = None) -> Any:
        """Plot the logged losses, or a language model's perplexities; return the matplotlib axes.

        Parameters
        ----------
        ylim : (float, float), optional
            Limits of the vertical axis.
        ax : matplotlib axes, optional
            Where to draw; by default a new figure is created, and shown if matplotlib has a window.

        Raises
        ------
        ValueError
            There is nothing to plot yet.
        ImportError
            matplotlib is not installed.
        """
        from .plotting import plot_loss

        axes = plot_loss(self, ylim, ax=ax)
        if ax is None:
            show_where_there_is_a_window(axes)
        return axes


class LogLines:
    """Prints the lines of a fit's log.

    Parameters
    ----------
    trainer
        The trainer, which defines the line.
    steps : int
        Steps per epoch.
    write
        Function that prints a line.
    """

    def __init__(self, trainer: BaseTrainer, steps: int, write: Callable[[str], None]) -> None:
        self._trainer, self._steps, self._write = trainer, steps, write
        self._start = time.perf_counter()

    def print(self, step: int, number: float) -> None:
        """Print the line of a step of the running epoch, counted from 1."""
        trainer, seconds = self._trainer, time.perf_counter() - self._start
        self._write(trainer._line % (trainer.current_epoch + 1, step, self._steps, seconds, number))


def check_trainable(who: str, model: Any, optimizer: Any) -> None:
    """Raise ValueError if the model or the optimizer lacks something that training requires."""
    if isinstance(model, type) or isinstance(optimizer, type):
        raise ValueError(f"{who}: expected a model and an optimizer, got a class; call it to create an instance")
    for needed in ("forward", "backward", "params"):  # grads may appear in backward
        if not hasattr(model, needed):
            raise ValueError(f"{who}: the model has no {needed}, which training requires")
    if not hasattr(optimizer, "update"):
        raise ValueError(f"{who}: the optimizer has no update(params, grads)")


def check_numbers(who: str, max_grad: float | None = None, **numbers: tuple[int | None, int]) -> None:
    """Raise ValueError unless each number is an integer of at least its minimum, 0 or 1, and max_grad is positive.

    `eval_interval` and `max_grad` may be None.
    """
    for name, (value, least) in numbers.items():
        if name == "eval_interval" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, _WHOLE) or value < least:
            sign = "positive" if least else "non-negative"
            raise ValueError(f"{who}: {name} must be a {sign} integer, got {value!r}")
    if max_grad is not None and not (
        isinstance(max_grad, int | float | np.integer | np.floating) and max_grad > 0
    ):
        raise ValueError(f"{who}: max_grad must be a positive number, got {max_grad!r}")


def log_line(who: str, lines: Mapping[str, str], lang: str | None) -> str:
    """Return the log line of a language; None means the environment variable SCRATCHNET_LANG, else English.

    Raises
    ------
    ValueError
        The language is unknown.
    """
    lang = lang or os.environ.get("SCRATCHNET_LANG") or "en"
    if not isinstance(lang, str) or lang not in lines:
        raise ValueError(
            f"{who}: lang (or the environment variable SCRATCHNET_LANG) must be one of "
            f"{', '.join(map(repr, lines))}, got {lang!r}"
        )
    return lines[lang]


def show_where_there_is_a_window(axes: Any) -> None:
    """Show the figure if matplotlib has a window."""
    if getattr(axes.figure.canvas, "required_interactive_framework", None):
        from matplotlib import pyplot

        pyplot.show()


class finish_step_on_interrupt:
    """Delay Ctrl-C until the running step has finished; a second Ctrl-C takes effect at once.

    Entering gives a function that raises KeyboardInterrupt if Ctrl-C was pressed. Anything after its last call is
    raised on leaving, so none is lost. Only Python's own handler in the main thread is replaced: a program that
    handles the signal itself keeps doing so. If nested, in a fit started by a callback, the outer one keeps
    delaying, and either function raises.
    """

    def __init__(self) -> None:
        self._is_pressed = self._is_over = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self._is_pressed or self._is_over:  # over, if a callback kept this handler and put it back later
            self._put_back()  # before it raises, wherever that is: leaving might not come to it
            signal.default_int_handler(signum, frame)
        self._is_pressed = True

    def __enter__(self) -> Callable[[], None]:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if isinstance(handler, finish_step_on_interrupt):
                return handler._raise_if_pressed
            if handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self)
        return self._raise_if_pressed

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_over = True
        self._put_back()
        if self._is_pressed and not (kind and issubclass(kind, KeyboardInterrupt)):
            raise KeyboardInterrupt

    def _put_back(self) -> None:
        if signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _raise_if_pressed(self) -> None:
        if self._is_pressed:
            self._is_pressed = False  # a callback may catch it, from a fit that it started, and continue
            raise KeyboardInterrupt
