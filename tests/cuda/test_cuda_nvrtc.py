"""cuda.cu compiles with NVIDIA's own compiler for every architecture, without spilling registers."""

from __future__ import annotations

import re

import nvrtc
import pytest

from scratchnet.backends import cuda

pytestmark = pytest.mark.long

ARCHITECTURES = (75, 80, 90, 100, 120)
MOST_REGISTERS = 65536 // cuda.THREADS // 2  # two blocks of float find room on a multiprocessor
RUN_ALONE = ("step_block",)


@pytest.fixture(scope="module")
def compiler():
    path = nvrtc.find()
    if path is None:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    return nvrtc.NVRTC(path)


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_spills(compiler, architecture, real):
    if architecture not in compiler.architectures():
        pytest.skip(f"this NVRTC does not know sm_{architecture}")
    source = cuda._source()
    kernels, log = compiler.compile(source, architecture, cuda.compiler_options(real))
    declared = re.findall(r'extern "C" __global__ void __launch_bounds__\([^)]*\)\s*(\w+)\(', source)
    assert set(kernels) == set(declared) and len(declared) == source.count("__global__")
    assert {name: k.spilled for name, k in kernels.items() if k.spilled} == {}
    if real == "float":
        assert max(k.registers for name, k in kernels.items() if name not in RUN_ALONE) <= MOST_REGISTERS
    assert "warning" not in log, log


def test_an_error_is_told_with_its_line(compiler):
    with pytest.raises(nvrtc.NVRTCError, match=r"cuda\.cu\(1\): error"):
        compiler.compile("__global__ void broken() { nothing }", 75, ())
