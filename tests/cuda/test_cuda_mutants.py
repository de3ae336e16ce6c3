"""Would the tests see a bug? Each planted one must be noticed, by the emulator or by a wrong result."""

from __future__ import annotations

import inspect
import re

import emulator
import numpy as np
import on_device
import pytest
import test_kernels as every_backend
from cases import make_case
from mutants import IN_ONE_KERNEL, MUTANTS, planted_together
from test_cuda_kernels import (
    check_index_out_of_range,
    check_rows_are_added_only_where_they_belong,
    check_shared_largest,
    check_softmax_of_large_scores,
)
from test_cuda_steps import Net, check_alike, make_data

from scratchnet.backends import KERNELS, cuda, gpu

# Sizes with tails everywhere, more than one tile, block and panel, and rows for warps, for several and for blocks.
SIZES = (
    dict(N=10, D=37, M=35, C=10, B=11, n=300),
    dict(N=3, D=150, M=5, C=300, B=40, n=33),
)


def check(device, kernels, monkeypatch):
    """Fail, in some way, if the kernels are wrong."""
    for name in kernels:
        for schedule in emulator.SCHEDULES:
            monkeypatch.setattr(cuda, "MOST_BLOCKS", 1 if schedule == "reverse" else 4)
            monkeypatch.setattr(cuda, "FILTER_BLOCKS", 1 if schedule == "reverse" else 20)
            with emulator.schedule(schedule, 1):
                for sizes in SIZES:
                    every_backend.check_parity(make_case(name, sizes, np.float32), device)
        if name == "softmax_forward":
            check_softmax_of_large_scores(device, np.float32)
        elif name == "gather_rows":
            check_index_out_of_range(device.cupy)
        elif name == "max_pool_forward":
            every_backend.test_pooling_takes_the_first_of_equals_and_any_nan(device, np.float32)
        elif name == "max_pool_backward":
            check_shared_largest(device, np.float32)
        elif name == "scatter_add_rows":
            check_rows_are_added_only_where_they_belong(device.cupy)
        elif KERNELS[name].returns_float and any(a.limit for a in KERNELS[name].arguments):
            check_labels_out_of_range(device, name)
            check_clipped_loss(device, name)


def check_clipped_loss(device, name):
    """Most probabilities are outside of the clip, on either side."""
    for sizes in SIZES:
        case = make_case(name, sizes, np.float32)
        case.values |= {"delta": 0.0, "clip": 0.45}
        if name == "softmax_cross_entropy_forward":
            x, t = case.values["x"], case.values["t"]
            x.flags.writeable = True
            x[::2][np.arange(len(x[::2])), t[::2]] += 20
        every_backend.check_parity(case, device)


def check_labels_out_of_range(device, name):
    for wrong in (-1, SIZES[0]["C"]):
        case = make_case(name, SIZES[0], np.float32)
        case.values["t"].flags.writeable = True
        case.values["t"][1] = wrong
        assert np.isnan(case.call(device)) and case.fences_hold()


def check_steps(device, ways):
    """Fail, in some way, if whole steps are wrong."""
    for schedule in emulator.SCHEDULES:
        with emulator.schedule(schedule, 1):
            for way in ways:
                for max_grad in (0.05, None):
                    together = max_grad is None
                    net = Net((39, 40, 33, 4), ["sigmoid", "relu"], "adam_update", np.float32, together)
                    check_alike(device.cupy, net, *make_data(39, 4), way=way, batch=7, max_grad=max_grad)


@pytest.fixture
def plant(monkeypatch):
    """A function that puts a source in the place of cuda.cu."""
    source = cuda._source()

    def planted(changed):
        monkeypatch.setattr(cuda, "_source", lambda: changed)
        cuda.module.cache_clear()
        cuda._function.cache_clear()

    planted.source = source
    # Every bug is compiled once and runs briefly.
    monkeypatch.setattr(emulator, "FLAGS", tuple("-O0" if f == "-O1" else f for f in emulator.FLAGS if f != "-g1"))
    monkeypatch.setattr(on_device, "CACHED", [f for f in on_device.CACHED if f is not cuda._source])
    with on_device.emulated() as cupy:
        planted.device = on_device.OnDevice(cupy)
        yield planted


@pytest.mark.long
def test_without_a_bug_nothing_is_noticed(plant, monkeypatch):
    plant(plant.source)
    check(plant.device, KERNELS, monkeypatch)
    check_steps(plant.device, ("layers", "rows", "block"))


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS + IN_ONE_KERNEL, ids=lambda mutant: re.sub(r"\W+", "-", mutant.bug))
def test_every_planted_bug_is_noticed(plant, mutant, monkeypatch):
    source = plant.source
    for bug in planted_together(mutant):
        source = bug.planted(source)
    plant(source)
    cuda.module(np.dtype(np.float32), 0)  # a bug that does not compile would be none
    with pytest.raises((AssertionError, emulator.EmulatorError)):
        check(plant.device, mutant.kernels, monkeypatch)
        check_steps(plant.device, mutant.ways)


# Bugs in the launchers: the emulator is as strict as CuPy and the hardware, or stricter


@pytest.fixture
def case(plant, monkeypatch):
    """The arrays of softmax_cross_entropy_backward, whose calls nothing checks: (y, t, dx)."""
    name = "softmax_cross_entropy_backward"
    monkeypatch.setattr(cuda, name, inspect.unwrap(getattr(cuda, name)))
    y, t = np.ones((3, 3), np.float32), np.zeros(3, np.int64)
    return tuple(map(gpu.to_device, (y, t, y)))


def test_without_a_bug_the_launcher_works(case):
    y, t, dx = case
    cuda.softmax_cross_entropy_backward(y, t, 1.0, dx)


def test_labels_of_another_type_are_noticed(case):
    y, t, dx = case
    with pytest.raises(emulator.EmulatorError, match="int32 array for a pointer to int64"):
        cuda.softmax_cross_entropy_backward(y, t.astype(np.int32), 1.0, dx)


def test_transposed_views_are_noticed(case):
    y, t, dx = case
    with pytest.raises(emulator.EmulatorError, match="not C-contiguous"):
        cuda.softmax_cross_entropy_backward(y.T, t, 1.0, dx)


def test_numbers_of_another_type_are_noticed(case, monkeypatch):
    y, t, dx = case
    with pytest.raises(emulator.EmulatorError, match=r"needs np\.float64 by value, got int64"):
        cuda.launch("softmax_cross_entropy_backward", y.dtype, 1, y, t, 1, dx, 3, 3)
    monkeypatch.setattr(cuda, "_as_argument", lambda value: value)
    with pytest.raises(emulator.EmulatorError, match=r"by value, got (int|float)"):
        cuda.softmax_cross_entropy_backward(y, t, 1.0, dx)


def test_missing_arguments_are_noticed(case):
    y, t, dx = case
    with pytest.raises(emulator.EmulatorError, match="5 arguments for 6 parameters"):
        cuda.launch("softmax_cross_entropy_backward", y.dtype, 1, y, t, 1.0, dx, 3)


def test_arrays_of_the_host_are_noticed(case):
    y, t, dx = case
    with pytest.raises(TypeError, match="Unsupported type"):
        cuda.softmax_cross_entropy_backward(y, t, 1.0, gpu.to_host(dx))
