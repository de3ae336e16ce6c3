"""The benchmarks themselves: they refuse wrong results, do without the peers, and their report says what came."""

import json
import os
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from chain_model import dense_chain
from numpy_books import book2, training

from scratchnet.backends import KERNELS

BENCH = Path(__file__).resolve().parents[1] / "bench"
PEERS = ("torch", "jax", "sklearn", "thinc")


@pytest.fixture(autouse=True)
def thread_settings(monkeypatch):
    """Bench's modules can be imported; the threads that they set are noted, not set. Returns the notes."""
    monkeypatch.syspath_prepend(BENCH)
    settings = []
    monkeypatch.setattr(import_module("machine"), "set_threads", settings.append)
    return settings


def load(stem):
    """A module by its file: some have the name of one in this folder."""
    spec = spec_from_file_location(f"bench_{stem}", BENCH / f"{stem}.py")
    module = sys.modules[spec.name] = module_from_spec(spec)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class Benchmark:
    """What the races need of pytest-benchmark's fixture."""

    def __init__(self):
        self.extra_info = {}
        self.samples = 0

    def pedantic(self, target, args=(), setup=None, rounds=1):
        for _ in range(rounds):
            setup()
            target(*args)
            self.samples += 1


def contestant(name, result, called):
    """One that notes every call."""

    def run():
        called.append(name)
        return result

    return import_module("timing").Contestant(name, lambda: (run, run))


def equals(expected):
    def close(name, result):
        assert result == expected, name

    return close


@pytest.mark.parametrize("wrong", ["ours", "theirs"])
def test_nobody_is_timed_when_a_result_is_wrong(wrong):
    timing, called, benchmark = import_module("timing"), [], Benchmark()
    contestants = [contestant(name, 2 if name == wrong else 1, called) for name in ("ours", "theirs")]
    with pytest.raises(AssertionError, match=wrong):
        timing.contest(benchmark, contestants, equals(1), table="training")
    assert called == ["ours", "theirs"][: 1 + (wrong == "theirs")]  # once each, for the check
    assert benchmark.samples == 0 and not benchmark.extra_info


def test_contestants_take_turns_and_the_missing_are_named(thread_settings):
    timing, called, benchmark = import_module("timing"), [], Benchmark()

    def absent():
        raise timing.Missing("not here")

    contestants = [
        contestant("ours", 1, called),
        replace(contestant("theirs", 1, called), threads=2),
        timing.Contestant("absent", absent),
    ]
    timing.contest(benchmark, contestants, equals(1), seconds=0, table="training")
    info = benchmark.extra_info
    assert info["skipped"] == {"absent": "not here"}
    assert set(info["best"]) == set(info["median"]) == {"ours", "theirs"}
    assert all(0 < info["best"][name] <= info["median"][name] for name in info["best"])
    assert benchmark.samples == timing.ROUNDS[0]
    turns = "".join(name[0] for name in called[-info["calls"]["ours"] - info["calls"]["theirs"] - 2 :])
    assert "to" in turns and "ot" not in turns  # they first, then we, in every round
    assert set(thread_settings) == {1, 2} and thread_settings[-1] == 1


def test_wrong_training_is_refused():
    peers, timing, workloads = (import_module(name) for name in ("peers", "timing", "workloads"))
    job = workloads.job("2-10-3", "float32")
    close = workloads.close_to_reference("2-10-3", "float32")
    for kind in (peers.Scratchnet, peers.NumPy, peers.ScratchnetLoop, peers.NumPyLoop):
        close("right", peers.made(kind, job, 3, 1)()[0]())
        with pytest.raises(AssertionError, match="wrong"):
            close("wrong", peers.made(kind, replace(job, lr=job.lr * 1.01), 3, 1)()[0]())
    assert timing.ROUNDS[0] > 1


@pytest.mark.parametrize("kind", ["Scratchnet", "NumPy", "Sklearn", "Thinc"])
def test_wrong_training_by_adam_is_refused(kind):
    """On numbers, not on scikit-learn's digits: that it is installed must not be needed."""
    peers, timing = import_module("peers"), import_module("timing")
    rng = np.random.default_rng(0)
    x, t = rng.random((40, 6), dtype=np.float32), rng.integers(0, 3, 40)
    adam = dict(optimizer="Adam", lr=0.01) if kind != "Thinc" else dict(lr=0.1)
    job = peers.Job((6, 5, 3), 10, x, t, activation="relu", shuffle=kind != "Sklearn", **adam)
    np.random.seed(0)
    expected = peers.reference_losses(job, 3)
    try:
        first_losses, _ = peers.made(getattr(peers, kind), job, 3, 1)()
        wrong, _ = peers.made(getattr(peers, kind), replace(job, lr=2 * job.lr), 3, 1)()
    except timing.Missing as reason:
        pytest.skip(str(reason))
    np.testing.assert_allclose(first_losses(), expected, rtol=1e-5)
    assert not np.allclose(wrong(), expected, rtol=1e-5)


