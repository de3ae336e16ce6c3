"""Whose code runs: the books' own is compiled, what a reader has changed runs as written, and it is said."""

from __future__ import annotations

import ast
import pickle
import random
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import numpy as np
import processes
import pytest
from processes import PYTHON

import scratchnet.book1.layers
import scratchnet.book2.layers
import scratchnet.book2.optimizer
import scratchnet.book2.time_layers
import scratchnet.book2.trainer
import scratchnet.dropin
from scratchnet.dropin import chapters
from scratchnet.dropin import table as table_of_editions
from scratchnet.dropin.bindings import may_set_names, names_set_in_modules
from scratchnet.dropin.editions import HOMES
from scratchnet.dropin.finder import FINDER
from scratchnet.dropin.fingerprint import file_digest, fingerprint, names_used
from scratchnet.dropin.recognition import Readings

pytestmark = pytest.mark.thread_unsafe(reason="its scripts lie in a fixture's folder")

# An edition in our own words: the table of the tests has it in the place of the books'.
FUNCTIONS = '''
import numpy as np


def sigmoid(x):
    """Squash."""
    return 1 / (1 + np.exp(-x))


def softmax(x):
    moved = x - np.max(x, axis=-1, keepdims=True)
    return np.exp(moved) / np.sum(np.exp(moved), axis=-1, keepdims=True)
'''
LAYERS = """
from common.functions import *


class Sigmoid:
    def __init__(self):
        self.params, self.grads, self.out = [], [], None

    def forward(self, x):
        out = sigmoid(x)
        self.out = out
        return out

    def backward(self, dout):
        return dout * (1 - self.out) * self.out


class Softmax:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x):
        self.out = softmax(x)
        return self.out


class Affine:
    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        return x @ self.params[0] + self.params[1]
"""


def definitions(source):
    return {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def table_text(lines):
    return "\n" + "".join(f"{digest} {' '.join(words)}\n" for digest, words in lines.items())


@pytest.fixture
def table(monkeypatch):
    """The table knows the edition above, by definitions, and by files if they are added."""
    of = {fingerprint(n): [f"2.functions.{name}"] for name, n in definitions(FUNCTIONS).items()}
    of |= {fingerprint(n): [f"2.layers.{name}"] for name, n in definitions(LAYERS).items()}
    files: dict[str, list[str]] = {}
    monkeypatch.setattr(table_of_editions, "text", lambda: table_text(of | files))
    table_of_editions.served_names.cache_clear()
    yield files
    table_of_editions.served_names.cache_clear()


@pytest.fixture
def readings(tmp_path, table):
    """Write a reader's `common`, and get what is recognised in it."""

    def of(*, replaced=frozenset(), **modules):
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text, "utf-8")

        def locate(name):
            path = tmp_path / f"{name.partition('.')[2]}.py"
            return path if path.is_file() else None

        return Readings(locate, 2, "common", replaced)

    return of


def test_fingerprints_are_the_same_on_every_python():
    first = "def f(a, *b, c=1e-7, **d):\n    x, y = a, -b[0]\n    return [z + x for z in y if not z is None]"
    second = "class A(B):\n    n = True\n    def g(self):\n        with self.open() as f:\n"
    second += "            return f'{f!r:>{3}}'"
    third = "x = {'a': (1, 2.5, 1j, b'c', ...), **y}"
    expected = ["7b25c4e022ba579b", "4ead4c34738578e1", "47bcac08f039d66a"]
    assert [fingerprint(ast.parse(source).body[0])[:16] for source in (first, second, third)] == expected


@pytest.mark.parametrize(
    "one, other",
    [
        (
            "def f(a, b=1):\n    'd'\n    x = a + b\n    return x",
            "def f(a: int, b=1) -> int:\n    y = (a\n+ b)\n    return y",
        ),
        ("def f():\n    for i in r:\n        s = i", "def f():\n    for k in r:\n        t = k  # why"),
        ("def f():\n    n: int = 3\n    return n", "def f():\n    m = 0x3\n    return m"),
        ("x = 'a'", 'x = """a"""'),
    ],
)  # fmt: skip
def test_what_only_the_author_sees_does_not_count(one, other):
    assert fingerprint(ast.parse(one).body[0]) == fingerprint(ast.parse(other).body[0])


