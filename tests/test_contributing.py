"""CONTRIBUTING.md says what is so: its files and commands exist, and every kernel went through its six files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scratchnet.backends import KERNELS

ROOT = Path(__file__).parent.parent
if not (ROOT / "CONTRIBUTING.md").exists():
    pytest.skip("no CONTRIBUTING.md here: the tests run against an installed package", allow_module_level=True)

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
STEPS = TEXT[TEXT.index("## A kernel in six files") : TEXT.index("## Rules that tests enforce")]
NAMED = sorted(set(re.findall(r"`([\w./*-]+)`", TEXT)))
PATHS = [name for name in NAMED if "/" in name or name.endswith((".md", ".py"))]
KERNEL_FILES = re.findall(r"^\d\. `([^`]+)`", STEPS, re.MULTILINE)
MADE = {"dist/", "build/docs"}


def test_there_are_six_files():
    assert re.findall(r"^(\d)\. ", STEPS, re.MULTILINE) == list("123456")
    assert len(KERNEL_FILES) == 6


def test_what_is_generated_is_not_stale():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_bindings.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [p for p in PATHS if p not in MADE])
def test_every_file_that_is_named_exists(name):
    assert any(ROOT.glob(name)) or any(ROOT.glob(f"**/{name}")), name


def test_every_command_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert len(named) >= 10 and named <= targets, named - targets


@pytest.mark.parametrize("file", KERNEL_FILES)
def test_every_kernel_is_in_every_file_of_the_steps(file):
    text = "\n".join(path.read_text("utf-8") for path in ROOT.glob(file.replace("cuda.cu", "cuda.*")))
    missing = [name for name in KERNELS if not re.search(rf"(?:\b|sn_){name}\b", text)]
    assert not missing, f"{file} lacks {missing}"


def test_every_number_of_a_kernel_has_a_value_for_tests():
    text = (ROOT / "tests" / "cases.py").read_text("utf-8")
    for kernel in KERNELS.values():
        for argument in kernel.arguments:
            assert argument.is_array or f'"{argument.name}"' in text


def test_the_version_is_in_one_place():
    version = re.search(r'"(.*)"', (ROOT / "scratchnet" / "_version.py").read_text("utf-8"))[1]
    for name in ("pyproject.toml", "setup.py", "README.md", "Makefile"):
        assert f'"{version}"' not in (ROOT / name).read_text("utf-8"), name
