"""Who may import whom, and what importing costs: read from the source and from a fresh interpreter."""

from __future__ import annotations

import ast
import copy
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from processes import fresh

import scratchnet

PACKAGE = Path(scratchnet.__file__).parent
OPTIONAL = {"matplotlib", "tqdm", "pooch", "cupy"}

# Modules of the package that each module may import. NumPy and the standard library are open to all, and so is
# the ground floor: `_arrays`, what every room needs of arrays, and `_compute`, the dtype that is computed in.
GROUND_FLOOR = {"_arrays", "_compute"}
ALLOWED = {
    "_arrays": set(),
    "backends/contract": set(),
    "backends/reference": {"backends/contract"},
    "backends/cuda": {"backends/contract"},
    "backends/cuda_steps": {"backends/cuda"},
    "backends/__init__": {
        "backends/contract",
        "backends/cpu",
        "backends/cuda",
        "backends/cuda_steps",
        "backends/ops",
        "backends/reference",
    },
    "backends/general": {"backends/__init__"},
    "backends/ops": {"backends/cpu"},
    "_as_written": set(),
    "_compute": set(),
    "_commands": {  # at the top, behind the doors
        "__init__",
        "_files",
        "_start",
        "dataset/mnist",
        "dataset/spiral",
        "functions",
        "models",
        "optimizer",
        "plotting",
        "trainer",
        "util",
        "weights",
    },
    "_links": set(),
    "_start": {"backends/__init__"},
    "_layer": {"_links", "_shown"},
    "_files": set(),
    "_passed_on": {"np"},
    "_shown": set(),  # how an object of any room is printed
    "layers": {
        "_as_written",
        "_layer",
        "_passed_on",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "config",
        "functions",
    },
    "_recurrent": {"_layer", "backends/__init__"},
    "time_layers": {
        "_layer",
        "_passed_on",
        "_recurrent",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "config",
        "functions",
        "layers",
    },
    "functions": {"_passed_on", "backends/__init__", "backends/ops", "config"},
    "optimizer": {"_as_written", "_links", "_passed_on", "_shown", "backends/__init__", "config"},
    "_velocity_first": {"backends/__init__", "optimizer"},
    "language": set(),
    "evaluation": set(),
    "util": {"_passed_on", "_unpickle", "backends/__init__", "config", "evaluation", "language"},
    "gradient": {"_as_written", "util"},
    "weights": {"_files", "util"},
    "models": {"_as_written", "_links", "_shown", "config", "layers", "util", "weights"},
    "plan": {"_as_written", "backends/__init__", "util"},
    "_proof": {"backends/__init__", "plan", "util"},
    "_watching": {"util"},
    "_engines": {"_proof", "_watching", "plan", "util"},
    "_orders": {"backends/__init__"},
    "base_model": {"_files", "_links", "_passed_on", "_shown", "config", "util", "weights"},
    "_training": {"plotting"},
    "_progress": set(),
    "trainer": {
        "_engines",
        "_orders",
        "_passed_on",
        "_progress",
        "_training",
        "_watching",
        "backends/__init__",
        "config",
        "plan",
        "rnnlm_trainer",
        "util",
    },
    "rnnlm_trainer": {"_engines", "_training", "_watching", "evaluation"},
    "plotting": {"util"},
    "config": set(),
    "dropin": {"_files"},  # it serves whatever there is
    "np": {"backends/__init__", "config"},
    "_unpickle": {"_files"},
    "_version": set(),
    "dataset/__init__": {"dataset/mnist", "dataset/ptb", "dataset/sequence", "dataset/spiral"},
    "dataset/_files": set(),
    "dataset/ptb": {"dataset/_files"},
    "dataset/sequence": {"_files", "dataset/_files"},
    "dataset/spiral": set(),
    "dataset/mnist": {"_files", "dataset/_files"},
    "book1/__init__": {"dropin"},  # for a notebook
    "book1/functions": {"functions"},
    "book1/gradient": {"gradient"},
    "book1/util": {"backends/__init__"},
    "book1/layers": {
        "_layer",
        "backends/__init__",
        "backends/general",
        "backends/ops",
        "book1/functions",
        "book1/util",
        "layers",
    },
    "book1/optimizer": {"optimizer"},
    "book1/trainer": {"_training", "_watching", "book1/optimizer"},
    "book1/multi_layer_net": {"_links", "_shown", "book1/gradient", "book1/layers", "util"},
    "book1/multi_layer_net_extend": {"book1/gradient", "book1/layers", "book1/multi_layer_net"},
    "book1/dataset/__init__": {"book1/dataset/mnist"},
    "book1/dataset/mnist": {"dataset/_files", "dataset/mnist"},
}
DOORS = {"__init__", "__main__"}  # they may import everything