@pytest.mark.parametrize(
    "one, other",
    [
        ("def f(a):\n    return a", "def f(b):\n    return b"),
        ("def f(a=1): pass", "def f(a=1.0): pass"),
        ("def f():\n    q = 1\n    return lambda q: q", "def f():\n    w = 1\n    return lambda q: w"),
        ("def f():\n    from m import a\n    a = a + 1", "def f():\n    from m import b\n    b = b + 1"),
        ("def f():\n    x = 1\n    y = 2\n    return x", "def f():\n    x = 1\n    y = 2\n    return y"),
        ("def f():\n    global a\n    a = 1", "def f():\n    global b\n    b = 1"),
        ("def f():\n    x = 1\n    return locals()", "def f():\n    y = 1\n    return locals()"),
        ("def f():\n    x = 1\n    class C:\n        x = 2", "def f():\n    y = 1\n    class C:\n        y = 2"),
        ("x = True", "x = 1"),
        ("x.a", "x.b"),
        ("f(k=1)", "f(j=1)"),
        ("x = -1", "x = 1"),
        ("x = 'a'", "x = b'a'"),
        ("class A:\n    def f(self): pass", "class A:\n    def g(self): pass"),
    ],
)
def test_whatever_else_counts(one, other):
    assert fingerprint(ast.parse(one).body[0]) != fingerprint(ast.parse(other).body[0])


def test_names_that_a_definition_leans_on():
    source = "class A(B):\n    k = g(1)\n    def f(self, x=h):\n        y = q(x)\n        return [s(z) for z in y]"
    assert names_used(ast.parse(source).body[0]) == {"B", "g", "h", "q", "s"}


def test_an_edition_is_served_whatever_its_comments_and_locals(readings):
    mine = LAYERS.replace("out = sigmoid(x)", "y = sigmoid(x)  # hidden")
    mine = mine.replace("self.out = out\n        return out", "self.out = y\n        return y")
    layers = readings(functions=FUNCTIONS, layers=mine).of("layers").examine()
    assert [*layers.served] == ["Sigmoid", "Softmax", "Affine"] and not layers.kept and layers.line("layers") == ""


def test_what_is_changed_and_what_leans_on_it_is_kept(readings):
    changed = FUNCTIONS.replace("keepdims=True)\n    return", "keepdims=True) * 2\n    return")
    reading = readings(functions=changed, layers=LAYERS)
    assert [*reading.of("functions").examine().served] == ["sigmoid"]
    layers = reading.of("layers").examine()
    assert layers.kept == {"Softmax": "it uses your softmax"} and [*layers.served] == ["Sigmoid", "Affine"]
    assert layers.line("common.layers") == (
        "common.layers: compiled 2 of 3; yours: Softmax (it uses your softmax)"
    )
    assert reading.of("functions").line("functions").endswith("yours: softmax (line 10: not the book's)")


@pytest.mark.parametrize(
    "more, kept",
    [
        ("\nsigmoid = abs\n", ["Sigmoid"]),
        ("\ndef sigmoid(x):\n    return x\n", ["sigmoid", "Sigmoid"]),
        ("\nif True:\n    np = None\n", ["Affine"]),
        ("\nfrom mine import sigmoid\n", ["Sigmoid"]),
        ("\nimport mine as np\n", ["Affine"]),
        ("\nclass Affine(Affine):\n    pass\n", ["Affine"]),
        ("\nclass Mine:\n    pass\n", ["Mine"]),
        ("\nimport numpy as np, sys\n", []),
        ("\nSEEN = []\n", []),
    ],
)
def test_names_that_a_reader_binds_anew(readings, more, kept):
    layers = readings(functions=FUNCTIONS, layers=LAYERS + more).of("layers").examine()
    assert sorted(layers.kept) == sorted(kept)


