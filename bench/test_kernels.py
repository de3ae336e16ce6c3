"""Every kernel of the contract in the shapes that training has: scratchnet, NumPy's expression, PyTorch.

The calls are the tests' cases, and scratchnet is held to the tests' bounds before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import kernels_numpy
import numpy as np
import pytest
from cases import Case, make_case, wide
from timing import Contestant, Missing, contest
from tolerances import BOUNDS, assert_within, unit

from scratchnet.backends import KERNELS, Kernel, cpu, reference

# How far the others may be from the true values, relative to the largest: their order of operations is their own.
CLOSE = {"float32": 1e-4, "float64": 1e-12}

# The spiral, the books' network for MNIST, something wide; by the letters in the shapes of a kernel's arguments.
SIZES = {
    "NDM": [dict(N=30, D=2, M=10), dict(N=100, D=784, M=50), dict(N=256, D=1024, M=1024)],
    "ND": [dict(N=30, D=10), dict(N=100, D=50), dict(N=256, D=1024)],
    "NDB": [dict(N=300, D=2, B=30), dict(N=10000, D=784, B=100)],
    "NC": [dict(N=30, C=3), dict(N=100, C=10), dict(N=1024, C=1000)],
    "n": [dict(n=300), dict(n=39760), dict(n=1000000)],
}
# Book 1's convolutional network: windows of 5 x 5 over an image, of 2 x 2 over what comes of them.
IMAGES = {
    "im2col": dict(N=100, C=1, H=28, W=28, P=5, Q=5, stride=1, pad=0),
    "convolution_forward": dict(N=100, K=25, L=576, M=30),
    "max_pool_forward": dict(N=100, C=30, H=24, W=24, P=2, Q=2, stride=2),
}
IMAGES |= {
    "col2im": IMAGES["im2col"],
    "convolution_backward": IMAGES["convolution_forward"],
    "max_pool_backward": IMAGES["max_pool_forward"],
}


def sizes_of(kernel: Kernel) -> list[dict[str, int]]:
    if kernel.name in IMAGES:
        return [IMAGES[kernel.name]]
    return SIZES["".join(c for c in "NDMBCn" if any(c in a.shape for a in kernel.arguments)) or "n"]


CALLS = [(name, sizes) for name, kernel in KERNELS.items() for sizes in sizes_of(kernel)]


def text(sizes: dict[str, int]) -> str:
    return "x".join(map(str, sizes.values()))


def call(name: str, sizes: dict[str, int], dtype: str) -> Case:
    """The tests' call, but with arrays where NumPy puts them and not one element beside."""
    case = make_case(name, sizes, np.dtype(dtype))
    if "factor" in case.values:
        case.values["factor"] = -1.0  # called again and again, another would end in zeros or infinities
    case.values = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in case.values.items()}
    return case


def outputs(kernel: Kernel, values: dict[str, Any], returned: Any) -> dict[str, Any]:
    """What a kernel wrote and returned, by name."""
    written = {a.name: values[a.name] for a in kernel.arguments if a.is_written}
    return written | ({"return": returned} if kernel.returns_float else {})


class Close:
    """Whether the outputs of a call are right."""

    def __init__(self, case: Case, dtype: str) -> None:
        true = wide(case)
        true.values = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in true.values.items()}
        self.true = outputs(case.kernel, true.values, true.call(reference))
        bounds = BOUNDS.get(case.kernel.name)
        self.bounds = bounds(true.values, unit(dtype)) if bounds else {}
        self.dtype = dtype

    def __call__(self, name: str, got: dict[str, Any]) -> None:
        for output, true in self.true.items():
            bound = CLOSE[self.dtype] * np.abs(true).max()
            if name == "scratchnet":
                bound = self.bounds.get(output, bound)
            assert_within(got[output], np.asarray(true), bound, f"{name}: {output}")


def compiled(case: Case) -> Callable[[], Any]:
    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        kernel, values = getattr(cpu, case.kernel.name), copied(case)
        arguments = list(values.values())
        run = lambda: kernel(*arguments)  # noqa: E731
        return lambda: outputs(case.kernel, values, run()), run

    return make


def expression(case: Case, functions: str, package: str | None = None) -> Callable[[], Any]:
    """A kernel's counterpart in one of the modules of this folder."""

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        try:
            module = import_module(functions)
        except ImportError:
            raise Missing(f"{package} is not installed") from None
        if not hasattr(module, case.kernel.name):
            raise Missing(f"{package} has no such operation")
        arguments = list(copied(case).values())
        if module is not kernels_numpy:
            arguments = [module.torch.from_numpy(v) if isinstance(v, np.ndarray) else v for v in arguments]
        function = getattr(module, case.kernel.name)
        run = lambda: function(*arguments)  # noqa: E731

        def result() -> dict[str, Any]:
            got = run()
            names = outputs(case.kernel, case.values, None)
            return dict(zip(names, got if isinstance(got, tuple) else [got], strict=True))

        return result, run

    return make


def copied(case: Case) -> dict[str, Any]:
    """The arguments; everybody has outputs of their own, and the inputs are shared."""
    return {
        a.name: case.values[a.name].copy() if a.is_written else case.values[a.name] for a in case.kernel.arguments
    }


def contestants(case: Case) -> Sequence[Contestant]:
    return (
        Contestant("scratchnet", compiled(case)),
        Contestant("NumPy", expression(case, "kernels_numpy")),
        Contestant("PyTorch", expression(case, "kernels_torch", "PyTorch")),
    )


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("name", "sizes"), CALLS, ids=[f"{name}-{text(sizes)}" for name, sizes in CALLS])
def test_kernel(benchmark, seconds, name, sizes, dtype):
    case = call(name, sizes, dtype)
    labels = dict(table="kernels", work=name, sizes=text(sizes), dtype=dtype)
    contest(benchmark, contestants(case), Close(case, dtype), seconds=0.4 * seconds, **labels)
