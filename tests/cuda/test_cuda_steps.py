"""Whole steps on the GPU against the CPU's, in all three ways."""

from __future__ import annotations

from itertools import pairwise

import emulator
import numpy as np
import pytest

from scratchnet._steps import Step
from scratchnet.backends import PlanRunner as CPURunner
from scratchnet.backends import cuda, cuda_steps
from scratchnet.backends.cuda_steps import PlanRunner

WAYS = ["layers", "rows", "block"]
OPTIMIZERS = {
    "sgd_update": (0, (0.5,)),
    "momentum_update": (1, (0.1, 0.9)),
    "nesterov_update": (1, (0.1, 0.9)),
    "adagrad_update": (1, (0.1,)),
    "rmsprop_update": (1, (0.01, 0.9)),
    "adam_update": (2, (0.01, 0.9, 0.999, 1e-7)),
}
BOUND = {np.float32: 2e-4, np.float64: 1e-11}  # some steps of training; relative to the largest number
ways = pytest.mark.parametrize("way", WAYS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


class Net:
    """The arrays of a chain of layers on the host; parameters, gradients and states each in one buffer or not."""

    def __init__(self, widths, activations, optimizer, dtype, side_by_side=True, seed=0):
        rng = np.random.default_rng(seed)
        self.optimizer = optimizer
        self.activations = [*activations, None]
        self.shapes = [s for D, M in pairwise(widths) for s in ((D, M), (M,))]
        self.sizes = [int(np.prod(s)) for s in self.shapes]
        n = sum(self.sizes)
        self.buffers = [rng.standard_normal(n).astype(dtype), np.full(n, np.nan, dtype)]
        self.buffers += [np.zeros(n, dtype) for _ in range(OPTIMIZERS[optimizer][0])]
        self.side_by_side = side_by_side

    def numbers(self, steps):
        """(rates, others): the optimizer's numbers for some steps, whose learning rates fall."""
        lr, *others = OPTIMIZERS[self.optimizer][1]
        return [lr / (1 + k) for k in range(steps)], others

    def arrays(self, upload):
        """(layers, parameters, buffers): what PlanRunner takes, over uploaded buffers."""
        buffers = [upload(buffer) for buffer in self.buffers]
        ends = np.cumsum(self.sizes).tolist()
        columns = [[b[e - s : e] for s, e in zip(self.sizes, ends, strict=True)] for b in buffers]
        params, grads = ([a.reshape(s) for a, s in zip(c, self.shapes, strict=True)] for c in columns[:2])
        layers = [
            (params[2 * k], params[2 * k + 1], grads[2 * k], grads[2 * k + 1], activation)
            for k, activation in enumerate(self.activations)
        ]
        if self.side_by_side:
            return layers, [(buffers[0], buffers[1], buffers[2:])], buffers
        return layers, [(p, g, states) for p, g, *states in zip(*columns, strict=True)], buffers


def make_data(D, C, rows=23, dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 5, (rows, D)).astype(dtype), rng.integers(0, C, rows)
    return (rng.standard_normal((rows, D)) > 0 if dtype is bool else rng.standard_normal((rows, D))).astype(
        dtype
    ), rng.integers(0, C, rows)


def steps_of(layers):
    """The same chain as C's steps take it."""
    steps = []
    for W, b, dW, db, activation in layers:
        steps.append(Step("affine", *W.shape, (W, b, dW, db)))
        if activation is not None:
            steps.append(Step(activation, len(b), len(b), in_place=True))
    return steps


def check_alike(cupy, net, data, labels, *, way, batch=5, max_grad=None, steps=3, runs=2):
    """The same runs on both: the same losses, parameters, gradients and states."""
    layers, parameters, expected = net.arrays(np.copy)
    cpu = CPURunner(steps_of(layers), "softmax_cross_entropy", parameters, net.optimizer, batch, max_grad)
    layers, parameters, buffers = net.arrays(cupy.asarray)
    gpu = PlanRunner(layers, parameters, net.optimizer, batch, max_grad, way=way)
    rng = np.random.default_rng(2)
    for engine in (cpu, gpu):
        engine.set_data(data, labels)
    for _ in range(runs):
        order = rng.integers(0, len(data), steps * batch + batch - 1)
        losses = cpu.run(order, *net.numbers(steps))
        mine = gpu.run(order, *net.numbers(steps))
        assert len(mine) == steps and all(type(loss) is float for loss in mine)
        bound = BOUND[expected[0].dtype.type]
        np.testing.assert_allclose(mine, losses, rtol=bound, atol=bound)
    for buffer, true in zip(buffers, expected, strict=True):
        np.testing.assert_allclose(cuda.to_host(buffer), true, rtol=bound, atol=bound * np.abs(true).max())
    return gpu


@ways
@dtypes
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("max_grad", [None, 0.05], ids=["free", "clipped"])
def test_every_optimizer(cupy, way, dtype, optimizer, max_grad):
    net = Net((7, 9, 4), ["sigmoid"], optimizer, dtype)
    check_alike(cupy, net, *make_data(7, 4), way=way, max_grad=max_grad)


@ways
@dtypes
@pytest.mark.parametrize(
    "widths, activations",
    [
        ((3, 2), []),
        ((1, 1, 1), ["relu"]),
        ((33, 31, 10), ["relu"]),
        ((5, 40, 33, 3), ["sigmoid", "relu"]),
        ((70, 100, 32), ["sigmoid"]),
        ((4, 6, 5), [None]),
    ],
)
def test_every_depth_and_width(cupy, way, dtype, widths, activations):
    net = Net(widths, activations, "momentum_update", dtype)
    if way == "block" and widths[0] == 70:
        with pytest.raises(ValueError, match=r"'block' cannot hold layers \[\(70, 100\), .* and 1 samples"):
            check_alike(cupy, net, *make_data(70, 32), way=way, batch=1)
        return
    for batch in (1, 9):
        check_alike(cupy, net, *make_data(widths[0], widths[-1]), way=way, batch=batch, steps=2)


@pytest.mark.parametrize("widths", [(7, 300, 4), (7, 5, 200), (300, 150, 40)])
def test_wide_layers(cupy, widths):
    net = Net(widths, ["sigmoid"], "adam_update", np.float32)
    steps = check_alike(cupy, net, *make_data(widths[0], widths[-1]), way=None, batch=8)
    assert steps.way == "layers"


@ways
@pytest.mark.parametrize("schedule", emulator.SCHEDULES)
def test_every_schedule(cupy, way, schedule):
    with emulator.schedule(schedule, 5):
        net = Net((20, 40, 5), ["sigmoid"], "adam_update", np.float64)
        check_alike(cupy, net, *make_data(20, 5), way=way, max_grad=0.5)


@ways
@dtypes
@pytest.mark.parametrize("kind", [*(k for k in cuda_steps.DATA_TYPES if k != "bool"), bool], ids=str)
def test_every_type_of_data(cupy, way, dtype, kind):
    net = Net((6, 5, 3), ["relu"], "sgd_update", dtype)
    check_alike(cupy, net, *make_data(6, 3, dtype=kind), way=way)


@ways
def test_any_byte_of_bool_data_but_0_is_true(cupy, way):
    _, labels = make_data(6, 3)
    data = np.arange(6 * len(labels), dtype=np.uint8).reshape(-1, 6) % 3
    check_alike(cupy, Net((6, 5, 3), ["relu"], "sgd_update", np.float64), data.view(bool), labels, way=way)


@ways
def test_parameters_that_lie_apart(cupy, way):
    net = Net((6, 5, 3), ["relu"], "adam_update", np.float64, side_by_side=False)
    check_alike(cupy, net, *make_data(6, 3), way=way, max_grad=0.05)
    check_alike(cupy, net, *make_data(6, 3), way=way)


@ways
def test_many_inputs_and_samples(cupy, way):
    D = 40 if way == "block" else 100
    net = Net((D, 12, 5), ["sigmoid"], "momentum_update", np.float32)
    check_alike(cupy, net, *make_data(D, 5), way=way, batch=21)


@ways
def test_data_on_the_device_and_other_data_later(cupy, way):
    net = Net((6, 5, 3), ["relu"], "sgd_update", np.float64)
    layers, parameters, _ = net.arrays(cupy.asarray)
    steps = PlanRunner(layers, parameters, "sgd_update", 4, None, way=way)
    layers, parameters, _ = net.arrays(np.asarray)
    cpu = CPURunner(steps_of(layers), "softmax_cross_entropy", parameters, "sgd_update", 4, None)
    for seed, rows in ((1, 10), (2, 30)):
        data, labels = make_data(6, 3, rows, seed=seed)
        steps.set_data(cupy.asarray(data), cupy.asarray(labels))
        cpu.set_data(data, labels)
        for length in (8, 4 * rows):
            order, rates = np.arange(length) % rows, [0.1] * length
            np.testing.assert_allclose(steps.run(order, rates, ()), cpu.run(order, rates, ()), rtol=1e-11)


@pytest.mark.parametrize("way", ["layers", "rows"])
def test_graphs_and_single_steps_are_the_same(cupy, way, monkeypatch):
    data, labels = make_data(6, 3)
    results = []
    for length in (2, 10**9):
        monkeypatch.setattr(cuda_steps, "STEPS_OF_GRAPH", length)
        layers, parameters, buffers = Net((6, 5, 3), ["relu"], "adam_update", np.float32).arrays(cupy.asarray)
        steps = PlanRunner(layers, parameters, "adam_update", 4, 0.5, way=way)
        steps.set_data(data, labels)
        losses = [steps.run(np.arange(4 * k) % 23, [0.01] * k, (0.9, 0.999)) for k in (7, 1, 4)]
        assert (steps._graph is not None) == (length == 2)
        results.append((losses, [cuda.to_host(b).tobytes() for b in buffers]))
    assert results[0] == results[1]


BY_ROWS = ["step_products", "step_rows", "step_gradients"]
BY_LAYERS = ["affine_forward_32"] * 2 + ["step_loss_warp"] + ["affine_backward_32"] * 2


@pytest.mark.parametrize(
    "way, max_grad, launches",
    [
        ("layers", None, [*BY_LAYERS, "step_update"]),
        ("layers", 1.0, [*BY_LAYERS, "step_squares", "step_update"]),
        ("rows", None, BY_ROWS),
        ("rows", 1.0, [*BY_ROWS, "step_update"]),
    ],
)
def test_launches_of_a_step(cupy, way, max_grad, launches):
    if cupy.__name__ != "fake_cupy":
        pytest.skip("the emulator counts launches")
    layers, parameters, _ = Net((6, 5, 3), ["relu"], "adam_update", np.float32).arrays(cupy.asarray)
    steps = PlanRunner(layers, parameters, "adam_update", 4, max_grad, way=way)
    steps.set_data(*make_data(6, 3))
    emulator.launches.clear()
    steps.run(np.zeros(4 * 40, int), [0.01] * 40, (0.9, 0.999))
    assert emulator.launches == (["step_gather"] if way == "layers" else []) + launches * 40
    assert steps._graph is not None


def test_one_launch_for_all_steps(cupy):
    if cupy.__name__ != "fake_cupy":
        pytest.skip("the emulator counts launches")
    layers, parameters, _ = Net((6, 5, 3), ["relu"], "sgd_update", np.float32).arrays(cupy.asarray)
    steps = PlanRunner(layers, parameters, "sgd_update", 4, None, way="block")
    steps.set_data(*make_data(6, 3))
    emulator.launches.clear()
    assert len(steps.run(np.zeros(4 * 40, int), [0.01] * 40, ())) == 40
    assert emulator.launches == ["step_block"]


def test_the_way_is_chosen_by_the_sizes(cupy):
    for widths, batch, way in (
        ((2, 10, 3), 30, "block"),
        ((2, 10, 3), 3000, "rows"),
        ((784, 50, 10), 100, "rows"),
        ((784, 256, 3), 100, "rows"),
        ((784, 257, 3), 100, "layers"),
        ((784, 100, 10), 1000, "layers"),
        ((2, 10, 33), 30, "layers"),
    ):
        layers, parameters, _ = Net(widths, ["relu"], "sgd_update", np.float32).arrays(cupy.asarray)
        assert PlanRunner(layers, parameters, "sgd_update", batch, None).way == way


@dtypes
@pytest.mark.parametrize("max_grad", [None, 0.05], ids=["free", "clipped"])
def test_products_by_cublas_are_captured(cupy, cublas, dtype, max_grad):
    for widths, side_by_side in (((7, 33, 40, 4), True), ((5, 6, 7, 3), False)):
        net = Net(widths, ["sigmoid", "relu"], "adam_update", dtype, side_by_side)
        data = make_data(widths[0], widths[-1])
        steps = check_alike(cupy, net, *data, way="layers", max_grad=max_grad, steps=40)
        assert steps._graph is not None
    if cupy.__name__ == "fake_cupy":
        assert len(cublas.calls) == 2 * 2 * 40 * 8  # two nets, two runs; of the first layer there is no dx


def test_long_steps_need_no_graph(cupy, cublas, monkeypatch):
    monkeypatch.setattr(cuda_steps, "GRAPH_OPERATIONS", 0)
    net = Net((7, 33, 4), ["relu"], "adam_update", np.float32)
    assert check_alike(cupy, net, *make_data(7, 4), way="layers", steps=40)._graph is None


@pytest.mark.usefixtures("no_cublas")
def test_products_without_cublas(cupy):
    net = Net((100, 150, 40), ["sigmoid"], "sgd_update", np.float32)
    check_alike(cupy, net, *make_data(100, 40), way="layers", batch=8, steps=20)


def test_errors(cupy):
    net = Net((6, 5, 3), ["relu"], "sgd_update", np.float32)
    layers, parameters, _ = net.arrays(cupy.asarray)
    with pytest.raises(ValueError, match="way must be"):
        PlanRunner(layers, parameters, "sgd_update", 4, None, way="fast")
    wide, wide_parameters, _ = Net((2, 300, 3), ["relu"], "sgd_update", np.float32).arrays(cupy.asarray)
    with pytest.raises(ValueError, match="1 to 256 outputs"):
        PlanRunner(wide, wide_parameters, "sgd_update", 4, None, way="rows")
    with pytest.raises(ValueError, match="not one of the optimizer's parameters"):
        PlanRunner(layers, wide_parameters, "sgd_update", 4, None)
    with pytest.raises(ValueError, match="must be a CuPy array, got NumPy array"):
        PlanRunner(*net.arrays(np.copy)[:2], "sgd_update", 4, None)
    steps = PlanRunner(layers, parameters, "sgd_update", 4, None)
    with pytest.raises(ValueError, match="call set_data first"):
        steps.run(np.zeros(4, int), [0.1], ())
    data, labels = make_data(6, 3)
    for wrong in ((data[:, :5], labels), (data[:-1], labels), (data, labels.astype(np.int32)), (data[0], labels)):
        with pytest.raises(ValueError, match="cannot train on these samples and labels"):
            steps.set_data(*wrong)
    assert not steps.takes(data.astype(complex)) and not steps.takes(data.tolist())
    steps.set_data(data, labels)
    assert steps.run(np.zeros(3, int), [0.1], ()) == []
    for wrong in (-1, 23):
        with pytest.raises(IndexError, match="out-of-range row index"):
            steps.run(np.array([0, 1, 2, wrong]), [0.1], ())
    with pytest.raises(ValueError, match="1 learning rates for 2 steps"):
        steps.run(np.zeros(8, int), [0.1], ())
