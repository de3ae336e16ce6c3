"""Where kernels are held to targets: the products, sigmoid, softmax with loss, and the update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kernels_numpy
import numpy as np
import pytest
import roofline
from data import about_digits, digits
from timing import Contestant, Missing, Target, contest

import scratchnet
from scratchnet.backends import cpu, reference

DTYPES = ["float32", "float64"]
CLOSE = {"float32": 1e-5, "float64": 1e-12}  # relative to the largest true value


def contestant(name: str, make: Callable[[], Callable[[], Any]]) -> Contestant:
    """Whose result is what the timed call returns."""

    def both() -> tuple[Callable[[], Any], Callable[[], Any]]:
        run = make()
        return run, run

    return Contestant(name, both)


def torch_kernels() -> Any:
    try:
        import kernels_torch
    except ImportError:
        raise Missing("PyTorch is not installed") from None
    return kernels_torch


def tensors(*arrays: np.ndarray) -> list[Any]:
    return [torch_kernels().torch.from_numpy(array) for array in arrays]


def close_to(*true: Any, dtype: str) -> Callable[[str, Any], None]:
    def close(name: str, got: Any) -> None:
        for k, (mine, expected) in enumerate(zip(got, true, strict=True)):
            bound = CLOSE[dtype] * np.abs(expected).max()
            mine = mine.detach() if hasattr(mine, "detach") else mine
            np.testing.assert_allclose(mine, expected, rtol=0, atol=bound, err_msg=f"{name}: output {k}")

    return close


def normal(*shape: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def targets(dtype: str, *wanted: Target) -> list[Target]:
    """Float64 is shown beside, and is not to be slower than NumPy."""
    return list(wanted) if dtype == "float32" else [Target("NumPy", least=1)]


# N rows, D inputs, M outputs. For each form of the product: the least share of the multiply-add peak, and how many
# times as fast as NumPy and PyTorch. A few narrow rows are bound by what is around the product.
FORMS = ("x W + b", "x' dout", "dout W'")
PRODUCTS = {
    (256, 1024, 1024): dict.fromkeys(FORMS, (0.88, 1, 1)),
    (1000, 784, 1024): dict.fromkeys(FORMS, (0.88, 1, 1)),
    (10000, 784, 100): dict.fromkeys(FORMS, (0.80, 1.1, 1.1)),
    (100, 784, 50): dict.fromkeys(FORMS, (0.7, 1, 1)) | {"x W + b": (0.75, 1.15, 1)},
}


class Product:
    """One of training's three products over x (N, D), W (D, M), b (M) and dout (N, M)."""

    def __init__(self, form: str, x: np.ndarray, M: int) -> None:
        dtype = str(x.dtype)
        W, b, dout = normal(x.shape[1], M, dtype=dtype), normal(M, dtype=dtype), normal(len(x), M, dtype=dtype)
        self.left, self.right = {"x W + b": (x, W), "x' dout": (x.T, dout), "dout W'": (dout, W.T)}[form]
        self.b = b if form == "x W + b" else None
        self.x, self.form = x, form
        wide = [a.astype(np.float64) for a in (self.left, self.right)]
        self.true = wide[0] @ wide[1] + (0 if self.b is None else b)
        self._arguments = {"x W + b": (x, W, b), "x' dout": (dout, x, W), "dout W'": (dout, W)}[form]

    def _out(self) -> np.ndarray:
        return np.empty(self.true.shape, self.x.dtype)

    def ours(self) -> Callable[[], Any]:
        out, arguments = self._out(), self._arguments
        if self.form == "x W + b":
            return lambda: (cpu.affine_forward(*arguments, out), out)[1:]
        if self.form == "dout W'":
            return lambda: (cpu.matmul_transposed(*arguments, out), out)[1:]
        return lambda: (cpu.affine_backward(*arguments, None, out, None), out)[1:]

    def numpy(self) -> Callable[[], Any]:
        left, right, b, out = self.left, self.right, self.b, self._out()
        if b is None:
            return lambda: [np.matmul(left, right, out=out)]
        return lambda: [np.add(np.matmul(left, right, out=out), b, out=out)]

    def torch(self) -> Callable[[], Any]:
        torch = torch_kernels().torch
        left, right, out = tensors(self.left, self.right, self._out())
        if self.b is None:
            return lambda: [torch.mm(left, right, out=out)]
        [b] = tensors(self.b)
        return lambda: [torch.addmm(b, left, right, out=out)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", PRODUCTS, ids=lambda shape: "x".join(map(str, shape)))
def test_product(benchmark, seconds, shape, form, dtype):
    N, D, M = shape
    product, (peak, numpy, torch) = Product(form, normal(N, D, dtype=dtype), M), PRODUCTS[shape][form]
    contest(
        benchmark,
        [
            contestant("scratchnet", product.ours),
            contestant("NumPy", product.numpy),
            contestant("PyTorch", product.torch),
            roofline.peak(2 * N * D * M, np.dtype(dtype)),
        ],
        close_to(product.true, dtype=dtype),
        targets=[Target(roofline.PEAK, least=peak), Target("NumPy", least=numpy), Target("PyTorch", least=torch)],
        seconds=2 * seconds,
        table="limits",
        work=f"product {form}",
        sizes="x".join(map(str, shape)),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS[:2])
def test_product_of_images(benchmark, seconds, form, dtype):
    """The first layer's products, where four of five pixels are 0: beside the same call with none."""
    N, D, M = shape = (100, 784, 50)
    x = digits()[0][:N].astype(dtype)
    images, dense = Product(form, x, M), Product(form, normal(N, D, dtype=dtype), M)
    without_zeros = "scratchnet, no zeros"

    def close(name: str, got: Any) -> None:
        close_to((dense if name == without_zeros else images).true, dtype=dtype)(name, got)

    _, numpy, torch = PRODUCTS[shape][form]
    contest(
        benchmark,
        [
            contestant("scratchnet", images.ours),
            contestant(without_zeros, dense.ours),
            contestant("NumPy", images.numpy),
            contestant("PyTorch", images.torch),
        ],
        close,
        targets=[Target("NumPy", least=numpy), Target("PyTorch", least=torch)],
        seconds=2 * seconds,
        table="limits",
        work=f"product {form}, x of {about_digits()}",
        sizes="x".join(map(str, shape)),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid(benchmark, seconds, dtype):
    n = 1000000
    x, dout = normal(n, dtype=dtype) * 3, normal(n, dtype=dtype)[::-1].copy()

    def compiled() -> Callable[[], Any]:
        y, dx = np.empty_like(x), np.empty_like(x)

        def run() -> Any:
            cpu.sigmoid_forward(x, y)
            cpu.sigmoid_backward(dout, y, dx)
            return y, dx

        return run

    def layers() -> Callable[[], Any]:
        layer = scratchnet.Sigmoid()
        return lambda: (layer.forward(x), layer.backward(dout))

    def numpy() -> Callable[[], Any]:
        def run() -> Any:
            y = kernels_numpy.sigmoid_forward(x, None)
            return y, kernels_numpy.sigmoid_backward(dout, y, None)

        return run

    def torch() -> Callable[[], Any]:
        kernels = torch_kernels()
        tx, tdout, y, dx = tensors(x, dout, np.empty_like(x), np.empty_like(x))
        return lambda: (kernels.sigmoid_forward(tx, y), kernels.sigmoid_backward(tdout, y, dx))

    y = 1 / (1 + np.exp(-x.astype(np.float64)))
    contest(
        benchmark,
        [
            contestant("scratchnet", compiled),
            contestant("scratchnet layer", layers),
            contestant("NumPy", numpy),
            contestant("PyTorch", torch),
        ],
        close_to(y, dout * (1 - y) * y, dtype=dtype),
        targets=targets(dtype, Target("NumPy", least=2.5), Target("PyTorch", least=1)),
        seconds=3 * seconds,
        table="limits",
        work="sigmoid forward + backward",
        sizes=str(n),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1024, 1000), (100, 10)], ids=["1024x1000", "100x10"])
