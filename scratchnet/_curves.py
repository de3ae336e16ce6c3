"""The curve of a training run: once, or again and again while it grows, in a notebook.

matplotlib and IPython are imported only when a picture is drawn.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import as_number, as_real_array, described

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_for(ax: Axes | None) -> Axes:
    """Return the axes to draw on: the given ones, those of an empty current figure, or new ones."""
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise ValueError(f"ax must be axes of matplotlib, one of them, got {described(ax)}")
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise _no_matplotlib() from error
    figure = plt.gcf()  # the books' scripts call plt.figure() first: such an empty figure is filled
    return (plt.figure() if figure.axes else figure).add_subplot()


def _no_matplotlib() -> ImportError:
    return ImportError('plotting requires matplotlib, which could not be imported: pip install "scratchnet[plot]"')


def plot_loss(trainer: Any, ylim: tuple[float, float] | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the curve of a training run, as the ``plot`` of book 2's Trainer (chapter 1) and RnnlmTrainer (5).

    Losses of validation data are drawn beside it, each at the end of its epoch.

    Parameters
    ----------
    trainer : object with ``loss_list`` or ``ppl_list`` and ``eval_interval``, or a sequence of losses
        The k-th loss is drawn at k; if ``eval_interval`` is more than the steps of an epoch, that is after k
        epochs. If ``loss_list`` is empty, as with ``eval_interval=None``, the epochs' losses of ``history`` are
        drawn; its ``val_loss`` is the validation data's.
    ylim : (float, float), optional
        Limits of the vertical axis.
    ax : matplotlib axes, optional
        Where to draw; by default the current figure if it is empty, else a new one.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If there is no loss yet, the losses are not a plain sequence of numbers, or `ylim` is not a pair of
        numbers.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> ax = plot_loss([1.1, 0.7, 0.5])
    """
    name, what, call = "loss_list", "loss", "fit(x, t)"
    if hasattr(trainer, "ppl_list"):
        name, what, call = "ppl_list", "perplexity", "fit(xs, ts)"
    given = getattr(trainer, name, trainer)
    epochs = getattr(trainer, "history", [])
    interval = getattr(trainer, "eval_interval", None)
    steps = getattr(getattr(trainer, "_fit_state", None), "steps", 0)
    where = "Iterations" if interval is None else f"Iterations (x{interval})"
    if interval is not None and 0 < steps < interval:
        where = "Epochs"  # a line is due in the first step of each
    if isinstance(given, list) and not given and epochs:
        given, where = [entry["loss"] for entry in epochs], "Epochs"
    try:
        losses = as_real_array(name, given).astype(np.float64)
    except ValueError:
        losses = np.empty((0, 0))
    if losses.ndim != 1:
        raise ValueError(
            f"trainer must have a {name} of numbers, or be such a list itself; "
            f"got a {type(trainer).__name__} without one"
        )
    if losses.size == 0:
        raise ValueError(f"there is no {what} to plot yet: {name} is empty; call {call} first")
    limits = None if ylim is None else _limits(ylim)
    ax = axes_for(ax)
    ax.plot(np.arange(losses.size), losses, label="train")
    validated = [(k + 1, entry["val_loss"]) for k, entry in enumerate(epochs) if "val_loss" in entry]
    if validated:
        ends, numbers = zip(*validated, strict=True)
        ax.plot(np.array(ends) * losses.size / len(epochs) - 1, numbers, label="validation")
        ax.legend()
    ax.set_xlabel(where)
    ax.set_ylabel(what.capitalize())
    if limits is not None:
        ax.set_ylim(*limits)
    return ax


class LiveLoss:
    """A callback for notebooks: the loss curve of a running fit, redrawn at most twice a second, and at its end.

    Parameters
    ----------
    ylim : (float, float), optional
        Limits of the vertical axis.

    Raises
    ------
    ValueError
        `ylim` is not a pair of numbers.
    ImportError
        In a fit, if IPython or matplotlib is missing.

    Examples
    --------
    >>> callbacks = [LiveLoss(ylim=(0, 2))]  # trainer.fit(..., callbacks=callbacks)
    """

    SECONDS = 0.5  # from one picture to the next, at least

    def __init__(self, ylim: tuple[float, float] | None = None) -> None:
        self.ylim = None if ylim is None else _limits(ylim)
        self._begin()

    def _begin(self) -> None:
        self._shown: Any = None
        self._drawn_at, self._epoch = -np.inf, -1

    def before_fit(self, trainer: Any) -> None:
        """Begin a new picture; ImportError if something is missing."""
        _drawing()
        self._begin()

    def __call__(self, trainer: Any) -> None:
        """Draw the curve, if the last picture is old enough."""
        if time.monotonic() - self._drawn_at >= self.SECONDS and not getattr(trainer, "rank", 0):
            self._draw(trainer)

    def after_fit(self, trainer: Any) -> None:
        """Draw the whole curve, unless it is there."""
        if trainer.current_epoch != self._epoch and trainer.history:
            self._draw(trainer)

    def _draw(self, trainer: Any) -> None:
        Figure, Image, display = _drawing()
        figure = Figure(layout="constrained")
        plot_loss(trainer, self.ylim, ax=figure.add_subplot())
        file = io.BytesIO()
        figure.savefig(file, format="png")
        picture = Image(data=file.getvalue(), format="png")
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)
        self._drawn_at, self._epoch = time.monotonic(), trainer.current_epoch


def _drawing() -> tuple[Any, Any, Any]:
    """Return what draws in a notebook: matplotlib's Figure, and IPython's Image and display."""
    try:
        from IPython.display import Image, display
    except ImportError:
        raise ImportError("LiveLoss requires IPython: it draws in notebooks (pip install ipython)") from None
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise _no_matplotlib() from error
    return Figure, Image, display


def _limits(ylim: Any) -> tuple[float, float]:
    try:
        low, high = ylim
    except (TypeError, ValueError):
        raise ValueError(f"ylim must be two numbers, the lower and the upper limit; got {ylim!r}") from None
    limits = as_number("ylim[0]", low), as_number("ylim[1]", high)
    if not np.isfinite(limits).all():
        raise ValueError(f"ylim must be two finite numbers, got {ylim!r}")
    return limits
