"""The spiral of book 2, chapter 1: three arms that no straight line can separate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_data"]

_POINTS = 100  # in each class
_CLASSES = 3


def load_data(seed: int = 1984) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Make the book's spiral: 100 points in the plane for each of 3 classes.

    NumPy's global random stream is seeded, and left where the book's code leaves it: after 300 normal
    numbers. A script that then draws weights or batches from it gets the book's numbers.

    Parameters
    ----------
    seed : int
        Argument of ``numpy.random.seed``.

    Returns
    -------
    x : ndarray of float64, shape (300, 2)
        The points, class by class, each class from the centre outwards.
    t : ndarray of int32, shape (300, 3)
        Their classes, one-hot.

    Raises
    ------
    ValueError, TypeError
        ``numpy.random.seed`` rejects the seed.

    Notes
    -----
    Book 2, section 1.4.1.

    Examples
    --------
    >>> x, t = load_data()
    >>> x.shape, t.shape
    ((300, 2), (300, 3))
    """
    np.random.seed(seed)
    noise = np.random.randn(_CLASSES, _POINTS) * 0.2
    radius = np.arange(_POINTS) / _POINTS  # (100,), the same for every class
    arm = np.arange(_CLASSES)[:, np.newaxis] * 4.0
    # In the book's order of additions: the points are its own to the last bit.
    angle = arm + 4.0 * radius + noise  # (3, 100)
    x = np.stack((radius * np.sin(angle), radius * np.cos(angle)), axis=-1)
    t = np.repeat(np.eye(_CLASSES, dtype=np.int32), _POINTS, axis=0)
    return x.reshape(-1, 2), t