def test_files_of_an_edition_are_recognised_without_a_look_inside(readings, table):
    reading = readings(functions=FUNCTIONS, layers=LAYERS)
    for name, text in (("functions", FUNCTIONS), ("layers", LAYERS)):
        table[file_digest(text.encode())] = [f"=2.common.{name}", "2"]
        assert file_digest(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) in table
    assert reading.of("layers").whole == "scratchnet.book2.layers"
    changed = readings(functions=FUNCTIONS.replace("1 +", "2 +"))
    assert changed.of("layers").whole is None and [*changed.of("layers").examine().kept] == ["Sigmoid"]


def test_a_reader_s_module_with_compiled_definitions_in_it(tmp_path, table, monkeypatch, capsys):
    common = tmp_path / "common"
    common.mkdir()
    (common / "functions.py").write_text(FUNCTIONS.replace("1 +", "2 +"))
    (common / "layers.py").write_text(LAYERS + "\nclass Double(Affine):\n    def forward(self, x):\n"
                                      "        return 2 * super().forward(x)\n\nplace = __file__\n")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    scratchnet.dropin.install(2)
    try:
        import common.layers as layers

        assert layers.Affine is scratchnet.book2.layers.Affine and layers.place == str(common / "layers.py")
        assert layers.Sigmoid is not scratchnet.book2.layers.Sigmoid and layers.sigmoid(0.0) == 1 / 3
        assert layers.Sigmoid().forward(np.zeros(1))[0] == 1 / 3
        W, b, x = np.ones((2, 3)), np.ones(3), np.ones((4, 2))
        np.testing.assert_array_equal(layers.Double(W, b).forward(x), np.full((4, 3), 6.0))
    finally:
        scratchnet.dropin.uninstall()
        FINDER.forget()
    assert capsys.readouterr().err.splitlines() == [
        "scratchnet: common.layers: compiled 2 of 4; yours: Double (new), Sigmoid (it uses your sigmoid)",
        "scratchnet: common.functions: compiled 1 of 2; yours: sigmoid (line 5: not the book's)",
    ]


def test_errors_show_the_reader_s_lines(tmp_path, table):
    path = tmp_path / "functions.py"
    path.write_text(FUNCTIONS + "\n1 / 0\n")
    reading = Readings(lambda name: path, 2).of("functions")
    code = reading.code()
    assert [*reading.served] == ["sigmoid", "softmax"]
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code, {"__name__": "functions"})
    assert caught.traceback[-1].lineno + 1 == len(path.read_text().splitlines())


def test_modules_that_import_each_other(readings):
    circle = readings(functions="from common.layers import *\n" + FUNCTIONS, layers=LAYERS)
    assert [*circle.of("layers").examine().served] == ["Sigmoid", "Softmax", "Affine"]


def test_a_file_that_is_not_python_is_python_s_to_refuse(readings):
    reading = readings(layers="class (")
    assert reading.of("layers").examine().served == {}
    with pytest.raises(SyntaxError):
        reading.of("layers").code()


def test_the_books_classes_in_a_script_itself(tmp_path, table):
    script = tmp_path / "script.py"
    script.write_text(FUNCTIONS + LAYERS.replace("from common.functions import *\n", "") + "\nprint(Sigmoid())\n")
    reading = Readings(lambda name: None, 2).script(script)
    assert [*reading.served] == ["sigmoid", "softmax", "Sigmoid", "Softmax", "Affine"]
    script.write_text(script.read_text().replace("1 +", "2 +"))
    assert [*Readings(lambda name: None, 2).script(script).served] == ["softmax", "Softmax", "Affine"]


def edits(tree, rng):
    """Change one thing in a tree: a number, an operator, an attribute, a name that is called, an argument."""
    nodes = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant | ast.BinOp | ast.Attribute | ast.UnaryOp | ast.arg)
    ]
    node = rng.choice([n for n in nodes if not (isinstance(n, ast.Constant) and isinstance(n.value, str))])
    if isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else rng.choice([7, 0.5, None])
    elif isinstance(node, ast.BinOp):
        node.op = rng.choice(
            [op for op in (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult) if type(node.op) is not op]
        )()
    elif isinstance(node, ast.Attribute):
        node.attr += "_"
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.USub()
    else:
        node.arg += "_"


