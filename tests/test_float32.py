"""`scratchnet run --float32`: float64 weights are computed with in float32, and stay what they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from chain_model import Chain
from printed import assert_same
from processes import run
from test_scripts import lines
from tolerances import FLOAT32_LOSSES

from scratchnet import _compute, gradient_check, layers, models, optimizer, time_layers
from scratchnet.book1 import layers as book1_layers
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.gradient import numerical_gradient
from scratchnet.trainer import Trainer

pytestmark = pytest.mark.thread_unsafe(reason="the dtype of computation is the whole process's")

SCRIPTS = Path(__file__).parent / "scripts"
RUN = (sys.executable, "-P", "-m", "scratchnet", "run")
N, T, D, H = 4, 3, 6, 5
rng = np.random.default_rng(0)


def x(*shape):
    return rng.standard_normal(shape)


@pytest.fixture(autouse=True)
def as_the_weights_are():
    yield
    _compute.choose(None)


@pytest.fixture
def float32():
    _compute.choose("float32")


def cells(gates):
    return x(D, gates * H), x(H, gates * H), x(gates * H)


WORDS = np.array([[0, 2, 1], [1, 1, 0]])
# Layers with weights: what makes one, and what its forward is given.
WEIGHTED = {
    "MatMul": (lambda: layers.MatMul(x(D, H)), [x(N, D)]),
    "Affine": (lambda: layers.Affine(x(D, H), x(H)), [x(N, D)]),
    "Affine of a transposed matrix": (lambda: layers.Affine(x(H, D).T, x(H)), [x(N, T, D)]),
    "Embedding": (lambda: layers.Embedding(x(7, D)), [WORDS]),
    "RNN": (lambda: time_layers.RNN(*cells(1)), [x(N, D), x(N, H)]),
    "LSTM": (lambda: time_layers.LSTM(*cells(4)), [x(N, D), x(N, H), x(N, H)]),
    "TimeRNN": (lambda: time_layers.TimeRNN(*cells(1)), [x(N, T, D)]),
    "TimeLSTM": (lambda: time_layers.TimeLSTM(*cells(4), stateful=True), [x(N, T, D)]),
    "TimeGRU": (lambda: time_layers.TimeGRU(*cells(3)), [x(N, T, D)]),
    "TimeBiLSTM": (lambda: time_layers.TimeBiLSTM(*cells(4), *cells(4)), [x(N, T, D)]),
    "TimeAffine": (lambda: time_layers.TimeAffine(x(D, H), x(H)), [x(N, T, D)]),
    "TimeEmbedding": (lambda: time_layers.TimeEmbedding(x(7, D)), [WORDS]),
    "book 1: Affine": (lambda: book1_layers.Affine(x(D, H), x(H)), [x(N, 2, D // 2)]),
    "book 1: many rows": (lambda: book1_layers.Affine(x(D, H), x(H)), [x(1500, D).astype(np.float32)]),
    "book 1: BatchNormalization": (lambda: book1_layers.BatchNormalization(x(D), x(D)), [x(N, D)]),
    "book 1: Convolution": (lambda: book1_layers.Convolution(x(3, 2, 2, 2), x(3)), [x(N, 2, 5, 5)]),
}
PLAIN = {
    "Sigmoid": layers.Sigmoid,
    "Relu": layers.Relu,
    "Softmax": layers.Softmax,
    "Dropout": layers.Dropout,
    "TimeDropout": time_layers.TimeDropout,
}
GRADIENTS = ("dW", "db", "dgamma", "dbeta")


def gradients(layer):
    """Copies of the gradients that a backward left behind, in either book's manner."""
    named = [getattr(layer, name, None) for name in GRADIENTS] if "book1" in type(layer).__module__ else []
    return [g.copy() for g in named if g is not None] or [g.copy() for g in layer.grads]


def arrays(result):
    return [r for r in (result if isinstance(result, tuple) else (result,)) if r is not None]


def results(layer, given):
    """What forward and backward return, and the gradients."""
    out = arrays(layer.forward(*given))
    douts = [np.ones(o.shape, o.dtype) + np.arange(o.shape[-1], dtype=o.dtype) for o in out]
    return out, arrays(layer.backward(*douts)), gradients(layer)


@pytest.mark.parametrize("name", WEIGHTED)
def test_outputs_are_float32_and_gradients_are_the_weights_own(name):
    make, given = WEIGHTED[name]
    layer = make()
    exact = results(layer, given)
    _compute.choose("float32")
    if hasattr(layer, "reset_state"):
        layer.reset_state()
    params, kept = list(layer.params), list(layer.grads)
    out, dx, grads = results(layer, given)
    assert {a.dtype for a in (*out, *dx)} == {np.dtype(np.float32)}
    assert {a.dtype for a in grads} == {np.dtype(np.float64)}
    assert all(a is b and a.dtype == np.float64 for a, b in zip(layer.params, params, strict=True))
    if "book 1" not in name:
        assert all(a is b for a, b in zip(layer.grads, kept, strict=True))
    for mine, true in zip((out, dx, grads), exact, strict=True):
        for a, b in zip(mine, true, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.abs(b).max()))


