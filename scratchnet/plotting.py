"""Pictures: the loss curve, also while it grows, the decision boundary and the path of gradient descent.

matplotlib is imported only when a picture is drawn. Every ``plot_`` function returns the axes that
it drew on and leaves ``plt.show()`` to the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ._arrays import as_array, as_labels, as_number, as_real_array
from ._curves import LiveLoss, axes_for, plot_loss
from .util import to_cpu

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LiveLoss", "decision_regions", "plot_decision_boundary", "plot_descent", "plot_loss"]

# Petroff (2021), "Accessible Color Sequences for Data Visualization": distinguishable for colour-blind readers
# too.
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
            "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")  # fmt: skip
_MARKERS = "ox^sDv+*P<"  # the first three are the book's
_TINT = 0.35  # opacity of a class's colour in its region, over white
_BLOCK = 4096  # grid points per call of predict: enough to hide its overhead, few enough to stay in cache
_MOST_POINTS = 10**9  # more would take hours of predict, and 1 GB for classes
_SIDE = 500  # grid points along each axis when no step is given
_PIXELS = 1200  # a finer image is thinned along the axis: no page shows more
_FAR = 20.0  # a diverged path is shown up to this many times its start


class _Classifier(Protocol):
    def predict(self, x: NDArray[np.float64], /) -> Any: ...


def _pairs(name: str, value: ArrayLike, meaning: str) -> NDArray[np.float64]:
    try:
        array = to_cpu(as_real_array(name, value)).astype(np.float64)
    except ValueError as error:
        raise ValueError(f"{name} must be {meaning}; this {type(value).__name__} is not such an array") from error
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(f"{name} must be {meaning}; got shape {array.shape}")
    return array


def decision_regions(
    model: _Classifier, x: ArrayLike, *, h: float | None = None, margin: float = 0.1
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Classify a grid that covers the points `x`: the data behind ``plot_decision_boundary``.

    The grid is that of book 2, chapter 1, ``np.arange(min - margin, max + margin, h)`` along each axis. It is
    never in memory as a whole: the model gets a few thousand points at a time, and only their classes are kept.

    Parameters
    ----------
    model : object with ``predict``
        ``predict(points)`` takes float64 (B, 2), C-contiguous, and returns scores (B, C) with C >= 2.
    x : array_like (N, 2)
        The points to cover.
    h : float, optional
        Distance between grid points, the same along both axes (the book's is 0.001). By default a 500th of
        each axis.
    margin : float
        How far the grid reaches beyond the points on every side.

    Returns
    -------
    xx : float64 (W,)
    yy : float64 (H,)
    classes : uint8 (H, W), intp for more than 256 classes
        ``classes[i, j]`` is the index of the highest score at ``(xx[j], yy[i])``.

    Raises
    ------
    ValueError
        If `x`, `h`, `margin` or the result of ``predict`` is not as described, a score is NaN, or `h` gives a grid
        of more than 10**9 points.


    Examples
    --------
    >>> from scratchnet.models import TwoLayerNet
    >>> xx, yy, classes = decision_regions(TwoLayerNet(2, 10, 3), np.eye(2), h=0.1)
    >>> classes.shape
    (13, 13)
    """
    x = _pairs("x", x, "points of shape (N, 2), N >= 1")
    if not np.isfinite(x).all():
        raise ValueError("x must contain only finite numbers; it has a NaN or an infinity")
    _check_classifier(model)
    margin = as_number("margin", margin)
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin must be a finite non-negative number; got {margin}")
    h = None if h is None else as_number("h", h)
    if h is not None and not (np.isfinite(h) and h > 0):
        raise ValueError(f"h must be a finite positive number, or None; got {h}")
    low, high = x.min(axis=0) - margin, x.max(axis=0) + margin
    if not (low < high).all():
        raise ValueError(f"the points and a margin of {margin} span no area; give a larger margin")
    step = (high - low) / _SIDE if h is None else (h, h)
    sides = (high - low) / step
    if sides.prod() > _MOST_POINTS:
        raise ValueError(f"h={h} makes a grid of {sides[0]:.3g} x {sides[1]:.3g} points; choose a larger h")
    xx, yy = (np.arange(low[i], high[i], step[i]) for i in (0, 1))

    classes: NDArray[Any] | None = None  # flat until the end; its dtype is known after the first block
    count, width = 0, xx.size
    for start in range(0, yy.size * width, _BLOCK):
        row, column = np.divmod(np.arange(start, min(start + _BLOCK, yy.size * width)), width)
        points = np.stack((xx[column], yy[row]), axis=1)
        scores = to_cpu(model.predict(points))
        if scores.ndim != 2 or len(scores) != len(points) or scores.shape[1] < 2:
            raise ValueError(
                f"model.predict must return a row of scores for each point, shape ({len(points)}, C) with "
                f"C >= 2; got shape {scores.shape}; if the model has one output, wrap it so that predict "
                "returns a column for each of the two classes"
            )
        if classes is None:
            count = scores.shape[1]
            classes = np.empty(yy.size * width, dtype=np.uint8 if count <= 256 else np.intp)
        elif scores.shape[1] != count:
            raise ValueError(f"model.predict returned {count} scores per point, then {scores.shape[1]}")
        if np.isnan(scores).any():
            raise ValueError("model.predict returned NaN; if training diverged, try a smaller learning rate")
        classes[start : start + len(points)] = scores.argmax(axis=1)
    assert classes is not None  # the grid has at least one point
    return xx, yy, classes.reshape(yy.size, width)


