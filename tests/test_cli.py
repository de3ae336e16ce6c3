"""The command line, run as a person runs it: real processes in an empty folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import scratchnet

COMMAND = [sys.executable, "-P", "-m", "scratchnet"]


def run(*arguments, cwd, env=None, check=True):
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def start(*arguments, cwd):
    pipe = subprocess.PIPE
    # In the background of a script SIGINT is ignored, and a child would inherit that.
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
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
    assert sorted(path.name for path in out.iterdir()) == ["decision_boundary.png", "loss.png", "weights.npz"]
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
    assert (
        f"accuracy {accuracy} on 300 samples"
        in run("predict", "scratchnet-spiral/weights.npz", "spiral", cwd=folder).stdout
    )
    x, t = scratchnet.dataset.spiral.load_data()
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x, delimiter=",")
    weights = "scratchnet-spiral/weights.npz"
    from_npy = run("predict", weights, "x.npy", cwd=folder).stdout.split()
    from_csv = run("predict", weights, "x.csv", "--probabilities", cwd=folder).stdout.splitlines()
    assert [line.split()[0] for line in from_csv] == from_npy
    assert np.mean(np.array(from_npy, int) == t.argmax(axis=1)) == pytest.approx(float(accuracy), abs=1e-4)
    assert all(abs(sum(map(float, line.split()[1:])) - 1) < 1e-3 for line in from_csv)


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
    out = run(
        "train", "spiral", "--epochs", "1", cwd=tmp_path, env={"SCRATCHNET_LANG": "ko", "PYTHONUTF8": "1"}
    ).stdout
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
        (("train", "spiral", "--hidden", "ten"), 2, "expected whole numbers"),
        (("train", "spiral", "--hidden", "0"), 1, "sizes must be whole numbers, 1 or more, got 0"),
        (("train", "spiral", "--batch-size", "301"), 1, "there are only 300 samples"),
        (("train", "spiral", "--lr", "-1"), 1, "lr must be a number, 0 or more, got -1.0"),
        (("train", "spiral", "--init", "good"), 1, "weight_init_std must be"),
        (("predict", "nothing.npz", "spiral"), 1, "there is no weights file nothing.npz"),
        (("predict", "text.npz", "spiral"), 1, "not a weights file, or is damaged"),
        (("predict", "good.npz", "nothing.npy"), 1, "there is no file nothing.npy"),
        (("predict", "good.npz", "wide.npy"), 1, "x has shape (1, 5), expected (..., 2)"),
        (("predict", "good.npz", "deep.npy"), 1, "holds an array of shape (2, 3, 4), expected a sample a row"),
        (("predict", "good.npz", "words.csv"), 1, "words.csv does not hold rows of numbers"),
        (("predict", "filters.npz", "spiral"), 1, "not hold the weights of a chain of fully connected layers"),
    ],
)
def test_errors_are_one_line_and_a_code(tmp_path, arguments, code, message):
    (tmp_path / "text.npz").write_text("no weights")
    scratchnet.TwoLayerNet(2, 3, 2, rng=0).save_params(tmp_path / "good.npz")
    np.save(tmp_path / "wide.npy", np.zeros((1, 5)))
    np.save(tmp_path / "deep.npy", np.zeros((2, 3, 4)))
    (tmp_path / "words.csv").write_text("1,2\none,two\n")
    np.savez(tmp_path / "filters.npz", W1=np.zeros((3, 1, 5, 5)), b1=np.zeros(3))
    result = run(*arguments, cwd=tmp_path, check=False)
    assert result.returncode == code
    assert message in result.stderr and "Traceback" not in result.stderr
    assert code == 2 or len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("start", ["module", "script"])
def test_an_environment_that_keeps_the_kernels_from_loading_is_one_line(tmp_path, start):
    """The package is imported, and refuses, before `main` is."""
    script = tmp_path / "scratchnet"  # what pip writes
    script.write_text("import sys\nfrom scratchnet.__main__ import main\nsys.exit(main())\n")
    command = [sys.executable, "-P", script] if start == "script" else [sys.executable, "-Pm", "scratchnet"]
    result = subprocess.run(
        [*command, "info"], env={**os.environ, "SCRATCHNET_ISA": "foo"}, capture_output=True, text=True
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("scratchnet: error: SCRATCHNET_ISA is 'foo', but this processor runs ")
    assert result.stderr.count("\n") == 1


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
        "import scratchnet.__main__ as m; m.find_spec = lambda name: None if name == 'matplotlib' else find(name);"
        "sys.exit(m.main(['train', 'spiral', '--epochs', '1', '--quiet']))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0
    assert 'pip install "scratchnet[plot]"' in result.stdout


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