def test_no_edit_is_passed_over(table):
    """200 edits of an edition's definitions: none of them is taken for the edition's own."""
    rng = random.Random(0)
    sources = [ast.unparse(n) for n in (*definitions(FUNCTIONS).values(), *definitions(LAYERS).values())]
    known = table_of_editions.words_of
    assert all(known(fingerprint(ast.parse(source).body[0])) for source in sources)
    for _ in range(200):
        tree = ast.parse(rng.choice(sources))
        before = ast.dump(tree)
        edits(tree, rng)
        assert ast.dump(tree) == before or not known(fingerprint(tree.body[0])), ast.unparse(tree)


def test_the_table_that_ships():
    lines = [line.split() for line in table_of_editions.text().splitlines()[1:]]
    assert all(len(digest) == 64 for digest, *_ in lines) and len({digest for digest, *_ in lines}) == len(lines)
    definitions = {digest: words for digest, *words in lines if not words[0].startswith("=")}
    files = [digest for digest, *_ in lines if digest not in definitions]
    named = {word.rpartition(".")[2] for words in definitions.values() for word in words}
    assert len(files) > 20 and named == table_of_editions.served_names()
    for digest, words in definitions.items():
        assert table_of_editions.words_of(digest) == words
        for name in {word.rpartition(".")[2] for word in words}:
            homes = [import_module(home) for _, home in table_of_editions.homes_of(digest, name)]
            assert homes and all(hasattr(home, name) for home in homes), words
    for digest in files:
        known = table_of_editions.known_file(digest)
        home = import_module(HOMES[int(known.name[0])][known.name.split(".")[1]] + "." + known.name.split(".")[2])
        assert all(hasattr(import_module(other), name) for name, other in known.elsewhere.items())
        assert known.definitions >= len(known.kept) and home.__name__.startswith("scratchnet.")


@pytest.fixture
def run(tmp_path):
    def run_script(text, *options, check=True):
        (tmp_path / "script.py").write_text(dedent(text))
        command = (*PYTHON, "-m", "scratchnet", "run", *options, "script.py")
        return processes.run(*command, cwd=tmp_path, check=check, PYTHONSAFEPATH="")

    return run_script


def test_it_is_said_when_nothing_is_compiled(run):
    said = run("print(1)")
    assert said.stdout == "1\n"
    assert said.stderr == "scratchnet: nothing of script.py was compiled: it imports neither common nor dataset\n"
    assert run("print(1)", "--quiet").stderr == "" == run("from common.layers import Affine").stderr


