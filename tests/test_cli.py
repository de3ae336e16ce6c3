"""The command line, run as a person runs it: real processes in an empty folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import processes
import pytest
from processes import PYTHON, fresh

import scratchnet
import scratchnet._commands as commands
import scratchnet._predict_command as predict_command
from scratchnet.__main__ import main

pytestmark = pytest.mark.thread_unsafe(reason="starts processes, which share nothing with the threads")

COMMAND = [*PYTHON, "-m", "scratchnet"]


def run(*arguments, **settings):
    return processes.run(*COMMAND, *arguments, **settings)


def run_here(*arguments):
    """Run a command in this process, which is quicker; return its exit code."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as end:
        return end.code


def start(*arguments, cwd):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=processes.ctrl_c_as_usual,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which `scratchnet train spiral` has run, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    return folder, run("train", "spiral", cwd=folder)


def test_train_spiral_prints_the_book_s_lines_and_the_result(trained):
    _, result = trained
    lines = result.stdout.splitlines()
    assert lines[0] == "| epoch 1 |  iter 1 / 10 | time 0[s] | loss 1.10"
    assert lines[299].startswith("| epoch 300 |")
    assert float(lines[300].split()[1]) > 0.95
    assert "300 epochs in" in lines[301] and lines[302].startswith("wrote ")
    assert result.stderr == ""