def module_files():
    return {str(path.relative_to(PACKAGE).with_suffix("")): path for path in PACKAGE.rglob("*.py")}


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
        if any((PACKAGE / f"{candidate}{suffix}").exists() for suffix in (".py", ".pyx")):
            return candidate
    if any(PACKAGE.glob(f"{inside}.*")):  # the compiled kernels, where the source is not beside them
        return inside
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
    heavy = OPTIONAL | {"IPython", "requests", "http", "ssl", "asyncio"}
    code = "import sys, numpy; before = set(sys.modules); import scratchnet; print(*(set(sys.modules) - before))"
    loaded = set(strict(code).split())
    assert "scratchnet.backends.cpu" in loaded and not loaded & heavy


def test_import_takes_what_a_program_asks_for_and_no_more():
    code = "import sys, scratchnet; print(*(m for m in sys.modules if m.startswith('scratchnet')))"
    loaded = set(strict(code).split())
    assert not loaded & {"scratchnet.layers", "scratchnet.trainer", "scratchnet.backends.cuda", "scratchnet.util"}
    names = ["Affine", "SGD", "Trainer", "layers", "plotting", "dataset", "load_params", "to_gpu"]
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


@pytest.mark.parametrize(
    "module, names",
    [
        ("config", "GPU"),
        ("functions", "np GPU sigmoid relu softmax cross_entropy_error"),
        ("layers", "np GPU softmax cross_entropy_error MatMul Affine Sigmoid SoftmaxWithLoss Dropout Embedding"),
        ("time_layers", "np GPU sigmoid softmax Affine Embedding LSTM TimeLSTM TimeSoftmaxWithLoss"),
        ("optimizer", "np GPU sys SGD Momentum Nesterov AdaGrad RMSprop Adam"),
        ("trainer", "np GPU numpy clip_grads sys time Trainer RnnlmTrainer remove_duplicate"),
        ("util", "np GPU sys os preprocess most_similar ppmi clip_grads to_cpu to_gpu eval_perplexity analogy"),
        ("base_model", "np GPU os pickle sys to_cpu to_gpu BaseModel"),
    ],
)
def test_book_2_s_star_imports(module, names):
    """What its scripts take without naming it."""
    given: dict[str, object] = {}
    exec(f"from scratchnet.{module} import *", given)
    assert given.keys() >= set(names.split())


for _name in scratchnet.__all__:
    getattr(scratchnet, _name)  # imports what it is in
CHANGED = [
    name
    for name, module in sys.modules.items()
    if name.startswith("scratchnet") and isinstance(module, ModuleType) and type(module) is not ModuleType
]


@pytest.mark.parametrize("name", CHANGED)
def test_modules_that_pass_names_on_are_pickled_and_copied_by_name(name):
    """As cloudpickle, and so joblib's and Dask's workers, do it for modules of Python's own class."""
    module = sys.modules[name]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        written = pickle.dumps(module, protocol)
        assert pickle.loads(written) is module and len(written) < 100
    assert copy.copy(module) is copy.deepcopy(module) is module
    assert copy.deepcopy({"module": module})["module"] is module


def test_some_modules_pass_names_on():
    assert {"scratchnet.layers", "scratchnet.functions", "scratchnet.trainer", "scratchnet.util"} <= set(CHANGED)


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