def test_it_is_said_what_is_the_reader_s(run, tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common/layers.py").write_text("class Affine:\n    pass\n")
    said = run("from common.layers import Affine\nprint(Affine.__module__)")
    assert said.stdout == "common.layers\n"
    assert (
        said.stderr.splitlines()[0]
        == "scratchnet: common.layers: compiled 0 of 1; yours: Affine (line 1: not the book's)"
    )
    assert run("from common.layers import Affine", "--quiet").stderr == ""


def idx(array):
    """An array of bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def test_the_reader_s_data_come_first(tmp_path, monkeypatch):
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "mnist.py").write_text("def load_mnist():\n    return 'mine'\n")
    sizes = {"train": 3, "t10k": 2}
    for name, n in sizes.items():
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(np.full((n, 2, 2), n, np.uint8)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.zeros(n, np.uint8)))
    digest = file_digest((folder / "mnist.py").read_bytes())
    monkeypatch.setattr(table_of_editions, "text", lambda: table_text({digest: ["=1.dataset.mnist", "1"]}))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "elsewhere"))

    def load():
        scratchnet.dropin.install(1)
        try:
            from dataset.mnist import load_mnist

            is_ours = load_mnist.__globals__["__name__"].startswith("scratchnet.")
            return load_mnist(**({"normalize": False} if is_ours else {}))
        finally:
            scratchnet.dropin.uninstall()
            FINDER.forget()

    (x, _), (x_test, _) = load()
    assert x.shape == (3, 4) and x_test.shape == (2, 4) and x[0, 0] == 3
    (folder / "mnist.pkl").write_bytes(b"")  # which the book's loader reads before all else
    assert load() == "mine"


def test_classes_of_the_books_typed_into_the_script(tmp_path, table, monkeypatch, capsys):
    script = tmp_path / "script.py"
    script.write_text(FUNCTIONS + LAYERS.replace("from common.functions import *\n", "") + "\nprint(Affine)\n")
    for name in ("path", "argv"):
        monkeypatch.setattr(sys, name, [*getattr(sys, name)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    try:
        for keep_own, is_ours in ((False, True), (True, False)):
            scratchnet.dropin.run_script(script, book=2, keep_own=keep_own)
            assert capsys.readouterr().out == "<class '__main__.Affine'>\n"
            assert (sys.modules["__main__"].Affine is scratchnet.book2.layers.Affine) is is_ours
    finally:
        scratchnet.dropin.uninstall()
        FINDER.forget()


@pytest.fixture
def reader(tmp_path, table, monkeypatch):
    """Write a reader's folder, and import from it with scratchnet in between."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        scratchnet.dropin.uninstall()
        scratchnet.dropin.install(2)

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    scratchnet.dropin.uninstall()
    FINDER.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("common", "dataset", "mine")]:
        del sys.modules[name]


def test_the_reader_s_init_is_run(reader):
    reader(common__functions=FUNCTIONS)
    (Path(sys.path[0]) / "common/__init__.py").write_text("from .functions import *\nplace = __file__\n")
    import common

    assert common.sigmoid(0.0) == 0.5 and common.place == common.__file__


def test_names_that_the_reader_s_init_sets(reader):
    reader(common__functions=FUNCTIONS, common__layers=LAYERS)
    patch = "import common.functions as F\nF.softmax = lambda x: 'mine'\n"
    (Path(sys.path[0]) / "common/__init__.py").write_text(patch)
    from common.layers import Affine, Softmax

    assert Softmax().forward(0) == "mine" and Affine is scratchnet.book2.layers.Affine


def test_modules_of_a_common_that_is_on_the_path_itself(reader, monkeypatch):
    functions = FUNCTIONS.replace("keepdims=True)\n    return", "keepdims=True) * 2\n    return")
    reader(common__functions=functions, common__layers=LAYERS.replace("common.functions", "functions"))
    monkeypatch.syspath_prepend(Path(sys.path[0]) / "common")
    monkeypatch.delitem(sys.modules, "layers", raising=False)
    monkeypatch.delitem(sys.modules, "functions", raising=False)
    from layers import Affine, Sigmoid, Softmax

    ours = scratchnet.book2.layers
    assert Affine is ours.Affine and Sigmoid is ours.Sigmoid and Softmax.__module__ == "layers"
    for name in ("layers", "functions"):
        del sys.modules[name]


def test_a_file_of_the_reader_s_with_a_package_s_name(reader):
    reader(dataset="def load():\n    return 3\n")
    from dataset import load

    assert load() == 3


@pytest.mark.parametrize(
    "script",
    [
        "import common.layers as L\nL.softmax = abs",
        "import common.layers\ncommon.layers.softmax = abs",
        "from common import layers\nif True:\n    layers.softmax = abs",
        "def f():\n    from deep2.common import layers as L\n    del L.softmax",
    ],
)
def test_names_that_the_script_sets_in_a_module(readings, table, script):
    replaced = names_set_in_modules(ast.parse(script))
    assert replaced == {("layers", "softmax")}
    for name, text in (("functions", FUNCTIONS), ("layers", LAYERS)):
        table[file_digest(text.encode())] = [f"=2.common.{name}", "2"]
    layers = readings(functions=FUNCTIONS, layers=LAYERS, replaced=replaced).of("layers").examine()
    assert layers.whole is None and layers.kept == {"Softmax": "it uses your softmax"}