def test_another_random_state_of_the_estimators_is_refused():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: its estimators are not compared")
    bench = load("test_estimators")
    work, (x, y) = "spiral, 2-10-3", bench.spiral()
    estimators = [bench.made(module, work, max_iter=2) for module in (*bench.MODULES.values(), bench.THEIRS)]
    estimators[2].set_params(random_state=1)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        mine, theirs, other = (estimator.fit(x, y).loss_curve_ for estimator in estimators)
    close = bench.close_to(theirs, bench.RTOL["float64"])
    close("right", mine)
    with pytest.raises(AssertionError, match="wrong"):
        close("wrong", other)


@pytest.mark.parametrize("form", ["x W + b", "x' dout", "dout W'"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_forms_of_the_product_are_right_and_wrong_ones_refused(form, dtype):
    bench = load("test_limits")
    product = bench.Product(form, bench.normal(6, 5, dtype=dtype), 4)
    close, makers = bench.close_to(product.true, dtype=dtype), [product.ours, product.numpy]
    if find_spec("torch"):
        makers.append(product.torch)
    for make in makers:
        [got] = make()()
        close("right", [got])
        with pytest.raises(AssertionError, match="wrong"):
            close("wrong", [1.001 * got])


def test_the_grid_has_300_shapes_of_every_size():
    bench = load("test_grid")
    shapes = bench.shapes()
    assert len(set(shapes)) == bench.SHAPES == 300
    for axis, most in enumerate((10000, 4096, 4096)):
        assert {shape[axis] for shape in shapes} >= {1, most}
    with pytest.raises(AssertionError, match="scratchnet"):
        bench.cpu = SimpleNamespace(affine_forward=lambda x, W, b, out: out.fill(2))
        bench.test_product(Benchmark(), 0, (3, 5, 1), "float32")


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_expressions_are_right_and_wrong_ones_refused(name):
    bench = load("test_kernels")
    case = bench.call(name, dict(N=6, D=4, M=3, C=5, B=7, n=40), "float32")
    close = bench.Close(case, "float32")
    for contestant in bench.contestants(case)[:2]:
        result, run = contestant.make()
        close(contestant.name, result())
        run()
        wrong = {
            output: np.asarray(values) * 1.001 if np.asarray(values).dtype != bool else ~values
            for output, values in contestant.make()[0]().items()
            if values is not None
        }
        with pytest.raises(AssertionError):
            close(contestant.name, wrong)


def test_torch_expressions_are_right():
    pytest.importorskip("torch")
    bench = load("test_kernels")
    for name in KERNELS:
        case = bench.call(name, dict(N=6, D=4, M=3, C=5, B=7, n=40), "float32")
        try:
            result, _ = bench.contestants(case)[2].make()
        except import_module("timing").Missing:
            continue
        bench.Close(case, "float32")("PyTorch", result())


def small(bench):
    """A layer and a size of it that is neither 1 nor large, for every one."""
    return [(name, piece.sizes[len(piece.sizes) // 2]) for name, piece in bench.PIECES.items()]


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_are_right_and_wrong_ones_refused(dtype, way):
    bench = load("test_books")
    for name, sizes in small(bench):
        case = bench.LayerCase(name, sizes, dtype)
        for who in ("scratchnet", "NumPy"):
            result, run = case.contestant(who, way).make()
            got = result()
            run()
            case.close(way)(who, got)
            with pytest.raises(AssertionError, match=who):
                case.close(way)(who, [1.001 * array for array in got])


def test_a_gradient_that_is_left_out_is_refused():
    bench = load("test_books")
    case = bench.LayerCase("Affine", (30, 2, 10), "float32")
    dx, dW, db = case.result(case.piece.ours, "backward", "float32")
    for wrong in ([dx, dW], [dx, dW, 0 * db], [dx, 0 * dW, db]):
        with pytest.raises((AssertionError, ValueError)):
            case.close("backward")("wrong", wrong)


@pytest.mark.long
@pytest.mark.parametrize("chapter", [0, 1, 3, 4])  # the third is the fourth with more words
def test_steps_of_the_later_chapters_are_right_and_wrong_ones_refused(chapter):
    bench = load("test_books")
    chapter = list(bench.CHAPTERS.values())[chapter]
    plain = bench.BOOKS[chapter.book]
    for dtype in chapter.dtypes:
        close = bench.close_to(bench.first_losses(chapter.make(plain, np.dtype("float64"))), dtype)
        for package in (bench.OURS[chapter.book], plain):
            result, run = bench.stepper("who", chapter.make, package, dtype).make()
            losses = result()
            assert np.isfinite(run()) and len(set(losses)) == bench.STEPS
            close("right", losses)
            with pytest.raises(AssertionError, match="wrong"):
                close("wrong", [*losses[:-1], losses[-1] * 1.001])


def test_the_books_code_trains_as_the_books_do():
    x, t = import_module("data").spiral_data()
    np.random.seed(3)
    params = training.book_weights((2, 10, 3), (0.1, 0.1))
    copies = [p.copy() for p in params]
    np.random.seed(4)
    expected = training.fit(params, x, t, lr=1.0, max_epoch=5)
    np.random.seed(4)
    trainer = book2.trainer.Trainer(dense_chain(book2.layers, copies), book2.optimizer.SGD(lr=1.0))
    trainer.fit(x, t, max_epoch=5, batch_size=30, eval_interval=10, verbose=False)
    np.testing.assert_allclose(trainer.loss_list, expected, rtol=1e-12)


def test_shared_weights_are_merged_as_the_books_do():
    W, other = np.ones((2, 3)), np.zeros(3)
    params, grads = [W, other, W, W.T.copy()], [np.ones((2, 3)), np.ones(3), np.ones((2, 3)), np.ones((3, 2))]
    params, grads = book2.trainer.remove_duplicate(params, grads)
    assert [p.shape for p in params] == [(2, 3), (3,)] and np.all(grads[0] == 3) and np.all(grads[1] == 1)


def test_everything_imports_without_the_peers(monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    for name in PEERS:
        monkeypatch.setitem(sys.modules, name, None)
    for path in BENCH.glob("*.py"):
        if path.stem not in ("conftest", "kernels_torch", "chapters_torch", "mpi_steps"):  # settings; for others
            load(path.stem)
    peers, workloads, timing = (import_module(name) for name in ("peers", "workloads", "timing"))
    for kind in workloads.PEERS.values():
        with pytest.raises(timing.Missing, match="is not installed"):
            peers.made(kind, workloads.job("2-10-3", "float32"), 1, 1)()


@pytest.fixture
def results():
    """Results of three small contests."""
    machine = dict(date="2000-01-01", cpu="a cpu", processors=2, system="a system", isa="avx2", load=0.5)
    machine |= dict(threads={"OMP_NUM_THREADS": "1"}, versions={"numpy": "2"})
    targets = [
        dict(against="NumPy", least=3, most=None, among=[]),
        dict(against="NumPy", least=5, most=None, among=[]),
        dict(against="best peer", least=2, most=None, among=["PyTorch", "JAX"]),
        dict(against="NumPy", least=None, most=1.1, among=[]),
        dict(against="nobody", least=1, most=None, among=[]),
    ]
    best = {"scratchnet": 1.0, "NumPy": 4.0, "PyTorch": 3.0, "JAX": 1.5}
    training = dict(table="training", work="2-10-3", batch=30, how="Trainer", dtype="float32", ours="scratchnet")
    training |= dict(by="best", best=best, targets=targets, skipped={"scikit-learn": "it is not installed"})
    curve = dict(training, table="scaling", work="batch", value=8, steps=4, targets=[], skipped={})
    memory = dict(table="memory", work="a fit", peaks={"scratchnet": 2**20}, data=2**22, needed=2**19)
    benchmarks = [{"extra_info": info} for info in (training, curve, dict(curve, value=16), memory, {})]
    return {"machine_info": {"scratchnet": machine}, "benchmarks": benchmarks}


def test_report_says_what_was_met(results):
    text = import_module("report").render(results)
    work = "2-10-3, batch 30, Trainer"
    assert f"| {work} | NumPy | 3x | 4.00 | met |" in text
    assert f"| {work} | NumPy | 5x | 4.00 | **no** |" in text
    assert f"| {work} | best peer: JAX | 2x | 1.50 | **no** |" in text
    assert f"| {work} | NumPy | at most 1.1x | 0.25 | met |" in text
    assert f"| {work} | nobody | 1x | – | not measured |" in text
    assert f"| {work} | float32 | 4.00 | 3.00 | 1.50 |" in text
    assert "| a fit | scratchnet | 1.0 MB | 2.00 | 0.25 |" in text
    assert "it is not installed" in text and "a cpu" in text and "2000-01-01" in text


def test_report_has_the_layers_in_one_row_of_the_targets(results):
    target = dict(against="NumPy", least=1, most=None, among=[])
    layer = dict(table="layers", work="Affine", sizes="1x2", dtype="float32", way="forward", ours="scratchnet")
    layer |= dict(by="best", best={"scratchnet": 1.0, "NumPy": 2.0}, targets=[target], skipped={})
    slow = dict(layer, way="backward", best={"scratchnet": 2.0, "NumPy": 1.0})
    untimed = dict(slow, work="Dropout", targets=[])
    step = dict(layer, table="books", work="a step", sizes="3", targets=[dict(target, least=1.5)])
    more = [layer, slow, untimed, step, dict(step, dtype="float64")]
    results["benchmarks"] += [{"extra_info": info} for info in more]
    text = import_module("report").render(results)
    slowest = "every layer; the slowest: Affine, 1x2, float32, backward"
    assert f"| {slowest} | NumPy | 1x | 0.50 | **no**, 1 of 2 |" in text
    assert "| Affine, 1x2 | 2.00 | **0.50** | – | – |" in text and "| Dropout, 1x2 | – | **0.50** |" in text
    assert "| a step, 3, float32 | NumPy | 1.5x | 2.00 | met |" in text and "| a step, 3, float64 |" in text
    assert "| a step, 3 | 2.00 | 2.00 |" in text


def test_report_has_the_grid_in_two_rows_of_the_targets_and_a_line_for_a_dtype(results):
    target = dict(against="NumPy", least=0.95, most=None, among=[])
    large = dict(table="grid", work="x W", sizes="9x8x7", shape=[9, 8, 7], dtype="float32", ours="scratchnet")
    large |= dict(by="best", best={"scratchnet": 1.0, "NumPy": 2.0}, targets=[target], slower=None, skipped={})
    last = dict(large, sizes="9x8x9", shape=[9, 8, 9], best={"scratchnet": 2.0, "NumPy": 1.0})
    few = dict(large, sizes="9x8x1", shape=[9, 8, 1], targets=[], slower=6e-6)
    few["best"] = {"scratchnet": 9e-6, "NumPy": 2e-6}
    results["benchmarks"] += [{"extra_info": info} for info in (large, last, few)]
    text = import_module("report").render(results)
    slowest = "every product of the grid, but of a few numbers; the slowest: x W, 9x8x9, float32"
    assert f"| {slowest} | NumPy | 0.95x | 0.50 | **no**, 1 of 2 |" in text
    small = "products of the grid of a few numbers; the slowest: x W, 9x8x1, float32"
    assert f"| {small} | NumPy | at most 6 µs slower | 7.0 µs | **no**, 1 of 1 |" in text
    line = "at the least 0.50 (9x8x9), median 1.25; with a few numbers as output at most 7.0 µs slower (9x8x1)"
    assert f"- float32, 3 shapes: {line}" in text


def test_report_has_the_median_and_the_90th_percentile_beside_busy_processes(results):
    alone = "scratchnet, 1 thread"
    target = dict(against=alone, least=None, most=1.1, among=[], by="")
    contest = dict(table="busy", work="a product", busy=2, threads=2, dtype="float32", ours="scratchnet")
    contest |= dict(by="median", targets=[target, dict(target, by="p90")], best={}, skipped={})
    contest |= dict(median={"scratchnet": 1.0, alone: 2.0}, p90={"scratchnet": 4.0, alone: 2.0})
    results["benchmarks"].append({"extra_info": contest})
    text, work = import_module("report").render(results), "a product, 2 threads beside 2 busy processes"
    assert f"| {work} | {alone} | at most 1.1x | 0.50 | met |" in text
    assert f"| {work} | {alone} | at most 1.1x, 90th percentile | 2.00 | **no** |" in text
    assert f"| {work} | 2.00 | 0.50 |" in text


def test_report_has_the_scripts_by_processor_and_by_clock(results):
    targets = [dict(against="NumPy", least=2, most=None, among=[], of=None)]
    targets.append(dict(targets[0], least=3, of="scratchnet --float32"))
    script = dict(table="scripts", work="book1, ch05", data="MNIST", ours="scratchnet", by="best", skipped={})
    script["best"] = {"NumPy": 6.0, "scratchnet": 2.0, "scratchnet --float32": 2.5}
    script["wall"] = {"NumPy": 8.0, "scratchnet": 4.0, "scratchnet --float32": 2.0}
    without = dict(script, work="book2, ch07", best={"NumPy": 1.0, "scratchnet": 2.0}, targets=[])
    without["wall"] = without["best"]
    results["benchmarks"] += [{"extra_info": dict(script, targets=targets)}, {"extra_info": without}]
    text = import_module("report").render(results)
    assert "| book1, ch05 | NumPy | 2x | 3.00 | met |" in text
    assert "| book1, ch05, scratchnet --float32 | NumPy | 3x | 2.40 | **no** |" in text
    assert "| book1, ch05 | MNIST | 6.00 | 3.00 | 2.40 | 2.00 | 4.00 |" in text
    assert "| book2, ch07 | MNIST | 1.00 | 0.50 | – | 0.50 | – |" in text


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no process's time is known here")
def test_whole_scripts_are_compared_before_they_count(tmp_path):
    bench = load("test_scripts")
    runs = bench.race("book2_ch01", tmp_path, "2", rounds=1)
    mine, theirs = runs["scratchnet"][0], runs["NumPy"][0]
    assert len(mine.lines) == 2 and mine.cpu > 0 and theirs.wall > 0
    wrong = replace(mine, lines=[line.replace("loss 1.1", "loss 1.2") for line in mine.lines])
    for bad in (wrong, replace(mine, lines=mine.lines[:1])):
        with pytest.raises(AssertionError):
            bench.check("book2_ch01", "", bad, theirs)
    assert {f"{name}.py" for name in bench.TARGETS} == {
        p.name for p in (BENCH / "scripts").iterdir() if p.is_file()
    }
    with pytest.raises(AssertionError, match="no-such-option"):
        bench.ours("book2_ch01.py", folder=tmp_path, compiled=tmp_path / "compiled", options=["--no-such-option"])


def test_report_command_writes_tables_and_pictures(results, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    report, source = import_module("report"), tmp_path / "results.json"
    cell = dict(table="grid", work="x W", sizes="9x8x7", shape=[9, 8, 7], dtype="float32", ours="scratchnet")
    cell |= dict(best={"scratchnet": 1.0, "NumPy": 2.0}, targets=[], slower=None, skipped={})
    results["benchmarks"].append({"extra_info": cell})
    source.write_text(json.dumps(results))
    report.main([str(source)])
    assert "## Targets" in capsys.readouterr().out
    report.main([str(source), "--out", str(tmp_path / "out")])
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["grid.png", "report.md", "scaling.png", "training.png"]


def test_every_target_of_the_training_runs_names_a_contestant():
    workloads, test_training = import_module("workloads"), load("test_training")
    for targets in test_training.TARGETS.values():
        for target in targets:
            assert set(target.among or [target.against]) <= {"NumPy", *workloads.PEERS}


def test_the_model_of_ranks():
    mpi = load("test_mpi")
    free = mpi.exchange_seconds(1e6, 8, 0.0, 1e30)
    found = {
        "library": "MPI",
        "ranks": 2,
        "load": 1.0,
        "exchanges": {what: {"1024": 1e-5, "4096": 2e-5} for what in ("header", "ours", "Allreduce")},
        "steps": {
            "net": {
                "batch / 1": 8.0,
                "batch / 2": 4.0,
                "batch / 8": 1.0,
                "threads": 4.0,
                "ranks": 5.0,
                "loop": 4.1,
            }
        },
        "parameters": {"net": 1000},
        "batches": {"net": 64},
    }
    found["steps"]["net"] |= {"ranks": 5.0, "loop": 4.0, "alone": 8.0}
    assert free < 1e-20 and mpi.speedup(found, "net", 8, free) == pytest.approx(8)
    assert mpi.speedup(found, "net", 128, free) == pytest.approx(64)  # a row each: no more can take part
    assert mpi.exchange_seconds(1e6, 64, 1e-5, 1e9) > mpi.exchange_seconds(1e6, 8, 1e-5, 1e9) > 1e-3
    assert mpi.report(found).splitlines()[-1].startswith("| net, 64 | 1,000 | 8000.000 | 2.00 | 1.60 | 2.00 |")
