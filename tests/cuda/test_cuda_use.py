"""Layers, models and the Trainer on the GPU, against the CPU: the code that ships, over CuPy or a fake of it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import on_device
import pytest
from chain_model import Chain

import scratchnet
from scratchnet import layers
from scratchnet._arrays import uploaded
from scratchnet.functions import cross_entropy_error, relu, sigmoid, softmax, sum_squared_error

CLOSE = {"rtol": 2e-4, "atol": 2e-5}  # a few steps in float32, sums in another order


def spiral(rows=60, dtype=np.float32):
    x, t = scratchnet.dataset.spiral.load_data()
    return x[::5][:rows].astype(dtype), t[::5][:rows]


def network(sizes=(2, 6, 3), activation="sigmoid", dtype=np.float32):
    return scratchnet.MultiLayerNet(
        sizes[0], list(sizes[1:-1]), sizes[-1], activation, "he", dtype=dtype, rng=np.random.default_rng(0)
    )


class OwnNet(Chain):
    """A reader's own class, over scratchnet's layers."""

    def __init__(self, params):
        W1, b1, W2, b2 = params
        chain = [layers.Affine(W1, b1), layers.Sigmoid(), layers.Affine(W2, b2)]
        super().__init__(chain, layers.SoftmaxWithLoss())


def rows_of(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pairs():
    """(layer, its inputs, dout) for every layer, on the CPU."""
    x, W, b = rows_of(7, 5), rows_of(5, 4, seed=1), rows_of(4, seed=2)
    labels = np.array([0, 3, 2, 1, 1, 0, 4])
    return {
        "MatMul": (layers.MatMul(W), (x,), rows_of(7, 4)),
        "Affine": (layers.Affine(W, b), (x,), rows_of(7, 4)),
        "Affine on three axes": (layers.Affine(W, b), (x.reshape(1, 7, 5),), rows_of(1, 7, 4)),
        "Affine, transposed": (layers.Affine(rows_of(4, 5).T, b), (x,), rows_of(7, 4)),
        "Sigmoid": (layers.Sigmoid(), (x,), rows_of(7, 5)),
        "Relu": (layers.Relu(), (x,), rows_of(7, 5)),
        "Softmax": (layers.Softmax(), (x,), rows_of(7, 5)),
        "SoftmaxWithLoss": (layers.SoftmaxWithLoss(), (x, labels), 1),
        "SoftmaxWithLoss, one-hot": (layers.SoftmaxWithLoss(), (x, np.eye(5)[labels]), 0.5),
        "SigmoidWithLoss": (layers.SigmoidWithLoss(), (x[:, 0], np.array([0, 1, 1, 0, 1, 0, 1])), 1),
        "Repeat": (layers.Repeat(3), (x[:1],), rows_of(3, 5)),
        "Sum": (layers.Sum(), (x,), rows_of(1, 5)),
    }


def on_gpu(cupy, layer):
    there = copy.copy(layer)
    there.params = [cupy.asarray(p) for p in layer.params]
    there.grads = [cupy.asarray(g) for g in layer.grads]
    return there


@pytest.mark.parametrize("name", pairs())
def test_a_layer_gives_what_it_gives_on_the_cpu(cupy, name):
    layer, inputs, dout = pairs()[name]
    there = on_gpu(cupy, layer)
    expected = layer.forward(*inputs)
    out = there.forward(*map(cupy.asarray, inputs))
    assert isinstance(out, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(out), expected, rtol=1e-5, atol=1e-5)
    dx = there.backward(dout if isinstance(dout, float | int) else cupy.asarray(dout))
    assert isinstance(dx, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(dx), layer.backward(dout), rtol=1e-5, atol=1e-5)
    for g, true in zip(there.grads, layer.grads, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(g), true, rtol=1e-5, atol=1e-5)


def test_functions_keep_to_the_side_of_their_argument(cupy):
    x = rows_of(4, 3)
    t = np.array([0, 1, 2, 1])
    there = cupy.asarray(x)
    for function in (sigmoid, relu, softmax):
        np.testing.assert_allclose(cupy.asnumpy(function(there)), function(x), rtol=1e-5)
    y = softmax(x)
    np.testing.assert_allclose(
        float(cross_entropy_error(cupy.asarray(y), t)), cross_entropy_error(y, t), rtol=1e-5
    )
    np.testing.assert_allclose(float(sum_squared_error(there, there * 2)), sum_squared_error(x, x * 2), rtol=1e-5)
    np.testing.assert_array_equal(cupy.asnumpy(relu(cupy.asarray([-1, 2]))), [0, 2])


def test_a_loss_stays_on_the_gpu(cupy):
    model = network().to("cuda")
    loss = model.loss(*spiral())
    assert isinstance(loss, cupy.ndarray) and loss.shape == ()


def test_sides_are_not_mixed_silently(cupy):
    x, W, b = rows_of(2, 5), rows_of(5, 4), rows_of(4)
    there = layers.Affine(cupy.asarray(W), cupy.asarray(b))
    with pytest.raises(ValueError, match=r"Affine: x is on the CPU, .* scratchnet.to_gpu moves it"):
        there.forward(x)
    with pytest.raises(ValueError, match=r"Affine: x is on the GPU, .* scratchnet.to_cpu moves it"):
        layers.Affine(W, b).forward(cupy.asarray(x))
    with pytest.raises(ValueError, match="b is on the CPU"):
        layers.Affine(cupy.asarray(W), b)
    with pytest.raises(ValueError, match="t is on the GPU"):
        layers.SoftmaxWithLoss().forward(x, cupy.asarray([0, 1]))
    with pytest.raises(ValueError, match=r"grads\[0\] is on the CPU"):
        scratchnet.SGD().update([cupy.asarray(W)], [W])
    with pytest.raises(ValueError, match="not both"):
        half = layers.Affine(W.copy(), b.copy())
        half.params[:] = [cupy.asarray(W), cupy.asarray(b)]
        half.forward(cupy.asarray(x))
        half.backward(cupy.asarray(rows_of(2, 4)))


def test_bool_data_are_uploaded_as_0_and_1(cupy):
    """Any other byte is true to NumPy, and any number to code on a GPU."""
    data = np.array([0, 1, 2, 255], np.uint8).view(bool)
    assert cupy.asnumpy(uploaded("x", data)).view(np.uint8).tolist() == [0, 1, 1, 1]


def test_wrong_labels_are_found_before_they_are_uploaded(cupy):
    model = network().to("cuda")
    x, _ = spiral(4)
    with pytest.raises(IndexError, match=r"t\[2\] is 3, expected a number from 0 to 2"):
        model.loss(x, np.array([0, 1, 3, 2]))
    trainer = scratchnet.Trainer(model, scratchnet.SGD())
    with pytest.raises(IndexError, match=r"t\[1\] is 7"):
        trainer.fit(x, cupy.asarray([0, 7, 1, 2]), 1, 2, verbose=False)
    loss = model.loss(x, cupy.asarray([0, 7, 1, 2]))
    assert np.isnan(float(loss))  # not read back, but not passed over


def test_a_model_moves_and_stays_itself(cupy):
    model = network()
    params, weights = model.params, [p.copy() for p in model.params]
    x, t = spiral()
    expected = model.predict(x)
    assert model.device == "cpu" and model.to("cpu") is model and model.params[0] is params[0]
    assert model.to("cuda") is model and model.device == "cuda" and model.params is params
    assert all(isinstance(p, cupy.ndarray) for p in (*model.params, *model.grads))
    assert model.layers[0].params[0] is model.params[0] and model.layers[0].grads[1] is model.grads[1]
    for scores in (model.predict(x), model.predict(cupy.asarray(x))):
        assert isinstance(scores, cupy.ndarray)
        np.testing.assert_allclose(cupy.asnumpy(scores), expected, **CLOSE)
    assert model.accuracy(x, t) == network().accuracy(x, t) == model.accuracy(cupy.asarray(x), cupy.asarray(t))
    with pytest.raises(ValueError, match="on the GPU"):
        scratchnet.gradient_check(model, x[:2], t[:2])
    model.to("cpu")
    for now, then in zip(model.params, weights, strict=True):
        np.testing.assert_array_equal(now, then)
    with pytest.raises(ValueError, match="'cpu' or 'cuda', got 'gpu'"):
        model.to("gpu")


def test_large_inputs_go_in_blocks(cupy):
    model = network().to("cuda")
    model._block_size = 16
    x, _ = spiral(60)
    np.testing.assert_allclose(cupy.asnumpy(model.predict(x)), network().predict(x), **CLOSE)
    np.testing.assert_allclose(scratchnet.util.predict(model, x), network().predict(x), **CLOSE)


OPTIMIZERS = [
    scratchnet.SGD(0.5),
    scratchnet.Momentum(0.1),
    scratchnet.Nesterov(0.1),
    scratchnet.AdaGrad(0.1),
    scratchnet.RMSprop(0.01),
    scratchnet.Adam(0.01),
]


def fit(model, optimizer, engine, **options):
    compiled = False if engine.endswith("layers") else None
    trainer = scratchnet.Trainer(model, copy.deepcopy(optimizer), compile=compiled)
    x, t = spiral()
    trainer.fit(x, t, 3, 12, eval_interval=2, verbose=False, rng=3, **options)
    assert trainer.engine == engine
    return trainer


@pytest.mark.parametrize("engine", ["plan", "layers"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_the_trainer_trains_as_on_the_cpu(cupy, optimizer, engine):
    here, there = network(), network().to("cuda")
    validation = spiral(20)
    expected = fit(here, optimizer, engine, max_grad=0.3, validation=validation)
    got = fit(there, optimizer, f"cuda-{engine}", max_grad=0.3, validation=validation)
    np.testing.assert_allclose(got.loss_list, expected.loss_list, **CLOSE)
    assert all(type(loss) is float for loss in got.loss_list)
    for a, b in zip(got.history, expected.history, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose([*a.values()], [*b.values()], **CLOSE)
    for name in ("params", "grads"):
        for a, b in zip(getattr(there, name), getattr(here, name), strict=True):
            np.testing.assert_allclose(cupy.asnumpy(a), b, **CLOSE)
    there.to("cpu")


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("sizes", [(2, 3), (2, 5, 4, 3), (2, 200, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chains_of_any_depth(cupy, sizes, activation, dtype):
    expected = fit(network(sizes, activation, dtype), scratchnet.SGD(0.1), "plan")
    got = fit(network(sizes, activation, dtype).to("cuda"), scratchnet.SGD(0.1), "cuda-plan")
    np.testing.assert_allclose(got.loss_list, expected.loss_list, **CLOSE)


def test_a_reader_s_own_class(cupy):
    weights = [p.copy() for p in network().params]
    expected = fit(OwnNet([w.copy() for w in weights]), scratchnet.SGD(0.5), "layers")
    for compiled, engine in ((None, "cuda-layers"), (True, "cuda-plan")):
        model = OwnNet([cupy.asarray(w) for w in weights])
        trainer = scratchnet.Trainer(model, scratchnet.SGD(0.5), compile=compiled)
        x, t = spiral()
        trainer.fit(x, t, 3, 12, eval_interval=2, verbose=False, rng=3)
        assert trainer.engine == engine
        np.testing.assert_allclose(trainer.loss_list, expected.loss_list, **CLOSE)


def test_an_optimizer_follows_a_model_that_moves(cupy):
    x, t = spiral()
    results = []
    for sides in (["cpu", "cpu", "cpu"], ["cpu", "cuda", "cpu"], ["cuda", "cpu", "cuda"]):
        model, optimizer = network(), scratchnet.Adam(0.05)
        trainer = scratchnet.Trainer(model, optimizer)
        for side in sides:
            model.to(side)
            trainer.fit(x, t, 1, 20, verbose=False, rng=1)
        assert all(type(a) is np.ndarray for a in optimizer.state_dict()["m"])
        results.append([np.array(scratchnet.to_cpu(p)) for p in model.params])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_allclose(a, b, **CLOSE)


def test_the_learning_rate_is_read_anew_and_callbacks_stop(cupy):
    seen = []

    def callback(trainer):
        seen.append(trainer.optimizer.lr)
        trainer.optimizer.lr *= 0.5
        return len(seen) == 2

    here, there = network(), network().to("cuda")
    expected = fit(here, scratchnet.SGD(0.4), "plan", callbacks=[callback])
    seen.clear()
    got = fit(there, scratchnet.SGD(0.4), "cuda-plan", callbacks=[callback])
    assert seen == [0.4, 0.2] and got.current_epoch == 2
    np.testing.assert_allclose(got.loss_list, expected.loss_list, **CLOSE)


@pytest.mark.parametrize("data", [np.uint8, np.int32, np.float64])
def test_data_of_other_dtypes_is_cast_on_the_gpu(cupy, data):
    x = np.random.default_rng(0).integers(0, 9, (40, 5)).astype(data)
    t = np.random.default_rng(1).integers(0, 3, 40)
    losses = []
    for side in ("cpu", "cuda"):
        trainer = scratchnet.Trainer(network((5, 4, 3)).to(side), scratchnet.SGD(0.1))
        trainer.fit(x, t, 2, 10, eval_interval=1, verbose=False, rng=0)
        losses.append(trainer.loss_list)
    np.testing.assert_allclose(losses[1], losses[0], **CLOSE)


def test_weights_are_saved_on_one_side_and_loaded_on_the_other(cupy, tmp_path):
    model = network().to("cuda")
    path = model.save_params(tmp_path / "weights")
    here = scratchnet.MultiLayerNet(2, [6], 3)
    here.load_params(path)
    there = scratchnet.MultiLayerNet(2, [6], 3).to("cuda")
    there.load_params(path)
    for a, b, c in zip(network().params, here.params, there.params, strict=True):
        assert isinstance(c, cupy.ndarray)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, cupy.asnumpy(c))


def test_arrays_move_both_ways(cupy):
    x = rows_of(3, 2)
    there = scratchnet.to_gpu(x)
    assert isinstance(there, cupy.ndarray) and scratchnet.to_gpu(there) is there
    np.testing.assert_array_equal(scratchnet.to_cpu(there), x)
    assert scratchnet.to_cpu(x) is x


def test_the_books_switch(cupy, monkeypatch):
    monkeypatch.setattr(scratchnet.config, "GPU", True)
    assert scratchnet.TwoLayerNet(2, 3, 2).device == "cuda"
    for module in ("np", "functions", "layers", "time_layers", "optimizer", "trainer", "util", "base_model"):
        names: dict = {}
        exec(f"from scratchnet.book2.{module} import *", names)
        assert names["np"] is cupy and names["GPU"] is True, module
    monkeypatch.setattr(scratchnet.config, "GPU", False)
    exec("from scratchnet.book2.layers import *", names)
    assert names["np"] is np and names["GPU"] is False


def test_the_command_line(cupy, tmp_path, capsys):
    from scratchnet.__main__ import main

    arguments = ["--epochs", "1", "--quiet", "--out", str(tmp_path)]
    assert main(["train", "spiral", "--device", "cuda", *arguments]) == 0
    assert "engine cuda-plan" in capsys.readouterr().out
    assert (tmp_path / "weights.npz").exists()
    assert main(["info"]) == 0
    assert f"cupy: {cupy.__version__}" in capsys.readouterr().out


def test_clip_and_shared_parameters(cupy):
    g = [rows_of(3, 2), rows_of(4)]
    there = [cupy.asarray(a) for a in g]
    scratchnet.util.clip_grads(there, 0.5)
    scratchnet.util.clip_grads(g, 0.5)
    for a, b in zip(there, g, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(a), b, rtol=1e-6)
    W = cupy.asarray(rows_of(3, 3))
    params, grads = scratchnet.util.remove_duplicate([W, W.T], [cupy.ones((3, 3)), cupy.zeros((3, 3))])
    assert len(params) == len(grads) == 1


@pytest.mark.parametrize("name", ["ScratchnetPlan", "ScratchnetLayers", "PlainCuPy"])
def test_the_benchmark_s_contestants_train_right(cupy, name, monkeypatch):
    folder = Path(__file__).parents[2] / "bench"
    if not folder.is_dir():
        pytest.skip("no benchmarks here: the tests run against an installed package")
    monkeypatch.syspath_prepend(folder)
    from dataclasses import replace
    from importlib import import_module

    workloads, gpu_peers = import_module("workloads"), import_module("gpu_peers")
    job = replace(workloads.job("2-10-3", "float32"), x=spiral()[0], t=spiral()[1])
    np.random.seed(0)
    expected = import_module("peers").reference_losses(job, 2)
    contestant = getattr(gpu_peers, name)(job)
    np.random.seed(0)
    np.testing.assert_allclose(contestant.fit(2), expected, rtol=1e-4)


# A move is whole or not at all


def test_shared_weights_stay_shared(cupy):
    losses = []
    for side in ("cpu", "cuda"):
        model = network((4, 4, 4, 3))
        model.params[2] = model.layers[2].params[0] = model.params[0]
        model.to(side)
        assert model.params[2] is model.params[0] is model.layers[2].params[0]
        x = rows_of(24, 4)
        trainer = scratchnet.Trainer(model, scratchnet.SGD(0.1))
        trainer.fit(x, np.arange(24) % 3, 2, 8, verbose=False, rng=0, eval_interval=1)
        assert trainer.engine.endswith("layers")
        losses.append(trainer.loss_list)
    np.testing.assert_allclose(losses[1], losses[0], **CLOSE)


def test_a_move_that_fails_changes_nothing(cupy, monkeypatch):
    model = network()
    arrays = [*model.params, *model.grads, *model.layers[0].params]
    zeros, calls = cupy.zeros, []

    def runs_out(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError("out of memory")
        return zeros(*args)

    monkeypatch.setattr(cupy, "zeros", runs_out, raising=False)
    with pytest.raises(MemoryError):
        model.to("cuda")
    now = [*model.params, *model.grads, *model.layers[0].params]
    assert all(a is b for a, b in zip(now, arrays, strict=True)) and model.device == "cpu"
    assert model.to("cuda").device == "cuda"


def test_float16_and_views_do_not_move(cupy):
    with pytest.raises(ValueError, match="the GPU computes in float32 and float64; a parameter has dtype float16"):
        network(dtype=np.float16).to("cuda")
    model = network((4, 4, 3))
    model.params[0] = model.layers[0].params[0] = np.zeros((4, 4), np.float32)
    model.params[2] = model.layers[2].params[0] = model.params[0][:, :3]
    with pytest.raises(ValueError, match="share memory"):
        model.to("cuda")


def test_a_subclass_with_layers_of_its_own_moves_whole(cupy):
    class Net(scratchnet.TwoLayerNet):
        def __init__(self):
            super().__init__(2, 4, 3, rng=0)
            self.first = layers.MatMul(np.eye(2, dtype=np.float32))
            self.layers.insert(0, self.first)
            self.params[:0], self.grads[:0] = self.first.params, self.first.grads

    expected = fit(Net(), scratchnet.SGD(0.1), "layers")
    got = fit(Net().to("cuda"), scratchnet.SGD(0.1), "cuda-layers")
    np.testing.assert_allclose(got.loss_list, expected.loss_list, **CLOSE)
    back = Net().to("cuda").to("cpu")
    assert back.params[0] is back.first.params[0] and type(back.params[0]) is np.ndarray


@pytest.mark.parametrize("compiled", [None, False])
@pytest.mark.parametrize("sides", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_callback_may_move_the_model(cupy, sides, compiled):
    model = network().to(sides[0])
    x, t = spiral()
    trainer = scratchnet.Trainer(model, scratchnet.SGD(0.1), compile=compiled)
    callbacks = [lambda trainer: trainer.model.to(sides[1]) and None]
    trainer.fit(x, t, 3, 12, eval_interval=2, verbose=False, rng=3, callbacks=callbacks, validation=spiral(20))
    assert trainer.engine.startswith("cuda") == (sides[1] == "cuda")
    expected = fit(network(), scratchnet.SGD(0.1), "plan")
    np.testing.assert_allclose(trainer.loss_list, expected.loss_list, **CLOSE)


def test_a_reader_s_class_has_its_labels_checked_before_an_update(cupy):
    weights = [cupy.asarray(p) for p in network().params]
    before = [cupy.asnumpy(w) for w in weights]
    trainer = scratchnet.Trainer(OwnNet(weights), scratchnet.SGD(0.5))
    x, t = spiral()
    with pytest.raises(IndexError, match=r"t\[\d+\] is 3, expected a number from 0 to 2"):
        trainer.fit(x, t.argmax(axis=1) + 1, 1, 12, verbose=False)
    for w, b in zip(weights, before, strict=True):
        np.testing.assert_array_equal(cupy.asnumpy(w), b)


def test_lists_of_lists_and_an_optimizer_of_the_reader(cupy):
    class Plain:
        def update(self, params, grads):
            for i in range(len(params)):
                params[i] -= 0.1 * grads[i]

    x, t = spiral()
    results = []
    for upload in (np.array, cupy.asarray):
        model = OwnNet([upload(p) for p in network().params])
        model.params = [layer.params for layer in model.layers if layer.params]
        model.grads = [layer.grads for layer in model.layers if layer.params]
        trainer = scratchnet.Trainer(model, Plain())
        trainer.fit(x, t, 2, 12, verbose=False, rng=0, eval_interval=1)
        results.append(trainer.loss_list)
    np.testing.assert_allclose(results[1], results[0], **CLOSE)


def test_a_run_that_fails_leaves_nothing_running(monkeypatch):
    with on_device.emulated() as cupy:
        trainer = scratchnet.Trainer(network().to("cuda"), scratchnet.SGD(0.1))
        waited = []
        monkeypatch.setattr(cupy.cuda.Stream, "synchronize", lambda stream: waited.append(stream))

        def fails(*args, **kwargs):
            waited.clear()
            raise KeyboardInterrupt

        monkeypatch.setattr("scratchnet.backends.cuda_steps.launch", fails)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(*spiral(), 1, 12, verbose=False)
        assert waited


def test_what_is_no_number_is_refused_as_on_the_cpu(cupy):
    model = network().to("cuda")
    _, t = spiral(4)
    with pytest.raises(ValueError, match="x is a masked array"):
        model.loss(np.ma.masked_greater(np.zeros((4, 2)), 1), t)
    with pytest.raises(ValueError, match="x must contain real numbers"):
        model.predict(np.array([["a", "b"]]))
    assert model.predict(np.zeros((2, 2), np.longdouble)).dtype == np.float32
    with pytest.raises(ValueError, match="both"):
        sum_squared_error(cupy.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"dtype float16; on the GPU it must be float32 or float64"):
        layers.MatMul(cupy.zeros((2, 2), np.float16))
    for node in (layers.Sum(), layers.Repeat(1)):
        node.forward(cupy.ones((1, 3), np.float32))
        assert isinstance(node.backward(1.0), cupy.ndarray)
        with pytest.raises(ValueError, match="dout is on the CPU"):
            node.backward(np.ones((1, 3), np.float32))


def test_words_choose_rows_and_their_gradients_come_back(cupy):
    W = np.arange(12, dtype=np.float32).reshape(4, 3)
    here, there = layers.Embedding(W), layers.Embedding(cupy.asarray(W))
    for idx in (np.array([[1, -1], [0, 1]]), cupy.asarray(np.array([1, 3, 1]))):
        expected, out = here.forward(scratchnet.to_cpu(idx)), there.forward(idx)
        assert isinstance(out, cupy.ndarray)
        np.testing.assert_array_equal(cupy.asnumpy(out), expected)
        here.backward(expected + 1)
        assert there.backward(out + 1) is None
        np.testing.assert_array_equal(cupy.asnumpy(there.grads[0]), here.grads[0])
