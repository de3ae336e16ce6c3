"""Every public callable of the package, derived from its modules; and what is not attacked, with the reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from fnmatch import fnmatch
from importlib.util import find_spec
from types import ModuleType

import scratchnet

_HAS_SKLEARN = find_spec("sklearn") is not None

# Patterns of names, with why random calls do not try them.
NOT_CALLED = {
    "scratchnet.backends.cublas.*": "needs a GPU; tests/cuda calls all of it",
    "scratchnet.backends.cuda.*": "needs a GPU; tests/cuda calls all of it",
    "scratchnet.backends.cuda_steps.*": "needs a GPU; tests/cuda calls all of it",
    "scratchnet.backends.gpu.*": "needs a GPU; tests/cuda calls all of it",
    "scratchnet.util.to_gpu": "needs a GPU",
    "scratchnet.book1.multi_layer_net*.to": "needs a GPU",
    "scratchnet.book1.simple_convnet.*": "a chain of layers that are attacked; tests/test_book1_steps.py",
    "scratchnet._arrays.uploaded": "needs a GPU",
    "scratchnet._arrays.random_like": "draws random numbers; the Dropout layers are attacked",
    "scratchnet._arrays.to_side": "from one side to the other; on one it is as_array",
    "scratchnet.dropin.*": "changes what the process imports; tests/test_dropin.py",
    "*load_ipython_extension": "changes what the process imports; tests/test_dropin.py",
    "*.dataset.ptb.*": "reads a text that must not be passed on; tests/test_dataset_ptb.py makes one",
    "*.dataset.mnist.*": "reads files: attacked by changed ones",
    "*.load_params": "reads a file: attacked by changed ones",
    "*.save_params": "writes a file: attacked by kills",
    "scratchnet.export.to_onnx": "writes a file through onnx: tests/test_export.py",
    "scratchnet.dataset.table.*": "reads a file: attacked by changed ones",
    "scratchnet.weights.*": "reads a file: attacked by changed ones",
    "scratchnet.models.load*": "reads a file: attacked by changed ones",
    "*.load_checkpoint": "reads a file: attacked by changed ones",
    "*.save_checkpoint": "writes a file: tests/test_resume.py kills it",
    "scratchnet.checkpoint.*": "how a fit begins: attacked through Trainer.fit; tests/test_resume.py kills it",
    "scratchnet.callbacks.*": "a fit calls them; tests/test_callbacks.py gives them odd arguments",
    "scratchnet._curves.*": "draws pictures of what the trainers compute",
    "scratchnet._unpickle.load_pickle": "reads a file: attacked by changed ones",
    "scratchnet.plan.*": "prepares what a Trainer runs: attacked through Trainer.fit",
    "scratchnet.backends.cpu.PlanRunner*": "a plan's steps: attacked through Trainer.fit",
    "scratchnet.backends.cpu.LossMeans*": "adds up a fit's losses: attacked through Trainer.fit",
    "scratchnet.backends.cpu.shuffle_epochs": "draws the orders of a fit's epochs: attacked through Trainer.fit",
    "scratchnet.backends.cpu.place": "where an array lies: attacked through Trainer.fit, which compares it",
    "scratchnet.backends.place_of": "where an array lies: attacked through Trainer.fit, which compares it",
    "scratchnet.plotting.plot_*": "draws pictures of what decision_regions and the trainers compute",
    "*Trainer.plot": "draws a picture of loss_list",
    "*.what_delta_adds": "a part of gradient_check, which is attacked",
    "scratchnet.backends.check_call": "the checks of a kernel's call: attacked through every kernel",
    "scratchnet.backends.run_checked": "the checks of a kernel's call: attacked through every kernel",
    "scratchnet._arrays.window_places": "a part of the kernels' checks, which are attacked",
    "scratchnet._arrays.described": "a value in an error's words: every refusal has one",
    "scratchnet.loss_layers.as_weights": "a part of the losses, which are attacked",
    "scratchnet._parts.has_argument": "a part of eval_perplexity, which is attacked",
    "scratchnet.evaluation.taken": "a part of eval_perplexity and RnnlmTrainer.get_batch, which are attacked",
    "scratchnet._parts.named_buffers": "names the layers' statistics for a weights file: attacked by changed ones",
    "scratchnet._parts.buffers_of": "a part of gradient_check, which is attacked",
    "scratchnet._parts.has_classes": "whether a fit's validation has an accuracy: attacked through Trainer.fit",
    "scratchnet._parts.takes_train_flg": "looks at a layer's class: tests/test_sequential.py",
    "scratchnet.loss_layers.whole": "a part of SigmoidWithLoss, which is attacked",
    "scratchnet.image_layers.images_at_once": "a part of Convolution, which is attacked",
    "scratchnet.util.random_stream": "a seed or a stream: attacked through rng= of networks and of Trainer.fit",
    "*.step_chain": "describes a network to a plan: attacked through Trainer.fit",
    "*.step_state": "describes an optimizer to a plan: attacked through Trainer.fit",
    "scratchnet.backends.cpu.bias_corrected_rates": "Adam's learning rates: attacked through its update",
    "*.step_numbers": "describes an optimizer to a plan: attacked through Trainer.fit",
    "*.count_steps": "counts for a plan: attacked through Trainer.fit",
    "scratchnet.optimizer.Optimizer*": "updates nothing by itself; what extends it is attacked",
    "scratchnet._network.Network*": "is made by those that extend it, which are attacked",
    "*.architecture": "describes a network to a weights file: attacked by changed ones",
    "*.decay": "the number that weighs a network's penalty, for its own loss and steps",
    "*.decayed": "names the weights of a network's weight decay, for its own loss and gradients",
    "scratchnet.base_model.BaseModel*": "has methods for files only",
    "scratchnet.backends.contract.*": "the table of kernels and its checks: attacked through every kernel",
    "scratchnet.backends.backend_for": "chooses for a layer: attacked through all of them",
    "scratchnet.backends.runner_for": "chooses for a plan",
    "scratchnet.backends.cpu.op_[!u]*": "operations: attacked through the layers and functions that name them",
    "scratchnet.backends.cpu.are_rows_like": "a part of book 1's Affine, which is attacked",
    "scratchnet.backends.cpu.compute_in_float32": "a switch: tests/test_float32.py",
    "scratchnet.backends.general.*": "what operations do with odd arrays: attacked through the layers",
    "scratchnet._arrays.empty": "a part of the operations, which are attacked through the layers",
    "scratchnet._arrays.rows_of": "a part of the operations, which are attacked through the layers",
    "scratchnet._arrays.as_row": "a part of Affine, which is attacked",
    "scratchnet._arrays.as_mask": "a part of Relu, which is attacked",
    "scratchnet._arrays.as_loss": "a part of the losses, which are attacked",
    "scratchnet._arrays.check_row": "a part of Affine, which is attacked",
    "scratchnet.backends.*.isa*": "says what runs; takes nothing",
    "scratchnet.backends.reference_uses": "says what ran; takes nothing",
}
if _HAS_SKLEARN:
    NOT_CALLED["scratchnet.estimators.*"] = "attacked by scikit-learn's checks: tests/test_estimators_sklearn.py"


def public() -> dict[str, object]:
    """Functions, classes and public methods by their full names, each under the module that defines it."""
    found: dict[str, object] = {}
    for module in [scratchnet, *map(importlib.import_module, _modules())]:
        for name in {*getattr(module, "__all__", ()), *_own(module)}:
            value = getattr(module, name)
            if not callable(value) or not str(getattr(value, "__module__", "")).startswith("scratchnet"):
                continue
            if isinstance(value, type) and issubclass(value, BaseException):
                continue
            if not hasattr(value, "__qualname__") or value.__qualname__.startswith("_"):
                continue
            full = f"{value.__module__}.{value.__qualname__}"
            found[full] = value
            if isinstance(value, type):
                found |= {f"{full}.{method}": getattr(value, method) for method in _methods(value)}
    return found


def matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern)


def is_excused(name: str) -> bool:
    return any(matches(name, pattern) for pattern in NOT_CALLED)


def _modules() -> list[str]:
    names = [m.name for m in pkgutil.walk_packages(scratchnet.__path__, "scratchnet.")]
    public = [n for n in names if not any(part.startswith("_") for part in n.split("."))]
    if not _HAS_SKLEARN:
        public.remove("scratchnet.estimators")
    return ["scratchnet._arrays", "scratchnet._parts", *public]  # what users hand in comes to the first two


def _own(module: ModuleType) -> list[str]:
    own = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [n for n in own if not n.startswith("_")]


def _methods(cls: type) -> list[str]:
    names = [n for n in dir(cls) if not n.startswith("_") and callable(inspect.getattr_static(cls, n))]
    return [n for n in names if str(getattr(getattr(cls, n), "__module__", "")).startswith("scratchnet")]