def _check_classifier(model: Any) -> None:
    if not callable(getattr(model, "predict", None)):
        raise ValueError(f"the model, a {type(model).__name__}, has no predict(points)")


def _labels(t: ArrayLike, count: int) -> NDArray[np.intp]:
    labels = to_cpu(as_array(t, "t"))
    if labels.ndim not in (1, 2) or len(labels) != count:
        raise ValueError(
            f"t must contain one label per point, as indices ({count},) or one-hot ({count}, C); "
            f"got shape {labels.shape}"
        )
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else as_labels("t", labels, count, labels.shape[1])
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"t must contain class indices or one-hot rows; got dtype {labels.dtype}")
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.intp)
    wrong = (whole != labels) | (whole < 0)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"t must contain class indices 0, 1, 2, ...; label {first} is {labels[first]}")
    return whole


def plot_decision_boundary(
    model: _Classifier,
    x: ArrayLike,
    t: ArrayLike,
    *,
    ax: Axes | None = None,
    h: float | None = None,
    margin: float = 0.1,
) -> Axes:
    """Draw the regions that a model assigns to each class, and the points, as in book 2, chapter 1.

    Parameters
    ----------
    model : object with ``predict``
        ``predict(points)`` takes float64 (B, 2) and returns scores (B, C) with C >= 2.
    x : array_like (N, 2)
        The points.
    t : array_like (N,) or (N, C)
        Their labels, as indices or one-hot. Colours repeat after ten classes.
    ax : matplotlib axes, optional
        Where to draw; by default the current figure if it is empty, else a new one.
    h, margin : float
        The grid, see ``decision_regions``; ``h=0.001`` is the book's. Beyond 1200 points along an axis, every
        second (third, ...) one is drawn.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        As ``decision_regions``; also if `t` is not one label per point.
    ImportError
        If matplotlib is missing.


    Examples
    --------
    >>> from scratchnet.dataset import spiral
    >>> x, t = spiral.load_data()
    >>> from scratchnet.models import TwoLayerNet
    >>> ax = plot_decision_boundary(TwoLayerNet(2, 10, 3), x, t)
    """
    x = _pairs("x", x, "points of shape (N, 2), N >= 1")
    labels = _labels(t, len(x))
    xx, yy, classes = decision_regions(model, x, h=h, margin=margin)
    ax = axes_for(ax)

    from matplotlib.colors import ListedColormap, to_rgb

    # contourf would draw a band of class 1 along the border between 0 and 2. An image draws none if colours,
    # not class numbers, are smoothed; but matplotlib needs at least 50 bytes for each of its pixels.
    k = -(-max(classes.shape) // _PIXELS)
    dx, dy = (k * (h if h is not None else axis[1] - axis[0]) / 2 for axis in (xx, yy))
    xx, yy, classes = xx[::k], yy[::k], classes[::k, ::k]
    width, height = np.ptp(xx) + 2 * dx, np.ptp(yy) + 2 * dy
    ax.imshow(
        classes % len(_COLOURS),
        cmap=ListedColormap([tuple(1 - _TINT * (1 - part) for part in to_rgb(c)) for c in _COLOURS]),
        vmin=-0.5,
        vmax=len(_COLOURS) - 0.5,
        origin="lower",
        extent=(xx[0] - dx, xx[-1] + dx, yy[0] - dy, yy[-1] + dy),
        aspect="equal" if 1 / 3 < width / height < 3 else "auto",
        interpolation="antialiased",
        interpolation_stage="rgba",
    )
    present = np.unique(labels)
    for label in present.tolist():
        marker, points = _MARKERS[label % len(_MARKERS)], x[labels == label]
        outline: dict[str, Any] = (
            {"linewidths": 2} if marker in "x+" else {"linewidths": 0.8, "edgecolors": "white"}
        )
        ax.scatter(
            points[:, 0],
            points[:, 1],
            s=40,
            marker=marker,
            color=_COLOURS[label % len(_COLOURS)],
            label=f"class {label}",
            **outline,
        )
    if present.size <= len(_MARKERS):
        ax.legend(loc="upper right")
    ax.set_axis_off()
    return ax


def _bowl(x: NDArray[np.float64]) -> Any:
    return x[0] ** 2 + x[1] ** 2


def plot_descent(
    path: ArrayLike, f: Callable[[NDArray[np.float64]], Any] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the steps of gradient descent over the contours of `f`, as in book 1, chapter 4.

    A path that ends higher than it started, or becomes infinite or NaN, is drawn as far as it stays near its
    start, and the picture says that it diverged.

    Parameters
    ----------
    path : array_like (steps + 1, 2)
        The points visited, from ``_, path = gradient_descent(f, init_x, return_path=True)``.
    f : callable, optional
        The function descended: takes a float64 (2,), returns a number. Default: the book's x0**2 + x1**2.
    ax : matplotlib axes, optional
        Where to draw; by default the current figure if it is empty, else a new one.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If `path` is not such an array, its first point is not finite, or `f` does not return one number.
    ImportError
        If matplotlib is missing.


    Examples
    --------
    >>> from scratchnet.gradient import gradient_descent
    >>> _, path = gradient_descent(lambda x: (x**2).sum(), np.array([-3.0, 4.0]), lr=0.1, return_path=True)
    >>> ax = plot_descent(path)
    """
    meaning = "points of shape (steps + 1, 2): the second result of gradient_descent(..., return_path=True)"
    path = _pairs("path", path, meaning)
    if not np.isfinite(path[0]).all():
        raise ValueError(f"path must start at a finite point; got {path[0]}")
    function = _bowl if f is None else f
    if not callable(function):
        raise ValueError(f"f must be a function, got {type(f).__name__}")

    def height(x0: float, x1: float) -> float:
        result = function(np.array([x0, x1]))
        if np.size(result) != 1:
            raise ValueError(f"f must return one number for a point (2,); got shape {np.shape(result)}")
        return as_number("f(x)", result)

    reach = np.abs(path).max(axis=1)
    finite = np.isfinite(reach)
    with np.errstate(all="ignore"):
        first, last = height(*path[0]), height(*path[-1]) if finite.all() else np.inf
    # Bouncing between two points is not diverging, though rounding lifts the last one a little.
    diverged = not (last <= first or last - first <= 1e-6 * abs(first))

    near = reach <= _FAR * (reach[0] or 1.0)  # NaN is not
    stop = int(near.argmin()) if diverged and not near.all() else len(path)
    shown = path[:stop]
    # Zero is the middle, as in the book, unless f is the user's and the path is small and far from zero.
    centred = f is None or np.abs(shown).max() <= 10 * np.ptp(shown, axis=0).max()
    middle = np.zeros(2) if centred else (shown.min(axis=0) + shown.max(axis=0)) / 2
    half = 1.15 * np.abs(shown - middle).max() or 1.0
    if stop < len(path) and finite[stop]:
        shown = path[: stop + 1]  # the line leaves the picture

    ax = axes_for(ax)
    grid = np.linspace(middle - half, middle + half, 81)
    with np.errstate(all="ignore"):
        heights = np.ma.masked_invalid([[height(x0, x1) for x0 in grid[:, 0]] for x1 in grid[:, 1]])
    ax.contour(grid[:, 0], grid[:, 1], heights, levels=10, colors="0.8", linewidths=0.8)
    ax.axhline(0, color="0.6", linestyle="--", linewidth=0.8)
    ax.axvline(0, color="0.6", linestyle="--", linewidth=0.8)
    ax.plot(shown[:, 0], shown[:, 1], "-", color=_COLOURS[0], alpha=0.4)
    ax.plot(shown[:, 0], shown[:, 1], "o", color=_COLOURS[0], markersize=5, label=f"{len(path) - 1} steps")
    ax.plot(shown[:1, 0], shown[:1, 1], "o", color=_COLOURS[2], label="start")
    ax.set(xlim=grid[[0, -1], 0], ylim=grid[[0, -1], 1], xlabel="X0", ylabel="X1", aspect="equal")

    title = None
    if diverged and finite.all():
        title = f"diverged, to\n({path[-1, 0]:.1e}, {path[-1, 1]:.1e})"
    elif diverged:
        title = f"diverged, not finite\nafter {int(finite.argmin())} steps"
    falling = np.prod(path[0] - middle) < 0  # from upper left to lower right, or back
    ax.legend(loc="upper right" if falling else "upper left", title=title)
    return ax