def test_train_writes_weights_and_pictures_whole(trained):
    folder, _ = trained
    out = folder / "scratchnet-spiral"
    names = ["checkpoint.npz", "decision_boundary.png", "loss.png", "weights.npz"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in ("loss.png", "decision_boundary.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_train_is_the_api_s_run(trained):
    """The same weights as five lines of Python give with the book's seed."""
    folder, _ = trained
    x, t = scratchnet.dataset.spiral.load_data()
    model = scratchnet.TwoLayerNet(2, 10, 3)
    scratchnet.Trainer(model, scratchnet.SGD(1.0)).fit(x, t, 300, 30, eval_interval=10, verbose=False)
    loaded = scratchnet.TwoLayerNet(2, 10, 3)
    loaded.load_params(folder / "scratchnet-spiral" / "weights.npz")
    for mine, theirs in zip(model.params, loaded.params, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_predict_on_the_spiral_and_on_files(trained):
    folder, result = trained
    accuracy = result.stdout.splitlines()[300].split()[1]
    *classes, last = run("predict", "scratchnet-spiral/weights.npz", "spiral", cwd=folder).stdout.splitlines()
    assert last == f"accuracy {accuracy} on 300 samples"
    x, t = scratchnet.dataset.spiral.load_data()
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x, delimiter=",")
    weights = "scratchnet-spiral/weights.npz"
    from_npy = run("predict", weights, "x.npy", cwd=folder).stdout.split()
    from_csv = run("predict", weights, "x.csv", "--probabilities", cwd=folder).stdout.splitlines()
    assert [line.split()[0] for line in from_csv] == from_npy == classes
    assert np.mean(np.array(from_npy, int) == t.argmax(axis=1)) == pytest.approx(float(accuracy), abs=1e-4)
    assert all(abs(sum(map(float, line.split()[1:])) - 1) < 1e-3 for line in from_csv)


def test_probabilities_are_printed_for_known_data_too(trained, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.chdir(folder)
    assert run_here("predict", "scratchnet-spiral/weights.npz", "spiral", "--probabilities") == 0
    *rows, _ = capsys.readouterr().out.splitlines()
    assert len(rows) == 300 and all(len(row.split()) == 4 for row in rows)


def test_a_csv_file_may_have_a_header(trained, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.chdir(folder)
    printed = []
    for text in (
        "0.5,-0.5\n0.1,0.9\n",
        "\ufeffx, y\r\n0.5, -0.5\r\n\r\n 0.1, 0.9 \r\n",
        '"x1","x2"\n5e-1,-.5\n.1,.9',
    ):
        (folder / "header.csv").write_text(text, "utf-8", newline="")
        assert run_here("predict", "scratchnet-spiral/weights.npz", "header.csv") == 0
        printed.append(capsys.readouterr().out)
    assert len(printed[0].split()) == 2 and len(set(printed)) == 1


@pytest.mark.parametrize(
    "options",
    [
        "--hidden 20,20,10",
        "--activation relu",
        "--hidden 20,20,10 --activation relu",
        *(f"--optimizer {name}" for name in commands.OPTIMIZERS),
        *(f"--optimizer {name} --hidden 20,20,10" for name in commands.OPTIMIZERS),
    ],
)
def test_what_is_left_out_fits_what_is_asked_for(options, monkeypatch, capsys, tmp_path):
    """The learning rate and the first weights follow the optimizer, the activation and the depth."""
    monkeypatch.setattr(commands, "_pictures", lambda *arguments: [])
    assert run_here("train", "spiral", "--quiet", "--out", tmp_path, *options.split()) == 0
    out, err = capsys.readouterr()
    assert float(out.split()[1]) > 0.94 and err == ""


@pytest.mark.long
@pytest.mark.skipif(
    "SCRATCHNET_DATA" not in os.environ, reason="SCRATCHNET_DATA does not name a folder with MNIST"
)
@pytest.mark.parametrize("options", ["", "--hidden 100,50", "--optimizer adam", "--activation relu"])
def test_what_is_left_out_fits_mnist(options, monkeypatch, capsys, tmp_path):
    assert run_here("train", "mnist", "--quiet", "--out", tmp_path, *options.split()) == 0
    on_the_test_data = float(capsys.readouterr().out.split("accuracy ")[2].split()[0])
    assert on_the_test_data >= (0.965 if "adam" in options else 0.97)


def test_a_network_that_learned_nothing_says_so(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "_pictures", lambda *arguments: [])
    assert (
        run_here(
            "train", "spiral", "--epochs", 5, "--quiet", "--hidden", "9,9,9", "--init", 0.001, "--out", tmp_path
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert "accuracy 0.3333" in out and "learned nothing" in err and len(err.splitlines()) == 1


def test_help_shows_the_settings(capsys):
    assert run_here("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--hidden",
        "spiral 300, mnist 16",
        "spiral 10, mnist 50",
        "adam 0.003",
        "spiral as the book, mnist 1984",
        "go on from checkpoint.npz",
    ):
        assert words in text


def test_nothing_is_trained_for_a_file_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "weights.npz").write_bytes(b"old")
    (tmp_path / "weights.npz").chmod(0o400)
    monkeypatch.setattr(scratchnet.Trainer, "fit", lambda *arguments, **options: pytest.fail("it was trained"))
    assert run_here("train", "spiral", "--out", tmp_path) == 1
    assert "read-only" in capsys.readouterr().err and (tmp_path / "weights.npz").read_bytes() == b"old"


def test_options_reach_the_training(tmp_path):
    options = (
        "--hidden 8,6 --epochs 3 --optimizer adam --lr 0.01 --dtype float64 --activation relu --init he "
        "--seed 7 --quiet --out a/b"
    )
    out = run("train", "spiral", *options.split(), cwd=tmp_path).stdout
    assert "3 epochs in" in out and "float64" in out and "| epoch" not in out
    with np.load(tmp_path / "a" / "b" / "weights.npz") as stored:
        assert stored["W2"].shape == (8, 6) and stored["W2"].dtype == np.float64
        assert str(stored["activation"]) == "relu"
        np.random.seed(7)
        first = np.random.randn(2, 8)
        assert np.abs(stored["W1"] - first).max() < 0.35  # thirty steps of Adam at 0.01 go no further
    assert "accuracy" in run("predict", "a/b/weights.npz", "spiral", cwd=tmp_path).stdout


def test_the_korean_lines(tmp_path):
    out = run("train", "spiral", "--epochs", "1", cwd=tmp_path, SCRATCHNET_LANG="ko", PYTHONUTF8="1").stdout
    assert out.splitlines()[0] == "| 에폭 1 |  반복 1 / 10 | 시간 0[s] | 손실 1.10"


def test_info_is_show_config(tmp_path, capsys):
    scratchnet.show_config()
    mine = capsys.readouterr().out.splitlines()[:-1]  # the last line counts this process's own calls
    assert run("info", cwd=tmp_path).stdout.splitlines()[:-1] == mine


def test_version(tmp_path):
    assert run("--version", cwd=tmp_path).stdout.strip() == f"scratchnet {scratchnet.__version__}"


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ((), 2, "COMMAND"),
        (("train", "cifar"), 2, "invalid choice"),
        (("train", "--epochs", "3", "table", "x.csv"), 2, "write 'train table' first"),
        (("train", "spiral", "--hidden", "ten"), 2, "expected integers separated by commas"),
        (("train", "spiral", "--hidden", "0"), 1, "each of sizes must be a positive integer, got 0"),
        (("train", "spiral", "--epochs", "0"), 2, "expected a positive integer, got '0'"),
        (("train", "spiral", "--hidden", str(10**30)), 1, "scratchnet: error: "),
        (("train", "spiral", "--out", "text.npz"), 1, "text.npz"),
        (("train", "spiral", "--batch-size", "301"), 1, "there are only 300 samples"),
        (("train", "spiral", "--lr", "-1"), 1, "lr must be a non-negative number, got -1.0"),
        (("train", "spiral", "--init", "good"), 1, "weight_init_std must be"),
        (("predict", "nothing.npz", "spiral"), 1, "there is no weights file nothing.npz"),
        (("predict", "text.npz", "spiral"), 1, "not a weights file, or is damaged"),
        (("predict", "good.npz", "nothing.npy"), 1, "there is no file nothing.npy"),
        (("predict", "good.npz", "wide.npy"), 1, "x has shape (1, 5), expected (..., 2)"),
        (("predict", "good.npz", "deep.npy"), 1, "holds an array of shape (2, 3, 4), expected one sample per row"),
        (
            ("predict", "good.npz", "words.csv"),
            1,
            "words.csv does not contain rows of numbers: line 2 is 'one,two'",
        ),
        (
            ("predict", "good.npz", "uneven.csv"),
            1,
            "uneven.csv does not contain rows of numbers: line 3 is '1,2,3'",
        ),
        (("predict", "good.npz", "empty.csv"), 1, "empty.csv does not contain rows of numbers: it is empty"),
        (("predict", "good.npz", "nan.csv"), 1, "nan.csv: sample 2 has a value that is not finite"),
        (("predict", "good.npz", "objects.npy"), 1, "objects.npy does not contain rows of numbers"),
        (("predict", "good.npz", "complex.npy"), 1, "its dtype is complex128"),
        (("predict", "good.npz", "claims.npy"), 1, "claims.npy does not contain rows of numbers"),
        (("predict", "good.npz", "damaged.npy"), 1, "damaged.npy does not contain rows of numbers"),
        (("predict", ".", "spiral"), 1, "expected"),
        (("predict", "filters.npz", "spiral"), 1, "not contain the weights of a chain of fully connected layers"),
    ],
)
def test_errors_are_one_line_and_a_code(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npz").write_text("no weights")
    scratchnet.TwoLayerNet(2, 3, 2, rng=0).save_params(tmp_path / "good.npz")
    np.save(tmp_path / "wide.npy", np.zeros((1, 5)))
    np.save(tmp_path / "deep.npy", np.zeros((2, 3, 4)))
    whole = (tmp_path / "deep.npy").read_bytes()
    (tmp_path / "damaged.npy").write_bytes(whole.replace(b"'fortran", b"''fortran", 1))
    (tmp_path / "words.csv").write_text("1,2\none,two\n")
    np.savez(tmp_path / "filters.npz", W1=np.zeros((3, 1, 5, 5)), b1=np.zeros(3))
    (tmp_path / "uneven.csv").write_text("x,y\n1,2\n1,2,3\n")
    (tmp_path / "empty.csv").write_text("x,y\n")
    (tmp_path / "nan.csv").write_text("1,2\nnan,2\n")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "complex.npy", np.zeros((3, 2), complex))
    with open(tmp_path / "claims.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**11, 2)})
    result, err = run_here(*arguments), capsys.readouterr().err
    assert result == code
    assert message in err
    assert code == 2 or len(err.splitlines()) == 1


@pytest.mark.parametrize("start", ["module", "script"])
def test_an_environment_that_keeps_the_kernels_from_loading_is_one_line(tmp_path, start):
    """The package is imported, and refuses, before `main` is."""
    script = tmp_path / "scratchnet"  # what pip writes
    script.write_text("import sys\nfrom scratchnet.__main__ import main\nsys.exit(main())\n")
    command = [sys.executable, "-P", script] if start == "script" else [sys.executable, "-Pm", "scratchnet"]
    result = processes.run(*command, "info", check=False, SCRATCHNET_ISA="foo")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("scratchnet: error: SCRATCHNET_ISA is 'foo', but this processor runs ")
    assert result.stderr.count("\n") == 1


# Of Korean and of Japanese Windows
@pytest.mark.parametrize("encoding", ["cp949", pytest.param("cp932", marks=pytest.mark.long)])
def test_output_in_the_encoding_of_a_console(encoding, tmp_path):
    """Names and words that the encoding lacks are shown otherwise, on both streams, and stop nothing."""
    folder = tmp_path / "학습 テスト"
    folder.mkdir()
    (folder / "실습.py").write_text("from common.layers import Affine\nraise ValueError('틀림 エラー')\n", "utf-8")
    settings = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0", "SCRATCHNET_LANG": "ko"}

    def said(*arguments):
        command = [*COMMAND, *arguments]
        done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, encoding=encoding)
        return done.returncode, done.stdout, done.stderr

    code, out, err = said("train", "spiral", "--epochs", "20", "--out", "결과 けっか")
    assert code == 0 and "weights.npz" in out and (folder / "결과 けっか" / "weights.npz").exists()
    assert ("| 에폭 1 |" in out) == (encoding == "cp949")
    code, out, err = said("run", "실습.py")
    assert code == 1 and "ValueError: " in err and "Unicode" not in err and out == ""
    for wrong in (["run", "없는 파일.py"], ["train", "spiral", "--epochs", "많이"]):
        code, out, err = said(*wrong)
        assert code in (1, 2) and out == "" and "scratchnet" in err and "Unicode" not in err, err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_keeps_what_was_learned(tmp_path):
    process = start("train", "spiral", "--epochs", "1000000", cwd=tmp_path)
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "what was learned is kept" in err and "Traceback" not in err
    assert "wrote" in out
    scratchnet.TwoLayerNet(2, 10, 3).load_params(tmp_path / "scratchnet-spiral" / "weights.npz")


def test_resume_goes_on_to_the_same_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "_pictures", lambda *arguments: [])
    options = ("--epochs", 20, "--optimizer", "adam", "--seed", 3)

    def weights(folder):
        with np.load(tmp_path / folder / "weights.npz") as stored:
            return {name: stored[name].tobytes() for name in stored.files}

    def train(*more):
        return run_here("train", "spiral", *options, *more)

    assert train("--out", tmp_path / "whole") == 0
    monkeypatch.setattr(commands, "_SAVE_SECONDS", 0)
    own = scratchnet.Trainer.save_checkpoint
    monkeypatch.setattr(
        scratchnet.Trainer, "save_checkpoint", lambda tr, path: own(tr, path) if tr.current_epoch < 8 else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):  # stands for a kill
        train("--out", tmp_path / "parts", "--resume")
    monkeypatch.undo()
    monkeypatch.setattr(commands, "_pictures", lambda *arguments: [])
    capsys.readouterr()
    assert train("--out", tmp_path / "parts", "--resume") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "goes on after 7 epochs" and lines[1].startswith("| epoch 8 |")
    assert "13 epochs in" in lines[-2]
    assert weights("parts") == weights("whole")
    assert train("--out", tmp_path / "parts", "--resume", "--quiet") == 0  # nothing is left to do
    assert weights("parts") == weights("whole") and "0 epochs in" in capsys.readouterr().out
    assert train("--out", tmp_path / "parts", "--resume", "--hidden", 5) == 1
    assert "checkpoint.npz does not fit: it has parameters (2, 10) float32" in capsys.readouterr().err
    assert weights("parts") == weights("whole")


def test_ctrl_c_in_the_first_epoch_writes_nothing(tmp_path, capsys, monkeypatch):
    (tmp_path / "weights.npz").write_bytes(b"trained before")

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(scratchnet.Trainer, "fit", interrupted)
    assert run_here("train", "spiral", "--out", tmp_path) == 130
    assert capsys.readouterr().err == "scratchnet: Ctrl-C in the first epoch; nothing was written\n"
    assert (tmp_path / "weights.npz").read_bytes() == b"trained before"
    monkeypatch.setattr(commands, "load_data", interrupted)
    monkeypatch.setattr(predict_command, "load_with_texts", interrupted)
    monkeypatch.setattr(commands, "show_config", interrupted)
    for arguments in (("train", "spiral"), ("predict", "w.npz", "spiral"), ("info",)):
        assert run_here(*arguments) == 130
        assert capsys.readouterr().err == "scratchnet: stopped by Ctrl-C\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("info >&-", 1, "scratchnet: error: the standard output is closed"),
        ("train spiral --epochs 1 >&-", 1, "scratchnet: error: the standard output is closed"),
        ("predict nothing.npz spiral 2>&-", 1, ""),
        ("info 2>&- >file", 0, ""),
        ("info >/dev/full", 1, "scratchnet: error: [Errno 28] No space left on device"),
        ("--help | true", 0, ""),
        ("train nothing 2>&1 | true", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path, command, code, said):
    if "/dev/full" in command and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    ours, bar, reader = command.partition("|")
    # sleep: the reader has gone before anything is written
    script = f'{{ sleep 0.01; "$0" -P -m scratchnet {ours}; echo $? >code; }} {bar} {reader}'
    result = processes.run("sh", "-c", script, sys.executable, cwd=tmp_path, check=False)
    assert (tmp_path / "code").read_text().strip() == str(code)
    assert result.stderr.strip() == said and result.stdout == ""


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    process = start("train", "spiral", "--epochs", "3000", cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    started = time.monotonic()
    assert process.stderr.read() == ""
    process.wait(timeout=60)
    process.stderr.close()
    assert process.returncode == 1 and time.monotonic() - started < 60


def test_without_matplotlib_training_still_ends_well(tmp_path):
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "import scratchnet._commands as m;"
        "m.find_spec = lambda name: None if name == 'matplotlib' else find(name);"
        "from scratchnet.__main__ import main; sys.exit(main(['train', 'spiral', '--epochs', '1', '--quiet']))"
    )
    assert 'pip install "scratchnet[plot]"' in fresh(code, cwd=tmp_path)


@pytest.mark.skipif(
    "SCRATCHNET_DATA" not in os.environ, reason="SCRATCHNET_DATA does not name a folder with MNIST"
)
def test_train_mnist(tmp_path):
    out = run("train", "mnist", "--epochs", "1", "--lr", "1.0", cwd=tmp_path).stdout
    assert "train acc, test acc | 0.9" in out
    test_accuracy = out.split("accuracy ")[-1].split()[0]
    assert f"accuracy {test_accuracy} on 10000 samples" in run(
        "predict", "scratchnet-mnist/weights.npz", "mnist", cwd=tmp_path
    ).stdout  # fmt: skip


def test_a_run_that_stopped_by_itself_is_not_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(60))
    Path("table.csv").write_text(f"x,y,kind\n{rows}\n")
    command = ["train", "table", "table.csv", "--target", "kind", "--quiet", "--patience", "1", "--seed", "0"]
    assert main(command) == 0
    weights = Path("scratchnet-table/weights.npz")
    before = {name: array.copy() for name, array in np.load(weights).items()}
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    assert "nothing is left to do" in capsys.readouterr().err
    after = np.load(weights)
    assert all(np.array_equal(before[name], after[name]) for name in before) and "W1" in before


def test_mpi_says_what_it_requires(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert run_here("train", "spiral", "--mpi") == 1
    assert "--mpi requires mpi4py and an MPI: pip install mpich" in capsys.readouterr().err
