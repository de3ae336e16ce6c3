"""What the trainers share: checks of what they are given, the log's language, Ctrl-C, and showing a picture.

Checks of what a model does with its gradients and its loss are in `_watching.py`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np


def check_trainable(who: str, model: Any, optimizer: Any) -> None:
    """Raise ValueError if the model or the optimizer lacks something that training needs."""
    if isinstance(model, type) or isinstance(optimizer, type):
        raise ValueError(f"{who}: expected a model and an optimizer, got a class; call it to make an object")
    for needed in ("forward", "backward", "params"):  # grads may appear in backward
        if not hasattr(model, needed):
            raise ValueError(f"{who}: the model has no {needed}, which training needs")
    if not hasattr(optimizer, "update"):
        raise ValueError(f"{who}: the optimizer has no update(params, grads)")


def check_numbers(who: str, max_grad: float | None = None, **numbers: tuple[int | None, int]) -> None:
    """Raise ValueError unless each number is whole and not below its least, and max_grad is positive.

    `eval_interval` and `max_grad` may be None.
    """
    for name, (value, least) in numbers.items():
        if name == "eval_interval" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{who}: {name} must be a whole number, {least} or more, got {value!r}")
    if max_grad is not None and not (
        isinstance(max_grad, int | float | np.integer | np.floating) and max_grad > 0
    ):
        raise ValueError(f"{who}: max_grad must be a number above 0, got {max_grad!r}")


def log_line(who: str, lines: Mapping[str, str], lang: str | None) -> str:
    """Return the log line of a language; None takes the environment's SCRATCHNET_LANG, else English.

    Raises
    ------
    ValueError
        There is no such language.
    """
    lang = lang or os.environ.get("SCRATCHNET_LANG") or "en"
    if lang not in lines:
        raise ValueError(
            f"{who}: lang (or the environment's SCRATCHNET_LANG) must be one of "
            f"{', '.join(map(repr, lines))}, got {lang!r}"
        )
    return lines[lang]


def show_where_there_is_a_window(axes: Any) -> None:
    """Show a picture if matplotlib has a window to show it in."""
    if getattr(axes.figure.canvas, "required_interactive_framework", None):
        from matplotlib import pyplot

        pyplot.show()


@contextmanager
def finish_step_on_interrupt() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the running step has ended; a second Ctrl-C goes through at once.

    Yields a function that raises KeyboardInterrupt if Ctrl-C came. Only Python's own handler in the main
    thread is replaced: a program that handles the signal itself keeps doing so.
    """
    pressed = ending = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed and not ending:
            signal.default_int_handler(signum, frame)
        pressed = True

    def interrupted() -> None:
        if pressed:
            raise KeyboardInterrupt

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        try:
            ending = True  # a further Ctrl-C must not get in before the handler is back
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
