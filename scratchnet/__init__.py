"""The neural-network library of *Deep Learning from Scratch* with a compiled core.

Modules have the books' names: `scratchnet.layers`, `functions`, `optimizer`, `trainer`, `dataset`, ... The
most used names are available here as well.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from . import _start as _start  # isort: split

from . import config
from ._version import __version__
from .backends import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from . import (
        base_model,
        callbacks,
        dataset,
        export,
        functions,
        gradient,
        layers,
        models,
        optimizer,
        plotting,
        time_layers,
        trainer,
        util,
    )
    from .base_model import BaseModel
    from .gradient import gradient_check
    from .layers import (
        Affine,
        BatchNormalization,
        Convolution,
        Dropout,
        Embedding,
        Flatten,
        IdentityWithLoss,
        MatMul,
        Pooling,
        Relu,
        Repeat,
        Sigmoid,
        SigmoidWithLoss,
        Softmax,
        SoftmaxWithLoss,
        Sum,
        Tanh,
    )
    from .models import MultiLayerNet, Sequential, TwoLayerNet
    from .optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
    from .trainer import RnnlmTrainer, Trainer
    from .util import NoGPUError, to_cpu, to_gpu
    from .weights import load_params, save_params

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "BaseModel",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Embedding",
    "Flatten",
    "IdentityWithLoss",
    "MatMul",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "NoGPUError",
    "Pooling",
    "RMSprop",
    "Relu",
    "Repeat",
    "RnnlmTrainer",
    "Sequential",
    "Sigmoid",
    "SigmoidWithLoss",
    "Softmax",
    "SoftmaxWithLoss",
    "Sum",
    "Tanh",
    "Trainer",
    "TwoLayerNet",
    "__version__",
    "base_model",
    "callbacks",
    "config",
    "dataset",
    "export",
    "functions",
    "get_num_threads",
    "gradient",
    "gradient_check",
    "layers",
    "load_params",
    "models",
    "optimizer",
    "plotting",
    "save_params",
    "set_num_threads",
    "show_config",
    "time_layers",
    "to_cpu",
    "to_gpu",
    "trainer",
    "util",
]


# Modules that are imported on first use; the names above by the modules that define them.
_MODULES = frozenset(
    (
        *("base_model", "callbacks", "dataset", "estimators", "export", "functions", "gradient", "layers"),
        *("models", "np", "optimizer"),
        *("plotting", "time_layers", "trainer", "util"),
    )
)
_NAMES = {
    name: module
    for module, names in {
        "base_model": "BaseModel",
        "gradient": "gradient_check",
        "layers": "Affine BatchNormalization Convolution Dropout Embedding Flatten IdentityWithLoss MatMul "
        "Pooling Relu Repeat Sigmoid SigmoidWithLoss Softmax SoftmaxWithLoss Sum Tanh",
        "models": "MultiLayerNet Sequential TwoLayerNet",
        "optimizer": "SGD AdaGrad Adam Momentum Nesterov RMSprop",
        "trainer": "RnnlmTrainer Trainer",
        "util": "NoGPUError to_cpu to_gpu",
        "weights": "load_params save_params",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show the configuration: versions, instruction set, GPU, optional packages, and what ran uncompiled.

    Parameters
    ----------
    mode
        "stdout" prints; "dicts" returns the same as a dictionary.

    Raises
    ------
    ValueError
        The mode is unknown.

    Examples
    --------
    >>> show_config("dicts")["scratchnet"] == __version__
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: mode must be 'stdout' or 'dicts', got {mode!r}")
    import platform
    from importlib.util import find_spec

    import numpy

    from .backends import cuda, isa, isas, reference_uses

    optional = {
        name: find_spec(name) is not None
        for name in ("matplotlib", "onnx", "pooch", "safetensors", "sklearn", "tqdm")
    }
    configuration: dict[str, Any] = {
        "scratchnet": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "kernels": {
            "backend": "cpu",
            "instruction set": isa(),
            "available": isas(),
            "threads": get_num_threads(),
            "dtypes": ["float32", "float64"],
        },
        "gpu": cuda.describe(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "optional packages": optional,
        "reference used in place of a kernel": reference_uses(),
    }
    if mode == "dicts":
        return configuration
    for name, value in configuration.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) or "never"
        print(f"{name + ':':<36} {_text(value)}")
    return None


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext scratchnet`: serve the books' `common` and `dataset` in a notebook; see `scratchnet.dropin`."""
    from . import dropin

    dropin.load_extension(ipython, None)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext scratchnet`: stop serving them."""
    from . import dropin

    dropin.uninstall()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "installed" if value else "not installed"
    return " ".join(value) if isinstance(value, list) else str(value)