@pytest.mark.parametrize(
    "more",
    [
        "\nfrom mine import *\n",
        "\nfrom scipy.special import softmax\n",
        "\nfrom .mine import softmax\n",
        "\nfrom old.common.functions import softmax\n",
        "\ntry:\n    from mine import *\nexcept ImportError:\n    pass\n",
        "\ndef patch():\n    global softmax\n    softmax = abs\n",
        "\nglobals()['softmax'] = abs\n",
        "\nexec('softmax = abs')\n",
        "\nimport sys\nsetattr(sys.modules[__name__], 'softmax', abs)\n",
        "\nclass K:\n    global softmax\n    softmax = abs\n",
        "\ndef helper(a=(softmax := abs)):\n    pass\n",
        "\nmatch abs:\n    case softmax:\n        pass\n",
        "\ntry:\n    1 / 0\nexcept ZeroDivisionError as softmax:\n    pass\n",
        "\nfor softmax in [abs]:\n    pass\n",
        "\nwith open(__file__) as softmax:\n    pass\n",
        "\nimport mine as softmax\n",
        "\ndel softmax\n",
        "\n__all__ = ['sigmoid']\n",
    ],
)
def test_however_a_name_is_bound_anew_it_counts(readings, more):
    reading = readings(functions=FUNCTIONS + more, layers=LAYERS)
    assert "Softmax" in reading.of("layers").examine().kept


@pytest.mark.parametrize("deep", ["K = " + "+".join(["1"] * 1200), f"def f():\n    return 0x{'f' * 5000}"])
def test_what_is_too_deep_or_too_long_is_the_reader_s(readings, deep):
    reading = readings(functions=f"{FUNCTIONS}\n{deep}\n").of("functions").examine()
    code = reading.code()
    assert code is not None and not {"K", "f"} & reading.served.keys()


def test_a_script_that_changes_the_path_may_import_another_common(tmp_path, table):
    script = tmp_path / "script.py"
    typed = LAYERS.replace("from common.functions import *", "from common.functions import sigmoid, softmax")
    script.write_text(typed)
    readings = Readings(lambda name: None, 2)
    assert [*readings.script(script).served] == ["Sigmoid", "Softmax", "Affine"]
    script.write_text("import sys\nsys.path.insert(0, 'mine')\n" + typed)
    assert [*readings.script(script).served] == ["Affine"]  # which leans on nothing of common's


@pytest.mark.parametrize("how", ["'..'", '".."', "os.pardir"])
def test_a_script_that_adds_the_folder_above_finds_what_it_would(tmp_path, table, how):
    (tmp_path / "ch01").mkdir()
    script = tmp_path / "ch01/script.py"
    typed = LAYERS.replace("from common.functions import *", "from common.functions import sigmoid, softmax")
    script.write_text(f"import sys, os\nsys.path.append({how})\n{typed}")
    assert [*Readings(lambda name: None, 2).script(script).served] == ["Sigmoid", "Softmax", "Affine"]


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere capitals make another folder")
def test_the_folder_above_is_known_with_other_capitals(tmp_path, table, monkeypatch):
    (tmp_path / "ch01").mkdir()
    (tmp_path / "common").mkdir()
    script = tmp_path / "ch01/script.py"
    typed = LAYERS.replace("from common.functions import *", "from common.functions import sigmoid, softmax")
    script.write_text(f"import sys, os\nsys.path.append(os.pardir)\n{typed}")
    monkeypatch.chdir(str(tmp_path / "CH01").upper())
    assert [*Readings(lambda name: None, 2).script(script).served] == ["Sigmoid", "Softmax", "Affine"]


def known_layers(table):
    """The table knows the edition's files, and that in layers Softmax is not the book's."""
    text = LAYERS.replace("self.out = softmax(x)", "self.out = 2 * softmax(x)")
    first = text.splitlines().index("class Softmax:") + 1
    table[file_digest(FUNCTIONS.encode())] = ["=2.common.functions", "2"]
    table[file_digest(text.encode())] = ["=2.common.layers", "3", f"Softmax:{first}-{first + 6}"]
    return text, first


