"""The books' `common` and `dataset` from scratchnet: scripts as a reader keeps them, run in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from textwrap import dedent

import processes
import pytest
from processes import PYTHON

from scratchnet.dropin import book_of

pytestmark = pytest.mark.thread_unsafe(reason="its scripts lie in a fixture's folder")

RUN = [*PYTHON, "-m", "scratchnet", "run", "--quiet"]


@pytest.fixture
def write(tmp_path):
    """Write files of a reader's folder: name -> text."""

    def write_files(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), "utf-8")
        return tmp_path

    return write_files


def run(*command, **settings):
    """With PYTHONSAFEPATH empty: otherwise Python itself leaves the script's folder out."""
    return processes.run(*command, **{"PYTHONSAFEPATH": ""} | settings)


def test_a_script_is_run_as_python_runs_it(write):
    folder = write(
        ch01__show="""
            import sys, os
            print(__name__, os.path.basename(__file__), sys.argv[1:], os.path.basename(sys.path[0]))
            print(sys.modules["__main__"].__dict__ is globals(), os.path.basename(os.getcwd()), __doc__)
            import neighbour
            sys.exit(3)
        """,
        ch01__neighbour="print('here')",
    )
    ours = run(*RUN, "ch01/show.py", "--book", "9", "-x", cwd=folder, check=False)
    theirs = run(sys.executable, "ch01/show.py", "--book", "9", "-x", cwd=folder, check=False)
    assert ours.returncode == theirs.returncode == 3
    assert ours.stdout == theirs.stdout != "" and ours.stderr == theirs.stderr == ""


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    raise KeyError('x')\nf()\n",
        "import broken\n",
        "x = (\n",
        "raise SystemExit('the end')\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('after') from e\n",
        "import sys\nsys.excepthook = lambda *a: print('my own', a[0].__name__)\nprint(undefined)\n",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nimport time\ntime.sleep(9)\n",
        "raise KeyboardInterrupt\n",
    ],
    ids=["error", "import", "syntax", "exit", "cause", "hook", "signal", "interrupt"],
)
def test_errors_and_exit_codes_are_the_script_s(write, text):
    folder = write(script=text, broken="import no_such_module\n")
    ours = run(*RUN, "script.py", cwd=folder, check=False)
    theirs = run(sys.executable, folder / "script.py", cwd=folder, check=False)
    assert ours.returncode == theirs.returncode
    assert ours.stdout == theirs.stdout
    assert ours.stderr == theirs.stderr and "scratchnet" not in ours.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_is_the_script_s(write):
    folder = write(script="import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [*RUN, "script.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=processes.ctrl_c_as_usual,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.startswith("Traceback") and "scratchnet" not in errors and "KeyboardInterrupt" in errors


def test_a_missing_script(tmp_path):
    result = run(*RUN, "none.py", cwd=tmp_path, check=False)
    assert result.returncode == 2 and "there is no file none.py" in result.stderr


def test_book_2_s_first_network(write):
    folder = write(
        ch01__train="""
            import sys
            sys.path.append('..')
            import numpy as np
            from common.optimizer import SGD
            from common.trainer import Trainer
            from dataset import spiral
            from two_layer_net import TwoLayerNet

            x, t = spiral.load_data()
            model = TwoLayerNet(2, 10, 3)
            trainer = Trainer(model, SGD(lr=1.0))
            trainer.fit(x, t, 3, 30, eval_interval=10)
        """,
        ch01__two_layer_net="""
            import sys
            sys.path.append('..')
            import numpy as np
            from common.layers import Affine, Sigmoid, SoftmaxWithLoss

            class TwoLayerNet:
                def __init__(self, i, h, o):
                    self.layers = [Affine(0.01 * np.random.randn(i, h), np.zeros(h)), Sigmoid(),
                                   Affine(0.01 * np.random.randn(h, o), np.zeros(o))]
                    self.loss_layer = SoftmaxWithLoss()
                    self.params = sum([l.params for l in self.layers], [])
                    self.grads = sum([l.grads for l in self.layers], [])
                def predict(self, x):
                    for layer in self.layers:
                        x = layer.forward(x)
                    return x
                def forward(self, x, t):
                    return self.loss_layer.forward(self.predict(x), t)
                def backward(self, dout=1):
                    dout = self.loss_layer.backward(dout)
                    for layer in reversed(self.layers):
                        dout = layer.backward(dout)
        """,
    )
    result = run(*RUN, "train.py", cwd=folder / "ch01")
    losses = ("1.10", "1.12", "1.13")
    assert result.stdout.splitlines() == [
        f"| epoch {n} |  iter 1 / 10 | time 0[s] | loss {loss}" for n, loss in enumerate(losses, start=1)
    ]


def test_below_another_root_there_or_not(write):
    script = (
        "from deep2.common.layers import Affine\nimport deep2.dataset.spiral as s\nprint(Affine.__module__, s)\n"
    )
    folder = write(script=script)
    assert run(*RUN, "script.py", cwd=folder).stdout.startswith("scratchnet.layers <module 'scratchnet.dataset.")
    write(deep2__common__util="", deep2__own="x = 'own'")
    with open(folder / "script.py", "a") as file:
        file.write("from deep2.own import x\nprint(x)\n")
    assert run(*RUN, "script.py", cwd=folder).stdout.endswith("own\n")


def test_a_notebook_finds_the_folder_by_its_files(write):
    folder = write(
        deep2__common__layers="mine = 4",
        deep2__common__functions="",
        other__common__layers="Affine = 3",
        other__common__util="",
    )
    code = (
        "import sys; sys.path.insert(0, '.'); import scratchnet.dropin; scratchnet.dropin.install();"
        "import deep2.common.layers as a, deep2.common.optimizer as c, other.common.layers as b;"
        "print(a.mine, c.SGD, b.Affine)"
    )
    assert run(*PYTHON, "-c", code, cwd=folder).stdout == "4 <class 'scratchnet.optimizer.SGD'> 3\n"


def test_the_reader_s_own_modules_keep_working(write):
    folder = write(
        common__mine="from common.layers import *\nfrom .functions import sigmoid\nx = Affine, softmax, np, GPU",
        common__models="name = 'my own models'",
        dataset__fruit="n = 3",
        ch02__script="""
            import sys
            from common.mine import x
            import common.models, dataset.fruit
            print(x[0].__module__, common.models.name, dataset.fruit.n)
        """,
    )
    assert run(*RUN, "ch02/script.py", cwd=folder).stdout == "scratchnet.layers my own models 3\n"
    assert run(*RUN, "script.py", cwd=folder / "ch02").stdout == "scratchnet.layers my own models 3\n"


def test_star_imports_pass_on_what_the_books_scripts_take(write):
    folder = write(
        script="""
            from common.functions import *
            assert np.zeros(1).shape == (1,) and GPU is False and sigmoid(0.0) == 0.5
            from common.layers import *
            softmax, cross_entropy_error, SoftmaxWithLoss
            from common.optimizer import *
            sys.argv, Adam
            from common.trainer import *
            numpy, clip_grads, time.time, Trainer
            from common.util import *
            os.sep, to_cpu
            import common.trainer
            assert 'matplotlib' not in sys.modules
            assert common.trainer.plt.plot and 'Trainer' in dir(common.trainer)
            try:
                common.layers.nothing
            except AttributeError as error:
                print(error)
        """,
    )
    assert run(*RUN, "script.py", cwd=folder).stdout == (
        "module 'scratchnet.book2.layers' has no attribute 'nothing'\n"
    )


def test_importing_the_dropin_serves_nothing(write):
    folder = write(
        common__layers="place = 'the reader'",
        script="""
            import sys
            before = sys.meta_path[:]
            import scratchnet.dropin
            import common.layers
            print(common.layers.place, sys.meta_path == before)
        """,
    )
    assert run(sys.executable, "script.py", cwd=folder).stdout == "the reader True\n"


@pytest.mark.parametrize("book, home", [(1, "scratchnet.book1"), (2, "scratchnet.book2")])
def test_what_is_served_is_a_second_name_of_the_book_s_own_module(write, book, home):
    folder = write(
        script=f"""
            import sys
            from importlib import import_module
            import common.layers, deep.common.optimizer
            from common import trainer, util
            from deep.common.util import *
            assert common.layers is import_module("{home}.layers") is sys.modules["common.layers"]
            assert trainer is import_module("{home}.trainer") and util is import_module("{home}.util")
            print(deep.common.optimizer.__name__)
        """,
    )
    assert run(*RUN, "--book", book, "script.py", cwd=folder).stdout == f"{home}.optimizer\n"


def test_what_a_served_script_pickles_opens_without_the_dropin(write):
    """By plain pickle, and modules by name as cloudpickle has them."""
    pytest.importorskip("cloudpickle")
    folder = write(
        script="""
            import cloudpickle
            from common import layers
            from common.layers import Affine
            from common.optimizer import *
            from common.np import *
            def f(x): return layers.Affine(np.ones((2, 3)), np.zeros(3)).forward(x)
            layer, opt = Affine(np.ones((2, 3)), np.zeros(3)), Nesterov(0.5)
            with open("kept.pkl", "wb") as file:
                file.write(cloudpickle.dumps((layer, opt, layers, f)))
        """,
        opened="""
            import pickle, sys
            import numpy as np
            layer, opt, module, f = pickle.load(open("kept.pkl", "rb"))
            assert not any(name.split(".")[0] == "common" for name in sys.modules)
            print(type(layer).__module__, type(opt).__module__, module.__name__, f(np.ones((1, 2))).tolist())
        """,
    )
    run(*RUN, "--book", "2", "script.py", cwd=folder)
    assert run(*PYTHON, "opened.py", cwd=folder).stdout == (
        "scratchnet.layers scratchnet.book2.optimizer scratchnet.book2.layers [[2.0, 2.0, 2.0]]\n"
    )


def test_the_module_config_is_the_one_that_counts(write):
    folder = write(
        script="from common import config\nimport scratchnet.config\nprint(config is scratchnet.config)\n"
    )
    assert run(*RUN, "script.py", cwd=folder).stdout == "True\n"


def test_a_module_that_nobody_has_is_python_s_own_error(write):
    folder = write(script="import common.nothing\n")
    result = run(*RUN, "script.py", cwd=folder, check=False)
    assert result.returncode == 1 and "No module named 'common.nothing'" in result.stderr


def test_other_packages_called_common_are_left_alone(write):
    folder = write(lib__common__layers="x = 'theirs'")
    code = (
        "import sys; sys.path.insert(0, '.'); import scratchnet.dropin; scratchnet.dropin.install();"
        "import lib.common.layers as l; print(l.x)"
    )
    assert run(*PYTHON, "-c", code, cwd=folder).stdout == "theirs\n"


def test_as_an_extension_of_a_notebook(tmp_path):
    code = (
        "import scratchnet; scratchnet.load_ipython_extension(None); scratchnet.load_ipython_extension(None);"
        "import sys, common.layers, common.optimizer; print(common.layers.Affine is scratchnet.Affine);"
        "print(sum('Finder' in type(f).__name__ and 'dropin' in type(f).__module__ for f in sys.meta_path))"
    )
    assert run(*PYTHON, "-c", code, cwd=tmp_path).stdout == "True\n1\n"


@pytest.mark.parametrize(
    "text, book",
    [
        ("from common.layers import Affine", 2),
        ("from common.layers import Convolution, Affine", 1),
        ("from common.multi_layer_net import MultiLayerNet\nfrom common.util import smooth_curve", 1),
        ("from dataset.mnist import load_mnist", 1),
        ("from dataset import mnist", 1),
        ("from deep1.common.gradient import numerical_gradient", 1),
        ("from dataset import spiral", 2),
        ("import common.time_layers", 2),
        ("from common.util import clip_grads", 2),
        ("from common.np import *", 2),
        ("import neighbour", 1),
        ("import neighbour\nfrom dataset import ptb", 2),
        ("import numpy", 2),
        ("x = (", 2),
    ],
)
def test_which_book(write, text, book):
    folder = write(
        script=text,
        neighbour="import second",
        second="import neighbour\nfrom common.gradient import numerical_gradient",
    )
    assert book_of(folder / "script.py") == book


def test_which_book_by_its_folder(write):
    folder = write(ch03__script="import numpy", common__multi_layer_net="")
    assert book_of(folder / "ch03" / "script.py") == 1


def test_a_notebook_s_book_by_its_folder_or_as_it_is_told(write):
    folder = write(common__multi_layer_net="", ch03__empty="")
    code = "import scratchnet.dropin as d; {}; import common.layers as l; print(l.__name__)"
    for told, where, name in (
        ("d.install()", ".", "scratchnet.book1.layers"),
        ("d.install()", "ch03", "scratchnet.book1.layers"),
        ("d.install(2)", ".", "scratchnet.book2.layers"),
    ):
        assert run(*PYTHON, "-c", code.format(told), cwd=folder / where).stdout == f"{name}\n"


@pytest.mark.parametrize(
    "script, book",
    [
        ("from common.functions import *\nprint(sigmoid_grad(1.0))", 1),
        ("from common.layers import *\nlayer = Affine(W, b)\nprint(layer.dW)", 1),
        ("from common.layers import *\nparams += layer.params\ngrads += layer.grads", 2),
        ("from common.layers import *\nlayer = MatMul(W)", 2),
        ("from common.layers import *\nclass Convolution: pass\nConvolution()", 2),
        ("from common.layers import *\nclass Mine:\n    def f(self): self.dW = 1; return self.dW", 2),
    ],
)
def test_after_a_star_import_the_names_that_are_used_tell_the_book(write, script, book):
    assert book_of(write(script=script) / "script.py") == book


def test_a_name_of_the_other_book_is_told_as_such(write):
    folder = write(script="from common.layers import Affine, Convolution")
    result = run(*RUN, "--book", "2", "script.py", cwd=folder, check=False)
    assert "'Convolution': it is from book 1" in result.stderr and "--book 1" in result.stderr


def test_book_1_in_a_notebook_and_the_hint_to_it(write):
    folder = write(
        script="""
            import scratchnet, scratchnet.book1
            scratchnet.book1.load_ipython_extension(None)
            from common.layers import Convolution
            from common.optimizer import SGD
            params = {"W": 1.0}
            SGD(0.5).update(params, {"W": 1.0})
            print(params["W"], Convolution.__module__)
            try:
                scratchnet.SGD().update(params, params)
            except ValueError as error:
                print(error)
        """
    )
    value, hint = run(*PYTHON, "script.py", cwd=folder).stdout.splitlines()
    assert value == "0.5 scratchnet.book1.layers" and "%load_ext scratchnet.book1" in hint


def test_the_second_extension_takes_the_first_one_s_place_and_unloading_gives_it_back(write):
    folder = write(
        common__functions="",
        common__mine="from common import layers",
        common__gradient="place = 'the reader'",
        deep2__common__functions="",
        deep2__common__layers="from common.layers import *",
        script="""
            import sys
            import scratchnet, scratchnet.book1, scratchnet.book2
            class IPython:
                class extension_manager: loaded = set()
            def load(extension):
                assert extension.__name__ not in IPython.extension_manager.loaded
                extension.load_ipython_extension(IPython)
                IPython.extension_manager.loaded.add(extension.__name__)
            import deep2
            for extension in (scratchnet.book1, scratchnet, scratchnet.book1, scratchnet.book2, scratchnet.book1):
                load(extension)
                import common.layers, common.mine, dataset, deep2.common.layers
                from deep2 import common as below
                modules = (common.layers, common.mine.layers, below.layers)
                print(*("book 1" if "Convolution" in dir(m) else "book 2" for m in modules))
            scratchnet.book1.unload_ipython_extension(IPython)
            import common.gradient
            print(common.gradient.place, hasattr(common.gradient, "numerical_gradient"))
        """,
    )
    lines = run(*PYTHON, "-W", "error", "script.py", cwd=folder, PYTHONPATH=str(folder)).stdout.splitlines()
    assert lines == [*(" ".join([f"book {book}"] * 3) for book in (1, 2, 1, 2, 1)), "the reader False"]


def test_what_had_been_imported_before_is_said(write):
    folder = write(
        common__functions="",
        common__layers="",
        deep2__common__functions="",
        deep2__common__layers="",
        other__common="",
        script="""
            import warnings
            import common.layers, deep2.common.layers, other.common
            import scratchnet
            for _ in range(2):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    scratchnet.load_ipython_extension(None)
                for warning in caught:
                    print(warning.message)
                scratchnet.unload_ipython_extension(None)
        """,
    )
    lines = run(*PYTHON, "script.py", cwd=folder, PYTHONPATH=str(folder)).stdout.splitlines()
    assert len(lines) == 4 and lines[:2] == lines[2:]
    for line, name in zip(lines, ("common", "deep2.common"), strict=False):
        assert line.startswith(f"{name!r} has already been imported from {folder}") and "Restart Python" in line
        assert line.endswith(f"load scratchnet before {name!r} is first imported")


def test_no_third_book():
    from scratchnet import dropin

    with pytest.raises(ValueError, match="book must be 1 or 2, got 3"):
        dropin.install(3)


def test_the_start_is_quick(write):
    """At most 1.4 times the processor time of Python with NumPy alone: 1.1 to 1.2 on a quiet machine.

    The middle one of the ratios of neighbours in time: on a busy machine, which slows down all that runs for a
    while, one lucky start of either kind would decide what the best of each is, and a bound in seconds would be
    one of the machine. With the modules compiled by the first start, as they are where a package is installed: a
    machine that forbids Python to keep what it compiled would have it compile everything each time.
    """
    resource = pytest.importorskip("resource", reason="no process's time is known here")
    folder = write(script="import numpy\n")
    keeps = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}

    def seconds(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*command, cwd=folder, **keeps)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert median(seconds(*RUN, "script.py") / seconds(*PYTHON, "script.py") for _ in range(9)) < 1.4


def test_the_start_imports_nothing_slow_that_it_does_not_need(write):
    """What took half of the start: pathlib with urllib, the contract's table, and what only other scripts need."""
    modules = "import sys\nprint(*sys.modules)\n"
    of_the_book = "from common.layers import *\nfrom common.multi_layer_net import MultiLayerNet\n"
    folder = write(script=of_the_book + modules, plain="import numpy, ast, inspect, runpy\n" + modules)
    plain = run(*PYTHON, "plain.py", cwd=folder).stdout.split()
    loaded = set(run(*RUN, "script.py", cwd=folder).stdout.split()) - set(plain)
    assert "scratchnet.book1.multi_layer_net" in loaded
    slow = {"pathlib", "urllib.parse", "threading", "numpy.typing", "hashlib", "argparse", "scratchnet.util"}
    assert not loaded & {*slow, "scratchnet.backends.contract", "scratchnet.trainer", "scratchnet._files"}