def test_what_is_kept_is_the_caller_s_and_statistics_have_the_weights_dtype(float32):
    given, layer = x(N, D), layers.Affine(x(D, H), x(H))
    layer.forward(given)
    assert layer.x is given
    norm = book1_layers.BatchNormalization(np.ones(D), np.zeros(D))
    norm.forward(given)
    assert norm.running_mean.dtype == norm.running_var.dtype == np.float64


@pytest.mark.parametrize("name", PLAIN)
def test_layers_without_weights_return_float32(name, float32):
    layer = PLAIN[name]()
    out = layer.forward(x(N, D))
    assert out.dtype == layer.backward(np.ones_like(out)).dtype == np.float32


def test_float32_weights_are_what_they_were():
    layer, given = layers.Affine(x(D, H).astype("f"), x(H).astype("f")), x(N, D).astype("f")
    before = results(layer, [given])
    _compute.choose("float32")
    for mine, true in zip(results(layer, [given]), before, strict=True):
        assert [a.tobytes() for a in mine] == [b.tobytes() for b in true]


def test_differences_of_a_loss_have_all_digits(float32):
    given, t = np.random.default_rng(1).standard_normal((N, D)), np.array([0, 2, 1, 1])
    np.random.seed(1)  # with four samples a normalization may be too curved for this h, in float64 too
    model = models.MultiLayerNet(D, [H], 3, weight_init_std=0.5, dtype=np.float64, rng=0)
    assert max(gradient_check(model, given, t).values()) < 1e-6
    np.random.seed(0)  # the book's networks draw from the global stream
    network = MultiLayerNetExtend(D, [H], 3, use_batchnorm=True)
    differences = network.numerical_gradient(given, t)
    with _compute.in_full():
        exact = network.gradient(given, t)
    close = [np.abs(differences[name] - exact[name]).max() for name in exact]
    assert max(close) < 1e-6
    assert network.predict(given).dtype == np.float32 and numerical_gradient(np.sum, x(2)).dtype == np.float64


def test_contexts_in_full_that_end_in_any_order(float32):
    """As those of two threads do: the first to end leaves the other one in full, the last restores float32."""
    first, second = _compute.in_full(), _compute.in_full()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    layer, given = layers.Affine(x(D, H), x(H)), x(N, D)
    assert layer.forward(given).dtype == np.float64
    second.__exit__(None, None, None)
    assert layer.forward(given).dtype == np.float32


def test_trainers_keep_parameters_and_the_optimizer_s_state(float32):
    def chain():
        affine = [layers.Affine(x(D, H), np.zeros(H)), layers.Affine(x(H, 3), np.zeros(3))]
        return Chain([affine[0], layers.Relu(), affine[1]], layers.SoftmaxWithLoss())

    whole = Trainer(chain(), optimizer.SGD(lr=0.1), compile=True)
    whole.fit(x(30, D), np.arange(30) % 3, max_epoch=3, batch_size=10, verbose=False)
    assert whole.engine == "plan"  # which computes as the weights are
    model, adam = chain(), optimizer.Adam(lr=0.01)
    trainer = Trainer(model, adam)
    trainer.fit(x(30, D), np.arange(30) % 3, max_epoch=3, batch_size=10, verbose=False)
    assert {p.dtype for p in (*model.params, *model.grads, *adam.m, *adam.v)} == {np.dtype(np.float64)}
    assert type(model.forward(x(3, D), np.arange(3))) is np.float64


@pytest.mark.parametrize(
    "name, option, settings",
    [("convnet.py", ["--float32"], {}), ("spiral_loop.py", [], {"SCRATCHNET_COMPUTE": "float32"})],
    ids=["option", "environment"],
)
def test_a_script_prints_the_same_to_four_digits(tmp_path, name, option, settings):
    arguments = (
        SCRIPTS / name,
        "Momentum",
    )  # Adam's first steps are of one size for gradients of 1e-3 and of 1e-9
    default = lines(*RUN, *arguments, cwd=tmp_path)
    chosen = lines(*RUN, *option, *arguments, cwd=tmp_path, **settings)
    assert chosen != default
    assert_same(chosen, default, FLOAT32_LOSSES)


def test_another_value_is_refused_in_a_line():
    command = [*RUN[:-1], "info"]
    result = run(*command, check=False, SCRATCHNET_COMPUTE="float16")
    assert result.returncode == 2
    assert result.stderr == (
        "scratchnet: error: SCRATCHNET_COMPUTE is 'float16', "
        "expected float32, or unset to compute in the dtype of the weights\n"
    )