def test_softmax_with_loss(benchmark, seconds, shape, dtype):
    x = normal(*shape, dtype=dtype) * 2
    t = np.random.default_rng(0).integers(0, shape[1], shape[0])

    def compiled() -> Callable[[], Any]:
        y, dx = np.empty_like(x), np.empty_like(x)

        def run() -> Any:
            loss = cpu.softmax_cross_entropy_forward(x, t, 1e-7, 0.0, y)
            cpu.softmax_cross_entropy_backward(y, t, 1.0, dx)
            return loss, dx

        return run

    def layers() -> Callable[[], Any]:
        layer = scratchnet.SoftmaxWithLoss()
        return lambda: (layer.forward(x, t), layer.backward())

    def numpy() -> Callable[[], Any]:
        def run() -> Any:
            y, loss = kernels_numpy.softmax_cross_entropy_forward(x, t, 1e-7, 0.0, None)
            return loss, kernels_numpy.softmax_cross_entropy_backward(y, t, 1.0, None)

        return run

    def torch() -> Callable[[], Any]:
        kernels = torch_kernels()
        tx, tt, dx = tensors(x, t, np.empty_like(x))
        return lambda: kernels.softmax_with_loss(tx, tt, dx)

    def autograd() -> Callable[[], Any]:
        torch = torch_kernels().torch
        tx, tt = tensors(x, t)
        tx.requires_grad_()

        def run() -> Any:
            loss = torch.nn.functional.cross_entropy(tx, tt)
            return loss, *torch.autograd.grad(loss, tx)

        return run

    y = np.empty(shape)
    loss = reference.softmax_cross_entropy_forward(x.astype(np.float64), t, 1e-7, 0.0, y)
    dx = np.empty(shape)
    reference.softmax_cross_entropy_backward(y, t, 1.0, dx)
    without_delta = -np.log(y[np.arange(len(t)), t]).mean()  # PyTorch's loss has no 1e-7

    def close(name: str, got: Any) -> None:
        close_to(without_delta if name.startswith("PyTorch") else loss, dx, dtype=dtype)(name, got)

    contest(
        benchmark,
        [
            contestant("scratchnet", compiled),
            contestant("scratchnet layer", layers),
            contestant("NumPy", numpy),
            contestant("PyTorch", torch),
            contestant("PyTorch autograd", autograd),
        ],
        close,
        targets=targets(dtype, Target("NumPy", least=3), Target("PyTorch", least=1)),
        seconds=2 * seconds,
        table="limits",
        work="softmax with loss, forward + backward",
        sizes="x".join(map(str, shape)),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd(benchmark, seconds, dtype):
    """Ten million parameters, more than the caches hold: memory is the limit, and the stream measures it."""
    n, lr = 10000000, 0.1
    p, g = normal(n, dtype=dtype), normal(n, dtype=dtype)[::-1].copy()
    true = p - lr * g.astype(np.float64)

    def compiled() -> Callable[[], Any]:
        mine = p.copy()

        def run() -> Any:
            cpu.sgd_update(mine, g, lr)
            return [mine]

        return run

    def numpy() -> Callable[[], Any]:
        mine = p.copy()
        return lambda: [kernels_numpy.sgd_update(mine, g, lr)]

    def torch() -> Callable[[], Any]:
        update = torch_kernels().sgd_update
        mine, tg = tensors(p.copy(), g)
        return lambda: [update(mine, tg, lr)]

    contest(
        benchmark,
        [
            contestant("scratchnet", compiled),
            contestant("NumPy", numpy),
            contestant("PyTorch", torch),
            roofline.stream(n, np.dtype(dtype)),
        ],
        close_to(true, dtype=dtype),
        targets=targets(dtype, Target(roofline.STREAM, least=0.9)),
        seconds=3 * seconds,
        table="limits",
        work="SGD update",
        sizes=str(n),
        dtype=dtype,
    )