def test_a_known_file_runs_what_differs_in_it_as_it_is_written(reader, table, capsys):
    text, first = known_layers(table)
    reader(common__functions=FUNCTIONS, common__layers=text)
    from common.layers import Affine, Softmax

    assert Affine is scratchnet.book2.layers.Affine and Softmax.__module__ == "common.layers"
    np.testing.assert_allclose(Softmax().forward(np.zeros((1, 2))), [[1.0, 1.0]])
    assert Softmax.forward.__code__.co_firstlineno == first + 4
    kept = f"Softmax (line {first}: not the book's)"
    assert capsys.readouterr().err == f"scratchnet: common.layers: compiled 2 of 3; yours: {kept}\n"


def test_a_known_file_whose_neighbour_has_another_function_is_looked_into(reader, table):
    text, _ = known_layers(table)
    other = FUNCTIONS.replace("1 +", "2 +")
    table[file_digest(other.encode())] = ["=2.common.functions", "2", "sigmoid:5-7"]
    reader(common__functions=other, common__layers=text)
    from common.layers import Affine, Sigmoid

    assert Affine is scratchnet.book2.layers.Affine and Sigmoid().forward(np.zeros(1)) == 1 / 3


def test_modules_next_to_the_script_are_looked_at_as_it_is(reader, capsys):
    reader(common__functions=FUNCTIONS, mine=LAYERS + "\nclass Own:\n    pass\n")
    import mine

    assert mine.Affine is scratchnet.book2.layers.Affine and mine.Own.__module__ == "mine"
    said = "scratchnet: mine.py: compiled, since the books have the same: Sigmoid, Softmax, Affine\n"
    assert capsys.readouterr().err == said


def test_what_is_pickled_opens_without_scratchnet(reader):
    reader(common__functions=FUNCTIONS, common__layers=LAYERS)
    from common.layers import Affine, Sigmoid

    assert Affine.__module__ == Sigmoid.__module__ == "common.layers"
    x = np.array([[1.0, 2.0]])
    made = [Affine(np.ones((2, 3)), np.zeros(3)), Sigmoid()]
    expected = [layer.forward(x) for layer in made]
    pickled = pickle.dumps(made)
    scratchnet.dropin.uninstall()
    assert Affine.__module__ == Sigmoid.__module__ == "scratchnet.layers"
    for layer, y in zip(pickle.loads(pickled), expected, strict=True):
        assert not isinstance(layer, Affine | Sigmoid) and type(layer).__module__ == "common.layers"
        np.testing.assert_array_equal(layer.forward(x), y)


def test_the_book_s_class_has_the_attributes_that_it_needs():
    """Book 1's Affine and book 2's TimeEmbedding have W and b as attributes of their own."""
    W, b = np.ones((2, 3)), np.zeros(3)
    assert scratchnet.book1.layers.Affine(W, b).__getstate__().items() >= {"W": W, "b": b}.items()
    assert scratchnet.book2.time_layers.TimeEmbedding(W).__getstate__()["W"] is W


# What follows runs whole commands, with the table that ships; it has the formula of chapter 3.
TYPED = """
import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))
"""


def test_an_error_in_a_compiled_function_says_whose_place_it_has(run, tmp_path):
    said = run(TYPED + "\nsigmoid('a')\n", check=False)
    last = said.stderr.splitlines()[-1]
    assert said.returncode == 1
    assert (
        last == f"scratchnet: __main__.sigmoid is compiled, in the place of the book's in {tmp_path / 'script.py'}"
    )


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forkserver")
def test_processes_that_the_script_starts_run_the_same(run, way):
    """They import the script anew, as multiprocessing does: with what is compiled, and its own name and file."""
    said = run(
        TYPED
        + f"""
import multiprocessing

def work(function):
    is_ours = sigmoid.__code__.co_filename.endswith("functions.py")
    return is_ours, function is sigmoid, __name__, __file__.endswith("script.py")

if __name__ == "__main__":
    with multiprocessing.get_context({way!r}).Pool(1) as pool:
        print(*pool.apply(work, (sigmoid,)))
"""
    )
    assert said.stdout.split() == ["True", "True", "__mp_main__", "True"]
    line = "scratchnet: script.py: compiled, since the books have the same: sigmoid"
    assert said.stderr.splitlines() == [line, line]


