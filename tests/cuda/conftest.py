"""Every test of the GPU's code runs over a fake CuPy; marked `gpu`, once more over CuPy itself."""

from __future__ import annotations

import emulator
import fake_cublas
import on_device
import pytest

from scratchnet.backends import cublas as real_cublas
from scratchnet.backends import cuda, gpu

no_gpu = ""


def pytest_collection_modifyitems(config, items):
    """Leave out what needs a GPU where there is none; the last line of the run says so."""
    global no_gpu
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    on_device.forget()
    try:
        if on_gpu:
            gpu.load_cupy()
    except gpu.NoGPUError as error:
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=on_gpu)
        no_gpu = f"left out {len(on_gpu)} tests that need a GPU: {error}"


def pytest_terminal_summary(terminalreporter):
    """Say what was left out and why."""
    if no_gpu:
        terminalreporter.write_line(no_gpu)


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request):
    """CuPy, or the fake one; nothing launched so far."""
    if request.param == "gpu":
        on_device.forget()
        yield gpu.load_cupy()
    else:
        with on_device.emulated() as module:
            emulator.launches.clear()
            yield module


@pytest.fixture
def cublas(cupy):
    """cuBLAS for everything, or the fake one; gives it."""
    if cupy.__name__ != "fake_cupy":
        library = real_cublas.load()
        assert library is not None, "CuPy is installed, but cuBLAS is not found"
    else:
        library = fake_cublas.Library()
    with on_device.blas(library), pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "CUBLAS_OPERATIONS", -1)
        yield library


@pytest.fixture
def no_cublas(cupy):
    """There is none, not on a GPU either."""
    with on_device.blas(None):
        yield
