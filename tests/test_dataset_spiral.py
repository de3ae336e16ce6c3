"""The spiral has the book's points, and leaves the random stream where the book's code leaves it."""

import numpy as np
import pytest

from scratchnet.dataset import spiral


def by_the_book(seed):
    """The book's recipe, one point at a time."""
    np.random.seed(seed)
    points, labels = [], []
    for j in range(3):
        for i in range(100):
            rate = i / 100
            theta = j * 4.0 + 4.0 * rate + np.random.randn() * 0.2
            points.append([rate * np.sin(theta), rate * np.cos(theta)])
            labels.append([int(j == k) for k in range(3)])
    return np.array(points), np.array(labels, dtype=np.int32)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("seed", [1984, 0, 7, 2**32 - 1])
def test_points_and_stream_are_the_books_to_the_bit(seed):
    x_book, t_book = by_the_book(seed)
    next_in_book = np.random.randn(3), np.random.permutation(300)
    x, t = spiral.load_data(seed)
    next_here = np.random.randn(3), np.random.permutation(300)
    assert x.tobytes() == x_book.tobytes()
    assert np.array_equal(t, t_book)
    for ours, book in zip(next_here, next_in_book, strict=True):
        assert np.array_equal(ours, book)


def test_default_seed_is_the_books():
    assert np.array_equal(spiral.load_data()[0], spiral.load_data(1984)[0])
    assert not np.array_equal(spiral.load_data()[0], spiral.load_data(1985)[0])


def test_shapes_dtypes_and_layout():
    x, t = spiral.load_data()
    assert x.shape == (300, 2) and x.dtype == np.float64
    assert t.shape == (300, 3) and t.dtype == np.int32
    assert x.flags.c_contiguous and x.flags.writeable and t.flags.c_contiguous and t.flags.writeable
    assert np.array_equal(t.argmax(axis=1), np.repeat([0, 1, 2], 100)) and (t.sum(axis=1) == 1).all()
    np.testing.assert_allclose(np.hypot(*x.T), np.tile(np.arange(100) / 100, 3), atol=1e-15)