def test_a_long_script_of_book_1_is_told_of_float32(run, tmp_path):
    command = (
        "from scratchnet.dropin import runner; runner.WORTH_A_HINT = 0; runner.run_script('script.py', book={})"
    )
    run("from common.layers import Affine")
    for book, is_told in ((1, True), (2, False)):
        said = processes.run(*PYTHON, "-c", command.format(book), cwd=tmp_path, PYTHONSAFEPATH="")
        assert ("--float32" in said.stderr) is is_told


def test_the_extension_says_what_it_serves():
    code = "import scratchnet.book1; scratchnet.book1.load_ipython_extension(None)"
    said = processes.run(*PYTHON, "-c", code).stderr
    assert said == "scratchnet: book 1's common and dataset are served; what is your own in them stays yours\n"


def test_a_helper_that_sets_a_name_in_a_module_of_common(run, tmp_path):
    """What uses the name runs as the reader wrote it."""
    (tmp_path / "common").mkdir()
    (tmp_path / "common/functions.py").write_text(
        TYPED + "\nclass Own:\n    f = staticmethod(lambda x: sigmoid(x))\n"
    )
    (tmp_path / "helper.py").write_text("import common.functions as F\nsetattr(F, 'sigmoid', lambda x: 7)\n")
    said = run("import helper\nfrom common.functions import Own\nprint(Own.f(0))")
    assert said.stdout == "7\n" and "sigmoid (the script replaces it)" in said.stderr


@pytest.mark.parametrize(
    "script",
    [
        "import common.layers as L\nsetattr(L, 'softmax', print)\n",
        "import common.layers\ncommon.layers.softmax = print\n",
        "from common import layers\ndelattr(layers, 'softmax')\n",
    ],
)
def test_every_way_to_set_a_name_is_seen(script):
    assert names_set_in_modules(ast.parse(script)) == {("layers", "softmax")}
    assert may_set_names(script.encode()) and not may_set_names(b"from common.layers import *\n")


def test_what_a_script_changes_in_its_class_stays_its_own(tmp_path, table):
    script = tmp_path / "script.py"
    typed = LAYERS.replace("from common.functions import *", "from common.functions import sigmoid, softmax")
    script.write_text(typed + "\nSigmoid.forward = lambda self, x: 0 * x\n")
    assert [*Readings(lambda name: None, 2).script(script).served] == ["Softmax", "Affine"]


def test_definitions_with_doctests_run_as_they_are_written(readings):
    tested = FUNCTIONS.replace('"""Squash."""', '"""\n    >>> sigmoid(0.0)\n    0.5\n    """')
    assert [*readings(functions=tested).of("functions").examine().served] == ["softmax"]


def test_a_script_s_own_class_by_a_name_of_the_books_is_said_to_be_the_reader_s(run):
    said = run(TYPED.replace("1 /", "2 /") + "\nclass Mine:\n    pass\n")
    assert said.stderr.splitlines()[0] == "scratchnet: script.py: yours: sigmoid (line 4: not the book's)"


def test_book_2_s_two_layers_are_trained_in_whole_steps():
    """In float64, as the book's, from the numbers that the book draws."""
    np.random.seed(1)
    net = chapters.TwoLayerNet(2, 5, 3)
    np.random.seed(1)
    np.testing.assert_array_equal(net.params[0], 0.01 * np.random.randn(2, 5))
    np.testing.assert_array_equal(net.params[2], 0.01 * np.random.randn(5, 3))
    trainer = scratchnet.book2.trainer.Trainer(net, scratchnet.book2.optimizer.SGD(1.0))
    trainer.fit(np.ones((6, 2)), np.arange(6) % 3, 2, 3, verbose=False)
    assert trainer.engine == "plan" and net.params[0].dtype == np.float64
