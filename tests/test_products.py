"""The product's ways through memory: factors copied in blocks, few columns, zeros that are left out, threads.

The element is one chain whatever the way, so the same rows in small pieces, which go the plain way, have the
same bits.
"""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import BOUNDS, assert_within, unit

import scratchnet
from scratchnet.backends import cpu

# Rows, depth, columns: blocks with strips, whole and in part; depths of one block and of several; groups of panels
# with tails; long and narrow ones; out of one column and of few.
SHAPES = [
    (24, 800, 97),
    (61, 393, 203),
    (100, 784, 50),
    (260, 41, 250),
    (1000, 17, 193),
    (33, 2000, 24),
    (50, 300, 49),
    (2053, 301, 1),
    (1031, 402, 2),
    (1501, 111, 3),
    (777, 210, 4),
    (40, 9, 1600),
    (3, 900, 801),
    (9, 130, 1027),
    (17, 333, 501),
]
shapes = pytest.mark.parametrize(("N", "D", "M"), SHAPES, ids=["x".join(map(str, shape)) for shape in SHAPES])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


class Products:
    """All products of a layer, on the same arrays."""

    def __init__(self, N, D, M, dtype, nonzeros=1.0, seed=0):
        rng = np.random.default_rng(seed)

        def numbers(*shape):
            return rng.standard_normal(shape).astype(dtype)

        self.x = numbers(N, D) * (rng.random((N, D)) < nonzeros)
        self.W, self.b, self.dout, self.added = numbers(D, M), numbers(M), numbers(N, M), numbers(N, M)

    def results(self):
        x, W, dout = self.x, self.W, self.dout
        out, dx, dW, db = np.empty_like(dout), np.empty_like(x), np.empty_like(W), np.empty_like(self.b)
        more = self.added.copy()
        cpu.affine_forward(x, W, self.b, out)
        cpu.affine_backward(dout, x, W, dx, dW, db)
        cpu.matmul_accumulate(x, W, more)
        return {"out": out, "dx": dx, "dW": dW, "db": db, "more": more}

    def in_small_pieces(self):
        """The same by products of so few rows of out that they go the plain way."""
        x, W, dout = self.x, self.W, self.dout
        N, D, M = *x.shape, W.shape[1]
        rows = max(2, (1 << 18) // (D * M + 1))
        columns = max(2, (1 << 18) // (N * M + 1))
        out, dx, dW = np.empty_like(dout), np.empty_like(x), np.empty_like(W)
        more = self.added.copy()
        for i in range(0, N, rows):
            some = np.s_[i : i + rows]
            cpu.affine_forward(x[some], W, self.b, out[some])
            cpu.matmul_transposed(dout[some], W, dx[some])
            cpu.matmul_accumulate(x[some], W, more[some])
        nothing = np.empty_like(self.b)
        for j in range(0, D, columns):
            some = np.ascontiguousarray(x[:, j : j + columns])
            cpu.affine_backward(dout, some, W[j : j + columns], None, dW[j : j + columns], nothing)
        return {"out": out, "dx": dx, "dW": dW, "db": nothing, "more": more}


def assert_same(got, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


@shapes
@dtypes
def test_all_ways_give_the_same_bits(N, D, M, dtype):
    products = Products(N, D, M, dtype)
    got = products.results()
    assert_same(got, products.in_small_pieces())
    wide = np.float64 if dtype == np.float32 else np.longdouble
    values = {name: getattr(products, name).astype(wide) for name in ("x", "W", "b", "dout")}
    x, W, b, dout = values.values()
    for kernel, true in (
        ("affine_forward", {"out": x @ W + b}),
        ("affine_backward", {"dx": dout @ W.T, "dW": x.T @ dout, "db": dout.sum(0)}),
    ):
        bounds = BOUNDS[kernel](values | true, unit(dtype))
        for name, value in true.items():
            assert_within(got[name], value, bounds[name], name)


@pytest.mark.parametrize("nonzeros", [0.0, 0.03, 0.2, 0.38])
@pytest.mark.parametrize(
    ("N", "D", "M"),
    [
        (100, 784, 50),
        (131, 203, 33),
        (70, 257, 201),
        (300, 130, 16),
        (140, 150, 113),  # a part of a vector after whole groups of them, of 2 numbers each
        (140, 150, 225),  # of 4
        (140, 150, 451),  # of 8
        (140, 150, 901),  # of 16
    ],
)
@dtypes
def test_zeros_are_left_out_without_a_trace(N, D, M, dtype, nonzeros):
    products = Products(N, D, M, dtype, nonzeros)
    assert_same(products.results(), products.in_small_pieces())


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@dtypes
def test_zeros_times_what_is_not_finite_are_nan(dtype, bad):
    products = Products(100, 300, 50, dtype, 0.2)
    products.W[7, 49] = products.dout[99, 3] = bad
    products.x[:, 7] = products.x[99] = 0
    got = products.results()
    assert np.isnan(got["out"][:, 49]).all() and np.isfinite(got["out"][:, :49]).all()
    assert np.isnan(got["dW"][:, 3]).all()
    products = Products(100, 300, 50, dtype, 0.2)
    products.x[5, 6] = bad  # a number of the sparse factor itself
    assert_same(products.results(), products.in_small_pieces())


@pytest.mark.thread_unsafe(reason="sets the number of threads of the whole process")
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(
    ("N", "D", "M", "nonzeros"),
    [(300, 400, 250, 1), (4000, 60, 40, 1), (30, 2000, 100, 1), (40000, 101, 1, 1), (500, 500, 60, 0.1)],
)
def test_threads_change_no_bit(N, D, M, nonzeros, threads):
    products = Products(N, D, M, np.float32, nonzeros)
    before = scratchnet.get_num_threads()
    try:
        scratchnet.set_num_threads(1)
        expected = products.results()
        scratchnet.set_num_threads(threads)
        for _ in range(3):
            assert_same(products.results(), expected)
    finally:
        scratchnet.set_num_threads(before)
