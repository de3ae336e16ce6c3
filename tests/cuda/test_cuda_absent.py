"""Where there is no CuPy, no driver, or no folder for CuPy: what works, and what is said."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import on_device
import pytest
from processes import fresh

import scratchnet
from scratchnet.__main__ import main
from scratchnet.backends import gpu

has_cupy = pytest.mark.skipif(find_spec("cupy") is None, reason="CuPy is not installed: pip install cupy-cuda12x")

ASKING = [
    pytest.param(lambda: scratchnet.TwoLayerNet(2, 3, 2).to("cuda"), id="to"),
    pytest.param(lambda: scratchnet.to_gpu(np.zeros(3)), id="to_gpu"),
]


def pretend(monkeypatch, cupy):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    on_device.forget()


@pytest.fixture(autouse=True)
def look_again():
    yield
    on_device.forget()


@pytest.mark.parametrize("ask", ASKING)
def test_without_cupy(monkeypatch, ask):
    pretend(monkeypatch, None)  # importing it raises ModuleNotFoundError
    with pytest.raises(scratchnet.NoGPUError, match=r'requires CuPy, .* pip install "scratchnet\[cuda12\]"'):
        ask()


def test_the_command_line_without_cupy(monkeypatch, capsys, tmp_path):
    pretend(monkeypatch, None)
    assert main(["train", "spiral", "--device", "cuda", "--epochs", "1", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("scratchnet: error: Using the GPU requires CuPy") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main(["info"]) == 0
    assert "unavailable: Using the GPU requires CuPy" in capsys.readouterr().out


def test_nothing_is_lost_when_a_move_fails(monkeypatch):
    pretend(monkeypatch, None)
    model = scratchnet.TwoLayerNet(2, 3, 2)
    params = list(model.params)
    with pytest.raises(scratchnet.NoGPUError):
        model.to("cuda")
    assert model.device == "cpu" and all(a is b for a, b in zip(model.params, params, strict=True))


def test_a_cupy_that_lacks_something(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("import a_module_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    on_device.forget()
    with pytest.raises(scratchnet.NoGPUError, match="because module a_module_that_is_missing is missing"):
        gpu.load_cupy()


def test_cupy_without_its_compiler(monkeypatch):
    with on_device.emulated() as cupy:
        monkeypatch.setattr(
            cupy.cuda.nvrtc, "getVersion", lambda: (_ for _ in ()).throw(RuntimeError("a\n\nno lib\n"))
        )
        with pytest.raises(
            scratchnet.NoGPUError,
            match=r"not NVIDIA's compiler: RuntimeError: no lib\. It comes with the CUDA toolkit",
        ):
            gpu.load_cupy()


def test_scratchnet_never_imports_cupy_by_itself():
    code = (
        "import sys, numpy, scratchnet; net = scratchnet.TwoLayerNet(2, 3, 2); x = numpy.zeros((4, 2));"
        "scratchnet.Trainer(net, scratchnet.SGD()).fit(x, numpy.zeros(4, int), 1, 2, verbose=False);"
        "print('cupy' in sys.modules)"
    )
    assert fresh(code, "-W", "ignore") == "False\n"


def test_the_books_switch_without_a_gpu():
    code = """
from scratchnet import config
config.GPU = True
for module in ("np", "layers", "util"):
    try:
        exec(f"from scratchnet.book2.{module} import *")
    except Exception as error:
        print(type(error).__name__)
"""
    assert fresh(code, "-W", "ignore", CUDA_VISIBLE_DEVICES="") == "NoGPUError\n" * 3


REASON = """
import scratchnet
try:
    scratchnet.to_gpu([1.0])
except scratchnet.NoGPUError as error:
    print(error)
print(scratchnet.show_config("dicts")["gpu"])
"""


@has_cupy
def test_cupy_without_a_gpu():
    said = fresh(REASON, "-W", "ignore", CUDA_VISIBLE_DEVICES="")
    assert said.startswith("CuPy finds no GPU: ") and said.count("CuPy finds no GPU") == 2
    assert "NVIDIA GPU and its driver" in said


@has_cupy
def test_cupy_without_a_folder_for_its_kernels():
    environment = dict.fromkeys(("HOME", "CUPY_CACHE_DIR"), "/dev/null/none")
    said = fresh(REASON, "-W", "ignore", **environment)
    assert (
        said.startswith("CuPy is installed, but its import failed: ")
        and "set CUPY_CACHE_DIR to a writable folder" in said
    )
