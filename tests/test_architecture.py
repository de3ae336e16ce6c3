"""Who may import whom, and what importing costs: read from the source and from a fresh interpreter."""

from __future__ import annotations

import ast
import importlib
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from processes import fresh

import scratchnet

PACKAGE = Path(scratchnet.__file__).parent
OPTIONAL = {"matplotlib", "tqdm", "pooch", "cupy", "IPython", "onnx", "safetensors", "mpi4py"}
OF_SKLEARN = {"sklearn", "scipy", "pandas", "joblib"}  # in the rooms of `estimators` alone

# Modules of the package that each module may import. NumPy and the standard library are open to all, and so is
# the ground floor: `_arrays`, what every room needs of arrays, `_compute`, the dtype that is computed in, and
# `_cut`, the part of a batch that is computed here.
GROUND_FLOOR = {"_arrays", "_compute", "_cut"}
ALLOWED = {
    "_arrays": set(),
    "backends/contract": set(),
    "backends/reference": {"backends/contract"},
    "backends/cublas": set(),
    "backends/gpu": set(),
    "backends/cuda": {"backends/contract", "backends/cublas", "backends/gpu"},
    "backends/cuda_steps": {"backends/cublas", "backends/cuda", "backends/gpu"},
    "backends/__init__": {
        "backends/contract",
        "backends/cpu",
        "backends/cuda",
        "backends/cuda_steps",
        "backends/gpu",
        "backends/ops",
        "backends/reference",
        "backends/uncompiled",
    },
    "backends/uncompiled": {"backends/reference"},
    "backends/general": {"backends/__init__"},
    "backends/ops": {"backends/cpu"},
    "_as_written": set(),
    "_compute": set(),
    "_cut": set(),
    "_commands": {  # at the top, behind the doors
        "__init__",
        "_files",
        "_ranks",
        "_start",
        "dataset/_lines",
        "dataset/mnist",
        "dataset/spiral",
        "dataset/table",
        "models",
        "optimizer",
        "plotting",
        "trainer",
        "util",
        "weights",
    },
    "_predict_command": {"_commands", "_start", "dataset/table", "functions", "layers", "models"},
    "_table_command": {
        "_commands",
        "_predict_command",
        "_ranks",
        "_start",
        "callbacks",
        "dataset/_lines",
        "dataset/table",
        "models",
        "util",
    },
    "_links": set(),
    "_start": {"backends/__init__"},
    "_base": {"_links", "_shown"},
    "_files": {"_paths"},
    "_paths": set(),
    "_shown": set(),  # how an object of any room is printed
    "batch_normalization": {"_as_written", "_base", "backends/__init__"},
    "image_layers": {"_as_written", "_base", "backends/__init__"},
    "loss_layers": {"_as_written", "_base", "backends/__init__", "backends/general", "backends/ops"},
    "layers": {
        "_as_written",
        "_base",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "batch_normalization",
        "image_layers",
        "loss_layers",
    },
    "_recurrent": {"_base", "backends/__init__"},
    "time_layers": {
        "_base",
        "_recurrent",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "layers",
    },
    "functions": {"backends/__init__", "backends/ops"},
    "optimizer": {"_as_written", "_links", "_shown", "backends/__init__"},
    "_parts": {"backends/__init__"},  # of a model
    "language": set(),
    "evaluation": {"_parts"},
    "util": {"_parts", "_unpickle", "backends/__init__", "evaluation", "language"},
    "gradient": {"_as_written", "_parts"},
    "weights": {"_files", "_npz", "_parts", "_safetensors", "util"},
    "_architecture": {"_parts", "layers"},
    "_devices": {"_parts", "backends/__init__"},
    "_network": {
        "_architecture",
        "_devices",
        "_links",
        "_parts",
        "_shown",
        "backends/__init__",
        "layers",
        "loss_layers",
        "util",
        "weights",
    },
    "models": {"_architecture", "_as_written", "_network", "_parts", "config", "layers", "util", "weights"},
    "_steps": {"backends/__init__", "image_layers"},
    "plan": {"_as_written", "_steps", "backends/__init__", "util"},
    "_proof": {"_parts", "backends/__init__", "plan"},
    "_watching": {"_parts"},
    "_engines": {"_as_written", "_parts", "_proof", "_watching", "plan", "util"},
    "_orders": {"backends/__init__"},
    "_ranks": set(),
    "_rank_fit": {"_engines", "_model_state", "_orders", "_parts", "_ranks", "_streams", "_version", "plan"},
    "base_model": {"_files", "_links", "_parts", "_shown", "util", "weights"},
    "_training": {"plotting"},
    "_progress": set(),
    "_npz": set(),
    "_safetensors": {"_npz"},
    "export": {
        "_files",
        "_version",
        "batch_normalization",
        "book1/layers",
        "book1/multi_layer_net",
        "book1/multi_layer_net_extend",
        "layers",
        "models",
        "util",
    },
    "_streams": set(),  # random ones
    # scikit-learn's estimators
    "_mlp_losses": {"backends/__init__"},
    "_mlp_engine": {"_devices", "_mlp_losses", "backends/__init__", "backends/ops", "layers"},
    "_mlp_steps": {"_mlp_engine", "_steps", "backends/__init__", "layers", "plan"},
    "_mlp_predict": {"_mlp_engine", "backends/__init__"},
    "_mlp_solvers": {"optimizer"},
    "_mlp_parameters": set(),
    "_mlp_lbfgs": {"_mlp_engine", "_mlp_parameters", "_mlp_steps", "plan"},
    "_mlp_epochs": {"_mlp_engine", "_mlp_solvers", "_mlp_steps", "_orders", "_progress"},
    "_mlp_estimator": {
        "_mlp_engine",
        "_mlp_epochs",
        "_mlp_lbfgs",
        "_mlp_losses",
        "_mlp_parameters",
        "_mlp_predict",
        "layers",
    },
    "estimators": {"_mlp_estimator", "_mlp_losses", "_mlp_parameters"},
    "_model_state": {"_parts"},
    "_fit_state": {"_streams"},
    "_checkpoint_file": {
        "_files",
        "_fit_state",
        "_model_state",
        "_npz",
        "_parts",
        "_streams",
        "optimizer",
        "util",
    },
    "checkpoint": {
        "_checkpoint_file",
        "_files",
        "_fit_state",
        "_model_state",
        "_ranks",
        "_streams",
        "_training",
    },
    "callbacks": {"_files", "_model_state", "checkpoint"},
    "_hints": {"_as_written", "_parts"},
    "_run": {"_engines", "_parts", "_rank_fit", "_ranks", "_training", "loss_layers", "plan", "util"},
    "trainer": {
        "_engines",
        "_fit_state",
        "_hints",
        "_parts",
        "_progress",
        "_proof",
        "_rank_fit",
        "_ranks",
        "_run",
        "_training",
        "_watching",
        "backends/__init__",
        "checkpoint",
        "rnnlm_trainer",
        "util",
    },
    "rnnlm_trainer": {
        "_engines",
        "_fit_state",
        "_rank_fit",
        "_ranks",
        "_training",
        "_watching",
        "checkpoint",
        "evaluation",
    },
    "_curves": set(),
    "plotting": {"_curves", "util"},
    "config": set(),
    "dropin/__init__": {"dropin/editions", "dropin/finder", "dropin/runner"},
    "dropin/editions": {"_paths"},
    "dropin/fingerprint": set(),
    "dropin/bindings": set(),
    "dropin/table": {"_paths"},
    "dropin/recognition": {"_paths", "dropin/bindings", "dropin/editions", "dropin/fingerprint", "dropin/table"},
    "dropin/korean": {"book2/trainer"},
    "dropin/chapters": {"_as_written", "models"},
    "dropin/spawned": {"_paths", "dropin/editions", "dropin/runner"},
    "dropin/finder": {
        "_paths",
        "dataset/_files",
        "dropin/bindings",
        "dropin/editions",
        "dropin/recognition",
    },  # it serves whatever there is
    "dropin/runner": {"_paths", "dropin/bindings", "dropin/editions", "dropin/finder", "dropin/recognition"},
    "np": {"backends/__init__", "config"},
    "_unpickle": {"_files"},
    "_version": set(),
    "dataset/__init__": {"dataset/mnist", "dataset/ptb", "dataset/sequence", "dataset/spiral", "dataset/table"},
    "dataset/_lines": {"_files"},
    "dataset/table": {"dataset/_lines"},
    "dataset/_files": set(),
    "dataset/ptb": {"dataset/_files"},
    "dataset/sequence": {"_files", "dataset/_files"},
    "dataset/spiral": set(),
    "dataset/mnist": {"_files", "dataset/_files"},
    "book1/__init__": {"dropin/__init__"},  # for a notebook
    "book1/functions": {"functions"},
    "book1/gradient": {"gradient"},
    "book1/util": {"backends/__init__"},
    "book1/layers": {
        "_as_written",
        "_base",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "batch_normalization",
        "book1/functions",
        "book1/util",
        "image_layers",
        "layers",
    },
    "book1/optimizer": {"_as_written", "optimizer"},
    "book1/_network": {"_devices", "_links", "book1/gradient"},
    "book1/_steps": {"_as_written", "_steps", "backends/__init__", "book1/_network", "book1/layers", "util"},
    "book1/trainer": {"_as_written", "_training", "_watching", "book1/_steps", "book1/optimizer"},
    "book1/multi_layer_net": {"_as_written", "_shown", "book1/_network", "book1/gradient", "book1/layers", "util"},
    "book1/simple_convnet": {"_as_written", "_files", "_shown", "book1/_network", "book1/layers", "util"},
    "book1/multi_layer_net_extend": {"_as_written", "book1/gradient", "book1/layers", "book1/multi_layer_net"},
    "book1/dataset/__init__": {"book1/dataset/mnist"},
    "book1/dataset/mnist": {"dataset/_files", "dataset/mnist"},
    "book2/__init__": {"dropin/__init__"},  # for a notebook
    "book2/_lookup": {"dropin/editions", "np"},
    "book2/base_model": {"base_model", "book2/_lookup", "util"},
    "book2/config": {"config"},
    "book2/dataset": {"dataset/ptb", "dataset/sequence", "dataset/spiral"},
    "book2/functions": {"book2/_lookup", "functions"},
    "book2/layers": {"book2/_lookup", "functions", "layers"},
    "book2/np": {"np"},
    "book2/optimizer": {"backends/__init__", "book2/_lookup", "optimizer"},
    "book2/time_layers": {"book2/_lookup", "book2/layers", "functions", "time_layers"},
    "book2/trainer": {"book2/_lookup", "trainer", "util"},
    "book2/util": {"book2/_lookup", "util"},
}
DOORS = {"__init__", "__main__"}  # they may import everything


