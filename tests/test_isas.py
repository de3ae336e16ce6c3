"""The kernels' parity and accuracy under every instruction set that this processor has."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from processes import PYTHON, run

from scratchnet.backends import isa, isas

pytestmark = pytest.mark.thread_unsafe(reason="starts processes, which share nothing with the threads")

HERE = Path(__file__).parent


def python(*arguments: str, name: str | None) -> subprocess.CompletedProcess[str]:
    return run(*PYTHON, *arguments, check=False, SCRATCHNET_ISA=name)


def suite(files: tuple[str, ...], chosen: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(HERE),
            "--import-mode=importlib", "-o", f"pythonpath={HERE.as_posix()}", "-k", chosen,
            *(str(HERE / file) for file in files))  # fmt: skip


ALL = ("test_kernels.py", "test_products.py", "test_accuracy.py", "test_layers.py")


@pytest.mark.parametrize("name", [name for name in isas() if name != isa()])
@pytest.mark.parametrize(
    "files, chosen", [(ALL[:1], "odd_sizes"), pytest.param(ALL, "", marks=pytest.mark.long)], ids=["parity", "all"]
)
def test_kernels_under(name, files, chosen):
    """This process runs `isa()`; each other one gets a process of its own."""
    result = python(*suite(files, chosen), name=name)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


@pytest.mark.parametrize("name", isas())
def test_the_environment_forces_one(name):
    result = python("-c", "import scratchnet.backends as b; print(b.isa())", name=name)
    assert result.stdout.strip() == name


def test_the_best_is_taken_unless_forced():
    assert python("-c", "import scratchnet.backends as b; print(b.isa())", name=None).stdout.strip() == isas()[0]


@pytest.mark.parametrize("name", ["avx1024", "AVX2", "neon" if "neon" not in isas() else "avx2"])
def test_an_unknown_or_unsupported_one_is_an_error(name):
    result = python("-c", "import scratchnet", name=name)
    assert result.returncode == 1
    assert f"SCRATCHNET_ISA is '{name}', but this processor runs {', '.join(isas())}" in result.stderr


VZEROUPPER = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("c5f877c3"))  # vzeroupper, AVX's shortest instruction; ret
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""


@pytest.mark.long
def test_a_processor_without_avx():
    """On one that stops at the first AVX instruction, the import and every kernel of "baseline" run."""
    qemu = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        pytest.skip("qemu-x86_64, an emulator of older x86-64 processors, is not installed")
    nehalem = (qemu, "-cpu", "Nehalem", *PYTHON)  # of 2008
    settings = {"SCRATCHNET_ISA": None, "OPENBLAS_CORETYPE": None}  # that may name a newer one to NumPy
    assert run(*nehalem, "-c", VZEROUPPER, check=False, **settings).returncode == -signal.SIGILL
    said = run(*nehalem, "-c", "import scratchnet.backends as b; print(*b.isas(), b.isa())", **settings).stdout
    assert said == "baseline baseline\n"
    result = run(*nehalem, *suite(ALL[:1], "odd_sizes"), check=False, **settings)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
