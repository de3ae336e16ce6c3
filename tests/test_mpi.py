"""Training over MPI: the ranks of a job against one process, and how a job ends when one of them fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from processes import PYTHON

PROGRAM = Path(__file__).with_name("mpi_program.py")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
SECONDS = 60  # in which a job that fails must have ended; it takes a few, if the machine is not busy

pytestmark = [
    pytest.mark.skipif(find_spec("mpi4py") is None, reason="mpi4py is not installed: pip install mpich mpi4py"),
    pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec: pip install mpich"),
    pytest.mark.thread_unsafe(reason="starts processes, which share nothing with the threads"),
]


def start(ranks, *arguments, command=(*PYTHON, PROGRAM)):
    path = os.pathsep.join(
        filter(None, [str(PROGRAM.parent), str(PROGRAM.parent / "cuda"), os.environ.get("PYTHONPATH")])
    )
    one_thread = {"SCRATCHNET_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **one_thread, "PYTHONPATH": path}
    # Open MPI refuses root, and more ranks than processors, unless it is told otherwise.
    environment |= {f"OMPI_{name}": "1" for name in ("ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM")}
    environment["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
    environment["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    assert MPIEXEC is not None
    return subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), *map(str, (*command, *arguments))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def ended(job, seconds=SECONDS):
    """The exit code and the output of a job; fails if it does not end in time."""
    try:
        out, errors = job.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        job.kill()
        out, errors = job.communicate()
        pytest.fail(f"the job has not ended after {seconds} s: {out} {errors}")
    return job.returncode, out, errors


def succeeds(ranks, *arguments, seconds=600):
    code, out, errors = ended(start(ranks, *arguments), seconds)
    assert code == 0, errors
    assert out.count("is done") == ranks
    return out


def test_three_ranks(tmp_path):
    succeeds(3, "quick", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_ranks(ranks, tmp_path):
    succeeds(ranks, "checks", tmp_path)


@pytest.mark.long
def test_on_an_emulated_gpu(tmp_path):
    succeeds(2, "emulated", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_a_hundred_epochs(ranks, tmp_path):
    succeeds(ranks, "whole", tmp_path, seconds=3000)


@pytest.mark.parametrize(
    "how, message",
    [
        ("raises", "what went wrong"),
        pytest.param("raises before", "what went wrong", marks=pytest.mark.long),
        pytest.param("raises after", "what went wrong", marks=pytest.mark.long),
        pytest.param("raises while others wait", "what went wrong", marks=pytest.mark.long),
        pytest.param("leaves", "", marks=pytest.mark.long),
        pytest.param("leaves before", "has ended", marks=pytest.mark.long),
        pytest.param("killed", "", marks=pytest.mark.long),
    ],
)
def test_a_rank_that_ends_ends_the_job(how, message):
    code, _, errors = ended(start(3, "faulty", how))
    assert code != 0
    assert message in errors


@pytest.mark.long
def test_interrupt_reaches_all():
    job = start(3, "faulty", "")
    assert job.stdout is not None and job.stdout.readline() == "trains\n"
    job.send_signal(signal.SIGINT)
    code, _, errors = ended(job)
    assert code != 0
    assert errors.count("Traceback") <= 3


@pytest.mark.long
def test_a_killed_run_goes_on(tmp_path):
    ends = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "whole":
            (folder / "once").touch()
        else:
            code, out, _ = ended(start(2, "killed", folder))
            assert code != 0 and "is done" not in out
        ends += re.findall(r"ends with (\w{12})", succeeds(2, "killed", folder))
    assert len(ends) == 2 and ends[0] == ends[1]


def digits(folder):
    rng = np.random.default_rng(0)
    for part, count in (("train", 400), ("t10k", 100)):
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        pixels = (rng.random((count, 784)) < 0.1) * 100 + 15 * labels[:, None]
        for kind, array in (("images-idx3", pixels.astype(np.uint8).reshape(-1, 28, 28)), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())


@pytest.mark.long
def test_the_command(tmp_path, monkeypatch):
    digits(tmp_path)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train = (*PYTHON, "-m", "scratchnet", "train")
    options = ("--mpi", "--epochs", 2, "--out")
    for data in ("mnist", "spiral"):
        code, out, errors = ended(start(2, data, *options, f"{data} of 2", command=train), 300)
        assert code == 0, errors
        assert out.count("wrote") == 1 and "2 ranks" in out
        alone = subprocess.run([*map(str, (*train, data, "--epochs", 2, "--out", f"{data} of 1"))], check=True)
        assert alone.returncode == 0
        one, two = (np.load(tmp_path / f"{data} of {n}" / "weights.npz") for n in (1, 2))
        np.testing.assert_allclose(one["W1"], two["W1"], atol=1e-4)
    code, out, errors = ended(start(2, "mnist", *options, "mnist of 2", "--resume", command=train), 300)
    assert code == 0 and "goes on after 2 epochs" in out, errors
    (tmp_path / "file").touch()
    code, out, errors = ended(start(2, "mnist", *options, "file", command=train), 300)
    assert code != 0 and "file" in errors and "Traceback" not in errors


@pytest.mark.long
def test_the_readme_s_script(tmp_path):
    readme = PROGRAM.parent.parent / "README.md"
    if not readme.exists():
        pytest.skip("no README here: the tests run against an installed package")
    (block,) = re.findall(r"```python mpi\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    script = tmp_path / "train.py"
    script.write_text(block.replace('"weights.npz"', repr(str(tmp_path / "weights.npz"))))
    for command in ((sys.executable, "-m", "mpi4py", script), (*PYTHON, "-m", "scratchnet", "run", script)):
        code, out, errors = ended(start(2, command=command), 300)
        assert code == 0, errors
        assert out.count("| epoch 100 |") == 1
        (tmp_path / "weights.npz").unlink()


@pytest.mark.long
def test_scripts_of_the_reader(tmp_path):
    """A rank of a script under `scratchnet run` that fails before it has come to anything of ours."""
    script = tmp_path / "train.py"
    script.write_text(
        "from mpi4py import MPI\n"
        "if MPI.COMM_WORLD.rank == 1: raise ValueError('the reader\\'s own')\n"
        "MPI.COMM_WORLD.barrier()\n"
    )
    start_time = time.monotonic()
    command = (*PYTHON, "-m", "scratchnet", "run", script)
    code, _, errors = ended(start(2, command=command))
    assert code != 0 and "the reader's own" in errors, time.monotonic() - start_time
