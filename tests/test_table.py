"""Tables: what is read, what is refused and how, and training on one from the command line as a user does it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import scratchnet
import scratchnet._commands as commands
import scratchnet._predict_command as predict_command
from scratchnet import layers
from scratchnet.__main__ import main
from scratchnet.dataset.table import Columns, read_features, read_table

FLOWERS = '''length, width ,kind
5.1,3.5,setosa
7.0,3.2,"versi ""color"""
6.3,3.3,virginica

4.9,3e0, setosa
'''


def run(*arguments):
    """Run a command in this process; return its exit code."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as end:
        return end.code


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "_pictures", lambda *arguments: [])

    def write(text, name="data.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return name

    return write


def test_a_table_with_names(write):
    for text in (FLOWERS, "\ufeff" + FLOWERS.replace("\n", "\r\n")):
        table = read_table(write(text), "kind")
        assert table.columns.features == ["length", "width"] and table.columns.has_header
        assert table.columns.classes == ["setosa", 'versi "color"', "virginica"]
        np.testing.assert_array_equal(table.x, [[5.1, 3.5], [7.0, 3.2], [6.3, 3.3], [4.9, 3.0]])
        assert table.t.tolist() == [0, 1, 2, 0] and table.t.dtype == np.int64


def test_a_table_without_names(write):
    table = read_table(write("1,10,2.5\n3,9,4.5\n"), "2")
    assert table.columns.features == ["1", "3"] and not table.columns.has_header
    assert table.columns.classes == ["9", "10"]  # by value
    np.testing.assert_array_equal(table.x, [[1, 2.5], [3, 4.5]])
    assert table.t.tolist() == [1, 0]


def test_a_regression_and_columns_that_are_left_out(write):
    text = "id,town,2020,price\n1,Ulsan,5,1e3\n2,Busan,7,-2\n"
    table = read_table(write(text), "price", regression=True, ignore=("id", "town"))
    assert table.columns.features == ["2020"] and table.columns.classes is None
    assert table.x.tolist() == [[5.0], [7.0]] and table.t.tolist() == [[1000.0], [-2.0]]


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-8"])
def test_encodings_and_delimiters(write, encoding):
    text = "키;몸무게;종류\n1;2;고양이\n2;3;개\n"
    table = read_table(write(text, encoding=encoding), "종류", encoding=encoding, delimiter=";")
    assert table.columns.features == ["키", "몸무게"] and table.columns.classes == ["개", "고양이"]
    assert Columns.from_text(table.columns.with_scaling(table.x, table.t).as_text()).classes == ["개", "고양이"]


HEAD = "a,b,y\n1,2,p\n"


@pytest.mark.parametrize(
    ("text", "target", "options", "message"),
    [
        (HEAD + "3,Rome,q\n", "y", {}, r"line 3: column 'b': 'Rome' is not a number; .*--ignore 'b'"),
        (HEAD + '"a\nb",2,q\n', "y", {}, r"line 3: column 'a': 'a\\nb' is not a number"),
        (
            HEAD + '1,2,"q\nr"\n1,,p\n',
            "y",
            {},
            "line 5: column 'b': the cell is empty; fill it in, remove the line",
        ),
        (HEAD + "1,NA,q\n", "y", {}, "line 3: column 'b': 'NA' is not a number"),
        (HEAD + "1,nan,q\n", "y", {}, "line 3: column 'b': 'nan' is not finite; fill it in"),
        (HEAD + "1,1e999,q\n", "y", {}, "line 3: column 'b': '1e999' is not finite"),
        (HEAD + "1,2\n", "y", {}, "line 3: it has 2 cells, expected 3, as in the first line"),
        (HEAD + "1,2,3,4\n", "y", {}, "line 3: it has 4 cells, expected 3"),
        (HEAD + "1,2, \n", "y", {}, "line 3: column 'y': the target is empty"),
        (HEAD + '1,2,"q\n', "y", {}, "line 3: it is not CSV: unexpected end of data"),
        (HEAD + '1,2,"q"r\n', "y", {}, "line 3: it is not CSV"),
        (HEAD, "z", {}, "--target .*has no column 'z'; its columns are a, b, y"),
        (HEAD, "y", {"ignore": ("c",)}, "--ignore .*has no column 'c'"),
        (HEAD, "3", {}, "has no column '3'; its columns are a, b, y"),
        (HEAD, "y", {}, "column 'y' has only one class, 'p'"),
        (HEAD, "y", {"ignore": ("a", "b")}, "has no column beside the target"),
        ("1,2\n3,4\n", "3", {}, "has no column '3': its first line has numbers, .* counted from 1 to 2"),
        (
            "1,p\n3,q\n",
            "kind",
            {},
            "has no column 'kind'.* If the first line has no names, give the column's number",
        ),
        ("a;b;y\n1;2;p\n", "y", {}, "If cells are separated by ';', say so with --delimiter"),
        ("a,a,y\n1,2,p\n", "y", {}, "line 1: it names columns 1 and 2 both 'a'"),
        ("a,b,y\n", "y", {}, "has no rows of data"),
        ("", "y", {}, "is empty"),
        ("\n  \n", "y", {}, "is empty"),
        (HEAD, "y", {"regression": True}, "line 2: column 'y': 'p' is not a number; .*leave out --regression"),
        ("a,y\n" + "".join(f"1,{k}.5\n" for k in range(30)), "y", {}, "30 different numbers in 30 .*--regression"),
        (HEAD, "y", {"encoding": "utf-99"}, "encoding 'utf-99' is unknown; use a name such as .* cp949"),
        (HEAD, "y", {"delimiter": "ab"}, "delimiter must be one character"),
        (HEAD, "y", {"delimiter": '"'}, "delimiter must be one character"),
        ("a\0,b,y\n1,2,p\n", "y", {}, "has no column beside|NUL|has no rows|only one class"),
        ("a,b,y\n1,2," + "p" * 200_000 + "\n", "y", {}, "line 2: it is not CSV: field larger than"),
    ],
)
def test_what_is_refused_says_where_and_what_to_do(write, text, target, options, message):
    name = write(text)
    with pytest.raises(ValueError, match=message):
        read_table(name, target, **options)


def test_text_in_another_encoding(write):
    name = write("몸무게,y\n1,p\n2,q\n", encoding="cp949")
    with pytest.raises(ValueError, match=r"is not text in utf-8-sig; say its encoding with --encoding .*cp949"):
        read_table(name, "y")
    with pytest.raises(FileNotFoundError, match=r"there is no file nothing\.csv"):
        read_table("nothing.csv", "y")
    with pytest.raises(ValueError, match="expected a path"):
        read_table(3, "y")


def scaled(text, target, write, **options):
    table = read_table(write(text, "train.csv"), target, **options)
    return table.columns.with_scaling(table.x, table.t)


def test_standardizing(write):
    columns = scaled("a,b,y\n1,5,10\n3,5,30\n", "y", write, regression=True)
    assert columns.mean == [2.0, 5.0, 20.0] and columns.std == [1.0, 1.0, 10.0]  # equal values: 1
    np.testing.assert_array_equal(columns.standardized(np.array([[3.0, 7.0]])), [[1.0, 2.0]])
    assert columns.in_units_of_target(columns.standardized_target(np.array([[15.0]]))).item() == 15.0
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\), expected \(N, 2\): columns a, b"):
        columns.standardized(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="column 'a' has values that are too large"):
        scaled("a,y\n1e308,p\n-1e308,q\n", "y", write)


def test_another_table_is_read_by_names_else_by_places(write):
    columns = scaled("id,a,y,b\n7,1,p,2\n8,3,q,4\n", "y", write, ignore=("id",))
    for text, known in {
        "b,new,a\n20,x,10\n40,x,30\n": False,
        "y,b,a\np,20,10\nq,40,30\n": True,
        "y,b,a\np,20,10\n,40,30\n": False,
        "9,10,p,20\n9,30,q,40\n": True,  # without names
        "9,10,20\n9,30,40\n": False,  # and without the target
        "10,20\n30,40\n": False,  # the features alone
    }.items():
        table = read_features(write(text), columns)
        assert table.x.tolist() == [[10, 20], [30, 40]], text
        assert (table.t.tolist() == [0, 1]) if known else table.t is None, text
    for text, message in {
        "a,c\n1,2\n": "has no column 'b', which the network was trained on; its columns are a, c",
        "1,2,3,4,5\n": "has 5 columns, expected 4 as in training, or 3 without the target",
        "a,b\n": "has no rows of data",
        "a,b\n1,x\n": "line 2: column 'b': 'x' is not a number",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            read_features(write(text), columns)


def test_what_a_file_says_of_columns_is_checked(write):
    good = scaled(FLOWERS, "kind", write).as_text()
    assert Columns.from_text(good).features == ["length", "width"]
    for old, new in [
        ('"places": [0, 1]', '"places": [0, 5]'),
        ('"places": [0, 1]', '"places": [0, 0]'),
        ('"width": 3', '"width": "3"'),
        ('"has_header": true', '"has_header": 1'),
        ('"features": ["length", "width"]', '"features": [1, 2]'),
        ('"mean": [', '"mean": [NaN, '),
        ('"std": [', '"std": [-'),
        ('"target"', '"goal"'),
        (good, "[]"),
        (good, "{"),
    ]:
        assert old in good
        with pytest.raises(ValueError, match="what it says of the table's columns is invalid"):
            Columns.from_text(good.replace(old, new, 1))


RNG = np.random.default_rng(11)


def flowers(rows, separated=True):
    """Two classes that a circle separates."""
    x = RNG.uniform(-1, 1, (rows, 2))
    inside = (x**2).sum(axis=1) < 0.6
    lines = [
        f"{a * 1000 + 5000:.4f},{b / 1000:.7f},{'안' if k else '밖'}" for (a, b), k in zip(x, inside, strict=True)
    ]
    return "\n".join(["length,width,kind", *lines]) + "\n"


def test_classes_from_the_command_line(write, capsys):
    write(flowers(300)), write(flowers(100), "new.csv")
    assert run("train", "table", "data.csv", "--target", "kind", "--quiet", "--out", "net") == 0
    out, err = capsys.readouterr()
    assert (
        err == "" and "kind, 2 classes, from 2 columns: length, width\n240 rows to train, 60 to validate\n" in out
    )
    assert float(out.split("accuracy ")[2].split()[0]) > 0.9 and "on the validation rows" in out
    assert run("predict", "net/weights.npz", "new.csv", "--probabilities") == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert len(rows) == 100 and {row[0] for row in rows} == {"안", "밖"}
    assert all(abs(float(row[1]) + float(row[2]) - 1) < 1e-3 and len(row) == 3 for row in rows)
    assert all((float(row[2]) > 0.5) == (row[0] == "안") for row in rows if "0.5000" not in row)
    assert "probabilities of 밖, 안" in err and float(err.split("accuracy ")[1].split()[0]) > 0.9
    text = "\n".join(line.rsplit(",", 1)[0] for line in (Path("new.csv").read_text("utf-8").split("\n")))
    write(text, "bare.csv")
    assert run("predict", "net/weights.npz", "bare.csv") == 0
    bare, err = capsys.readouterr()
    assert bare.split() == [row[0] for row in rows] and err == ""
    np.save("new.npy", np.loadtxt("bare.csv", delimiter=",", skiprows=1))
    assert run("predict", "net/weights.npz", "new.npy") == 0
    assert capsys.readouterr().out == bare


def test_a_regression_from_the_command_line(write, capsys):
    x = RNG.uniform(20, 200, (400, 2))
    y = 3000 * x[:, 0] - 1000 * x[:, 1] + 1e6
    lines = [f"{a},{b},{c}" for a, b, c in zip(*x.T, y, strict=True)]
    write("\n".join(["sqm,age,price", *lines[:300]])), write("\n".join(["sqm,age,price", *lines[300:]]), "new.csv")
    train = ("train", "table", "data.csv", "--target", "price", "--regression", "--dtype", "float64", "--quiet")
    assert run(*train, "--out", "net") == 0
    out = capsys.readouterr().out
    assert float(out.split("RMSE ")[2].split()[0]) < 0.1 * y.std() and "float64" in out
    assert run("predict", "net/weights.npz", "new.csv") == 0
    out, err = capsys.readouterr()
    found = np.array(out.split(), float)
    error = np.sqrt(np.mean((found - y[300:]) ** 2))
    assert error < 0.1 * y.std() and abs(float(err.split("RMSE ")[1].split()[0]) - error) < 1e-3 * error
    model = scratchnet.models.load("net/weights.npz")
    columns = Columns.from_text(str(np.load("net/weights.npz")["table"]))
    again = columns.in_units_of_target(model.predict(columns.standardized(x[300:])))
    np.testing.assert_allclose(again[:, 0], found, rtol=1e-6)
    model.save_params("other.npz")  # without what the table was
    scratchnet.models.load("other.npz")


def test_the_training_part_alone_sets_the_scale_and_validation_stops_it(write, capsys):
    write(flowers(60))
    train = ("train", "table", "data.csv", "--target", "kind", "--seed", "3", "--out", "net", "--hidden", "4")
    assert run(*train, "--validation", "0.5", "--patience", "1", "--lr", "3", "--epochs", "50") == 0
    out = capsys.readouterr().out
    assert int(out.split(" epochs in")[0].split()[-1]) < 50
    columns = Columns.from_text(str(np.load("net/weights.npz")["table"]))
    np.random.seed(3)
    rows = read_table("data.csv", "kind").x[np.random.permutation(60)[30:]]
    np.testing.assert_allclose(columns.mean, rows.mean(axis=0), rtol=1e-12)
    assert run(*train, "--validation", "0", "--epochs", "2", "--quiet") == 0
    out = capsys.readouterr().out
    assert "60 rows to train, 0 to validate" in out and "validation rows" not in out and "2 epochs" in out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("data.csv",), 2, "--target"),
        (("data.csv", "--target", "kind", "--validation", "1"), 2, "expected a number from 0"),
        (("data.csv", "--target", "kind", "--validation", "0.99"), 1, "--validation 0.99 of 4 rows leaves none"),
        (("data.csv", "--target", "kind", "--patience", "0"), 2, "expected a positive integer"),
        (("nothing.csv", "--target", "kind"), 1, "there is no file nothing.csv"),
        ((".", "--target", "kind"), 1, "expected a file, got a folder"),
        (("data.csv", "--target", "length", "--ignore", "kind", "--lr", "nan", "--regression"), 1, "lr must be"),
        (("data.csv", "--target", "color"), 1, "has no column 'color'; its columns are length, width, kind"),
    ],
)
def test_errors_are_one_line_and_a_code(write, capsys, options, code, message):
    write(FLOWERS)
    assert run("train", "table", *options) == code
    err = capsys.readouterr().err
    assert message in err and (code == 2 or len(err.splitlines()) == 1)


def test_predicting_with_the_wrong_data(write, capsys):
    write(FLOWERS)
    train = ("train", "table", "data.csv", "--target", "kind", "--epochs", "1", "--quiet", "--validation", "0")
    assert run(*train, "--out", "net") == 0
    np.save("wide.npy", np.zeros((2, 3)))
    write(FLOWERS.replace(",", ";"), "semicolons.csv")
    np.save("huge.npy", np.full((2, 2), 1e200))
    held = dict(np.load("net/weights.npz"))
    fewer = str(held["table"]).replace(', "virginica"]', "]")
    np.savez("fewer.npz", **{**held, "table": np.array(fewer)})
    np.savez("said.npz", **{**held, "table": np.array("{}")})
    for data, message, weights in [
        ("spiral", "is of a table, not of spiral; expected a .csv or .npy file", "net/weights.npz"),
        ("wide.npy", "x has shape (2, 3), expected (N, 2): columns length, width", "net/weights.npz"),
        ("huge.npy", "sample 1 are not finite", "net/weights.npz"),
        ("nothing.csv", "there is no file nothing.csv", "net/weights.npz"),
        ("semicolons.csv", "If cells are separated by ';', say so with --delimiter", "net/weights.npz"),
        ("data.csv", f"net is a folder; the file in it is {Path('net/weights.npz')}", "net"),
        (
            "data.csv",
            "fewer.npz: the network's output has shape (4, 3), expected (4, 2), as its table",
            "fewer.npz",
        ),
        ("data.csv", "said.npz: what it says of the table's columns is invalid", "said.npz"),
    ]:
        capsys.readouterr()
        assert run("predict", weights, data) == 1
        assert message in capsys.readouterr().err
    scratchnet.MultiLayerNet(2, [], 1, loss="identity", rng=0).save_params("line.npz")
    np.save("x.npy", np.zeros((2, 2)))
    assert run("predict", "line.npz", "x.npy", "--probabilities") == 1
    assert "is of a regression, which has none" in capsys.readouterr().err


def test_predicting_with_other_losses(write, capsys):
    x = np.array([[1.0, -2.0], [-3.0, 0.5]])
    np.save(write("", "x.npy"), x)
    for loss, wanted in {
        "identity": "0.5 -2\n-3.5 0.5\n",
        "sigmoid": "1 0 0.6225 0.1192\n0 1 0.0293 0.6225\n",
    }.items():
        model = scratchnet.MultiLayerNet(2, [], 2, loss=loss, rng=0)
        model.params[0][...] = np.eye(2)
        model.params[1][...] = [-0.5, 0]
        model.save_params("net.npz")
        assert run("predict", "net.npz", "x.npy", *(["--probabilities"] if loss == "sigmoid" else [])) == 0
        assert capsys.readouterr().out == wanted


@pytest.mark.parametrize("text", ["tab", "\\t", "\t"])
def test_tabs(write, text):
    assert predict_command.as_delimiter(text) == "\t"


def test_columns_without_scaling_say_what_is_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n1,2,x\n3,4,y\n", "utf-8")
    table = read_table(path, target="kind")
    with pytest.raises(ValueError, match="with_scaling"):
        table.columns.standardized(table.x)


TRAIN = ("train", "table", "data.csv", "--target", "kind", "--epochs", "2", "--quiet", "--validation", "0.25")


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_network_of_another_table_is_not_overwritten(write, capsys):
    write(flowers(40)), write(flowers(40), "other.csv")
    assert run(*TRAIN) == 0  # into the folder that all tables have without --out
    before = content("scratchnet-table")
    for changed in (
        {2: "other.csv"},
        {4: "width", 5: "--regression", 6: "--ignore", 7: "kind"},
        {},
    ):
        given = [changed.get(k, word) for k, word in enumerate(TRAIN)] if changed else ["train", "spiral"]
        for more in ((), ("--resume",)):
            capsys.readouterr()
            assert run(*given, "--out", "scratchnet-table", *more) == 1
            err = capsys.readouterr().err
            where = Path("scratchnet-table/weights.npz")
            assert f"{where} is of another table, data.csv, with the target kind and the " in err
            assert "--out" in err and len(err.splitlines()) == 1 and content("scratchnet-table") == before
    assert run(*TRAIN, "--seed", "1", "--ignore", "width") == 0  # the same table again, as with spiral
    assert run(*TRAIN, "--seed", "1", "--hidden", "3") == 0
    assert content("scratchnet-table") != before


def test_another_table_of_the_same_name_is_another_one(write, capsys):
    write(flowers(40))
    assert run(*TRAIN) == 0
    _, *rows = flowers(40).splitlines()
    for lines in (["length,depth,kind", *rows], ["id,length,width,kind", *(f"1,{row}" for row in rows)]):
        write("\n".join(lines))
        capsys.readouterr()
        assert run(*TRAIN) == 1
        assert "is of another table, data.csv" in capsys.readouterr().err


def test_a_table_does_not_overwrite_other_weights(write, capsys):
    write(flowers(40))
    Path("net").mkdir()
    for inputs in (2, 3):
        scratchnet.MultiLayerNet(inputs, [4], 2).save_params("net/weights.npz")
        before = content("net")
        assert run(*TRAIN, "--out", "net") == 1
        where = Path("net/weights.npz")
        assert f"{where} is not of a table" in capsys.readouterr().err and content("net") == before
    assert run("train", "spiral", "--out", "net", "--epochs", "1") == 1
    assert f"{where} is of other data: its network does not have 2 inputs" in capsys.readouterr().err


@pytest.mark.parametrize("is_new_seed", [False, True])
def test_a_table_s_run_goes_on_with_the_same_rows_only(write, capsys, is_new_seed):
    """With another seed, rows that validated it would train it."""
    write(flowers(40))
    assert run(*TRAIN) == 0
    before = content("scratchnet-table")
    if not is_new_seed:
        write(flowers(40))  # as many, of the same columns
    assert run(*TRAIN, "--resume", *(("--seed", "3") if is_new_seed else ())) == 1
    err = capsys.readouterr().err
    assert "the checkpoint is of other rows" in err and content("scratchnet-table") == before


def test_a_run_that_was_killed_is_not_replaced_without_a_word(write, capsys):
    write(flowers(40))
    assert run(*TRAIN) == 0
    Path("scratchnet-table/weights.npz").unlink()  # it is written at the end
    capsys.readouterr()
    assert run(*TRAIN) == 0
    where = Path("scratchnet-table/checkpoint.npz")
    assert f"begins anew, without --resume: {where} is of a run" in capsys.readouterr().err
    assert run(*TRAIN, "--resume") == 0
    assert "begins anew" not in capsys.readouterr().err


def test_a_table_without_its_command_is_told_which(write, capsys):
    write(FLOWERS)
    for arguments in (["data.csv"], ["data.csv", "--target", "kind"], ["other.tsv"]):
        assert run("train", *arguments) == 2
        err = capsys.readouterr().err
        assert f"for a table write: scratchnet train table {arguments[0]} --target COLUMN" in err
    write(FLOWERS, "spiral")
    for arguments in (["iris"], ["spiral", "--epochs", "0"]):
        assert run("train", *arguments) == 2
        assert "for a table" not in capsys.readouterr().err


def test_networks_of_images_are_told_what_predicts_with_them(write, capsys):
    write(FLOWERS)
    images = np.zeros((5, 1, 4, 4))
    np.save("images.npy", images), np.save("flat.npy", images.reshape(5, -1))
    filters = layers.Convolution(np.ones((2, 1, 3, 3)), np.zeros(2), pad=1)
    dense = layers.Affine(np.ones((8, 3)), np.zeros(3))
    made = [layers.Relu(), filters, layers.Pooling(2, 2), layers.Flatten(), dense]
    scratchnet.models.Sequential(made, layers.SoftmaxWithLoss()).save_params("net.npz")
    for data in ("images.npy", "flat.npy", "data.csv", "mnist", "spiral", "nothing.npy"):
        assert run("predict", "net.npz", data) == 1
        out, err = capsys.readouterr()
        assert out == "" and err == (
            "scratchnet: error: net.npz is of a network of images; scratchnet predict is for rows of numbers. In "
            "Python: scratchnet.models.load('net.npz').predict(x), with x of shape (N, 1, H, W)\n"
        )
    assert scratchnet.models.load("net.npz").predict(images).shape == (5, 3)