def module_files():
    return {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")}


def imported(module: str, path: Path):
    """Yield (imported module, whether the import stands at the top level)."""
    tree = ast.parse(path.read_text("utf-8"))
    top_level = {id(node) for node in tree.body} | {
        id(inner) for node in tree.body if isinstance(node, ast.Try) for inner in node.body
    }
    folder = Path(module).parent
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in top_level
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield str(node.module), id(node) in top_level
                continue
            base = [folder, *folder.parents][node.level - 1]
            target = base / (node.module or "").replace(".", "/") if node.module else base
            for name in node.names:
                inside = (target / name.name).as_posix()
                yield resolve(inside, target.as_posix()), id(node) in top_level


def resolve(inside: str, target: str) -> str:
    for candidate in (inside, f"{inside}/__init__", target, f"{target}/__init__"):
        candidate = candidate.removeprefix("./")
        # .so and .pyd: the compiled kernels, where their source is not installed
        if any((PACKAGE / f"{candidate}{suffix}").exists() for suffix in (".py", ".pyx")) or any(
            path.suffix in (".so", ".pyd")
            for path in (PACKAGE / candidate).parent.glob(f"{Path(candidate).name}.*")
        ):
            return candidate
    return "__init__"


@pytest.mark.parametrize("module, path", module_files().items(), ids=module_files())
def test_every_room_imports_only_its_neighbours(module, path):
    if module in DOORS:
        return
    assert module in ALLOWED, "a new room: say in this table whom it may import"
    ours = {name for name, _ in imported(module, path) if name in module_files() or name == "backends/cpu"}
    ours -= GROUND_FLOOR
    assert ours <= ALLOWED[module], f"{module} imports {sorted(ours - ALLOWED[module])}"


@pytest.mark.parametrize("module, path", module_files().items(), ids=module_files())
def test_optional_packages_are_imported_on_use(module, path):
    for name, top_level in imported(module, path):
        assert not (top_level and name.split(".")[0] in OPTIONAL), f"{module} imports {name} when it is imported"
        is_of_sklearn = module == "estimators" or module.startswith("_mlp_")
        assert is_of_sklearn or name.split(".")[0] not in OF_SKLEARN, f"{module} imports {name}"


def test_c_knows_nothing_of_python():
    csrc = PACKAGE.parent / "csrc"
    if not csrc.exists():
        pytest.skip("no csrc here: the tests run against an installed package")
    for path in csrc.iterdir():
        text = path.read_text("utf-8")
        assert "Python.h" not in text, path.name
        if path.name != "gemm.inc":  # the copies of a large product, once a call; without them it goes on
            assert "malloc(" not in text, path.name


def strict(code: str) -> str:
    """What a new interpreter prints, for which a warning is an error."""
    return fresh(code, "-W", "error")


def test_import_loads_nothing_optional_and_prints_nothing():
    heavy = OPTIONAL | OF_SKLEARN | {"requests", "http", "ssl", "asyncio"}
    code = "import sys, numpy; before = set(sys.modules); import scratchnet; print(*(set(sys.modules) - before))"
    loaded = set(strict(code).split())
    assert "scratchnet.backends.cpu" in loaded and not loaded & heavy


def test_import_takes_what_a_program_asks_for_and_no_more():
    code = "import sys, scratchnet; print(*(m for m in sys.modules if m.startswith('scratchnet')))"
    loaded = set(strict(code).split())
    assert not loaded & {"scratchnet.layers", "scratchnet.trainer", "scratchnet.backends.cuda", "scratchnet.util"}
    assert not loaded & {"scratchnet.backends.contract", "scratchnet.backends.reference", "scratchnet._files"}
    assert not any(name.startswith(("scratchnet.book", "scratchnet.dropin")) for name in loaded)
    names = ["Affine", "SGD", "Trainer", "layers", "plotting", "dataset", "np", "load_params", "to_gpu"]
    asked = "; ".join(f"print(scratchnet.{name}.__name__)" for name in names)
    said = [name.removeprefix("scratchnet.") for name in strict(f"import scratchnet; {asked}").split()]
    assert said == names
    assert strict("from scratchnet import *; print(Affine.__name__, util.__name__)").split()[0] == "Affine"
    assert set(scratchnet.__all__) <= set(dir(scratchnet))
    with pytest.raises(AttributeError, match="has no attribute 'layer'"):
        scratchnet.layer  # noqa: B018


def test_import_leaves_the_random_stream_and_the_signal_handler():
    code = (
        "import numpy as np, signal; np.random.seed(3); handler = signal.getsignal(signal.SIGINT);"
        "import scratchnet;"
        "assert signal.getsignal(signal.SIGINT) is handler; print(np.random.rand())"
    )
    assert strict(code) == strict("import numpy as np; np.random.seed(3); print(np.random.rand())")


def test_public_names_exist_and_are_documented():
    for name in scratchnet.__all__:
        assert getattr(scratchnet, name).__doc__, name
    assert (PACKAGE / "py.typed").exists()


def test_show_config_says_what_runs(capsys):
    scratchnet.show_config()
    printed = capsys.readouterr().out
    for word in (scratchnet.__version__, "instruction set", "numpy", "matplotlib"):
        assert word in printed
    configuration = scratchnet.show_config("dicts")
    assert configuration["kernels"]["instruction set"] in configuration["kernels"]["available"]
    with pytest.raises(ValueError, match="mode must be"):
        scratchnet.show_config("loud")


def test_books_np_module():
    assert strict("from scratchnet.np import *; print(np.__name__, GPU)").split() == ["numpy", "False"]
    assert strict("import scratchnet.np as n; print(n.zeros(2).shape)").strip() == "(2,)"


# What the modules of book 2 pass on beside their own names, and its scripts take without naming it.
PASSED_ON = {
    "config": "GPU",
    "np": "np GPU",
    "functions": "np GPU sigmoid relu softmax cross_entropy_error",
    "layers": "np GPU softmax cross_entropy_error MatMul Affine Sigmoid SoftmaxWithLoss Dropout Embedding",
    "time_layers": "np GPU sigmoid softmax Affine Embedding LSTM TimeLSTM TimeSoftmaxWithLoss",
    "optimizer": "np GPU sys SGD Momentum Nesterov AdaGrad RMSprop Adam",
    "trainer": "np GPU numpy clip_grads sys time Trainer RnnlmTrainer remove_duplicate",
    "util": "np GPU sys os preprocess most_similar ppmi clip_grads to_cpu to_gpu eval_perplexity analogy",
    "base_model": "np GPU os pickle sys to_cpu to_gpu BaseModel",
    "dataset": "spiral ptb sequence",
}


def star_import(module):
    given: dict[str, object] = {}
    exec(f"from {module} import *", given)
    del given["__builtins__"]
    return given


@pytest.mark.parametrize("module, names", PASSED_ON.items(), ids=PASSED_ON)
def test_book_2_s_star_imports(module, names):
    given = star_import(f"scratchnet.book2.{module}")
    assert given.keys() >= set(names.split())
    assert given.get("np", np) is np and given.get("GPU", False) is False


@pytest.mark.parametrize("module", [name for name in PASSED_ON if name not in ("config", "np", "dataset")])
def test_book_2_s_modules_hold_all_that_scratchnet_s_do(module):
    theirs, ours = importlib.import_module(f"scratchnet.book2.{module}"), star_import(f"scratchnet.{module}")
    for name in ("Tanh", "Flatten", "Convolution", "Pooling", "BatchNormalization", "IdentityWithLoss"):
        ours.pop(name, None)  # not book 2's: who asks for book 1's there is told so
    assert {name for name in ours if getattr(theirs, name) is not ours[name]} == {"Nesterov"} & ours.keys()


@pytest.mark.parametrize("module", ["functions", "layers", "time_layers", "util"])
def test_book_2_s_star_imports_hide_nothing_that_a_script_has(module):
    """The book's own modules do not have these: a script's, imported before, stay the script's."""
    assert not star_import(f"scratchnet.book2.{module}").keys() & {"Relu", "Sum", "Repeat", "accuracy", "predict"}


def test_book_2_s_switch_is_scratchnet_s():
    code = (
        "import scratchnet; from scratchnet.book2 import config; from scratchnet.book2.config import GPU;"
        "import scratchnet.book2.config as again;"
        "print(config is again is scratchnet.config, GPU)"
    )
    assert fresh(code).split() == ["True", "False"]


def test_book_2_s_data_sets_are_scratchnet_s():
    code = (
        "from scratchnet.book2.dataset.spiral import load_data; import scratchnet.book2.dataset.ptb as ptb;"
        "from scratchnet.dataset import spiral, ptb as other; print(load_data is spiral.load_data, ptb is other)"
    )
    assert fresh(code).split() == ["True", "True"]


def test_np_and_the_switch_are_looked_up_when_a_script_asks(monkeypatch):
    monkeypatch.setattr(scratchnet.config, "GPU", True)
    monkeypatch.setattr("scratchnet.backends.load_cupy", lambda: "CuPy")
    for module in set(PASSED_ON) - {"config", "dataset"}:
        given = star_import(f"scratchnet.book2.{module}")
        assert given["np"] == "CuPy" and given["GPU"] is True, module


# Of one's own programs: `np` passes on NumPy's names and `config` the switch on purpose.
OWN = sorted(
    name
    for name in module_files()
    if not any(part.startswith("_") for part in name.split("/"))
    and name.split("/")[0] not in {"backends", "book1", "book2", "config", "dropin", "np", "plan"}
)


@pytest.mark.parametrize("module", OWN)
def test_star_imports_pass_on_no_internals(module):
    if module == "estimators":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: its estimators are not imported")
    for name, value in star_import(f"scratchnet.{module.replace('/', '.')}").items():
        home = getattr(value, "__module__", "scratchnet.a constant")
        assert not isinstance(value, ModuleType) and name != "GPU", name
        assert home.startswith("scratchnet.") and home != "scratchnet._arrays", f"{name} is of {home}"


def test_all_modules_are_of_python_s_own_class():
    """cloudpickle, and so joblib's and Dask's workers, take only these by name."""
    for name in PASSED_ON:
        importlib.import_module(f"scratchnet.book2.{name}")
    for name in scratchnet.__all__:
        getattr(scratchnet, name)  # imports what it is in
    ours = [m for name, m in sys.modules.items() if name.split(".")[0] == "scratchnet"]
    assert len(ours) > 40 and all(type(module) is ModuleType for module in ours)


def a_script_s_function():
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec("from scratchnet import layers\ndef f(x): return layers.Relu().forward(x).sum()", namespace)
    return namespace["f"]


def test_functions_that_use_a_module_are_pickled_by_cloudpickle():
    written = pytest.importorskip("cloudpickle").dumps(a_script_s_function())
    assert pickle.loads(written)(np.arange(-2.0, 3.0)) == 3


@pytest.mark.long
def test_functions_that_use_a_module_run_in_joblib_s_processes():
    joblib = pytest.importorskip("joblib")
    f = joblib.delayed(a_script_s_function())
    assert joblib.Parallel(n_jobs=2)(f(np.arange(-2.0, n)) for n in (2, 3)) == [1, 3]


def test_a_source_tree_without_the_kernels_says_what_to_do(tmp_path):
    for path in module_files().values():
        copy = tmp_path / "scratchnet" / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with pytest.raises(AssertionError, match=r"pip install -e \."):
        strict(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import scratchnet")
