"""ONNX files: ONNX Runtime computes from them what predict returns, for any number of samples."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from scratchnet import (
    SGD,
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Embedding,
    Flatten,
    IdentityWithLoss,
    MatMul,
    MultiLayerNet,
    Pooling,
    Relu,
    Sequential,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
    Tanh,
    Trainer,
    TwoLayerNet,
)
from scratchnet.book1 import layers as book1
from scratchnet.book1.multi_layer_net import MultiLayerNet as Book1MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.export import to_onnx

RNG = np.random.default_rng(5)
RUNTIME = "onnx and onnxruntime are not installed: no file is written or run"


def normal(*shape, dtype=np.float32):
    return (RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(dtype)


def statistics(size):
    return {"running_mean": normal(size), "running_var": RNG.random(size).astype(np.float32) + 0.5}


def batch_normalization(size):
    return BatchNormalization(1 + normal(size), normal(size), **statistics(size))


def affine(inputs, outputs):
    return Affine(normal(inputs, outputs), normal(outputs))


def book_1_s_extended():
    np.random.seed(0)
    net = MultiLayerNetExtend(6, [5, 4], 3, "sigmoid", use_dropout=True, dropout_ration=0.3, use_batchnorm=True)
    for _ in range(5):  # the running statistics
        net.gradient(np.random.randn(20, 6), np.random.randint(0, 3, 20))
    return net


MODELS = {
    "TwoLayerNet": (lambda: TwoLayerNet(6, 5, 3, 1.0, rng=0), (6,)),
    "MultiLayerNet relu": (lambda: MultiLayerNet(6, [5, 4], 3, "relu", "he", rng=0), (6,)),
    "MultiLayerNet of a regression": (lambda: MultiLayerNet(6, [5], 2, loss="identity", rng=0), (6,)),
    "MultiLayerNet linear, float64": (lambda: MultiLayerNet(6, [], 3, dtype=np.float64, rng=0), (6,)),
    "book 1's MultiLayerNet": (lambda: Book1MultiLayerNet(6, [5, 4], 3, "sigmoid", "xavier"), (6,)),
    "book 1's MultiLayerNetExtend": (book_1_s_extended, (6,)),
    "columns": (
        lambda: Sequential(
            [
                MatMul(normal(6, 8)),
                batch_normalization(8),
                Tanh(),
                Dropout(0.25),
                affine(8, 3),
                Softmax(),
            ],
            IdentityWithLoss(),
        ),
        (6,),
    ),
    "statistics first": (
        lambda: Sequential([batch_normalization(6), Sigmoid(), affine(6, 1)], SigmoidWithLoss()),
        (6,),
    ),
    "no statistics yet": (
        lambda: Sequential([BatchNormalization(normal(6), normal(6)), affine(6, 2)], SoftmaxWithLoss()),
        (6,),
    ),
    "a transposed matrix and a number as bias": (
        lambda: Sequential([Affine(normal(4, 6).T, 0.5), Relu()], IdentityWithLoss()),
        (6,),
    ),
    "numbers as gamma and beta": (
        lambda: Sequential([affine(6, 4), BatchNormalization(2.0, 0.5), Tanh()], IdentityWithLoss()),
        (6,),
    ),
    "only an activation": (lambda: Sequential([Tanh()], IdentityWithLoss()), (6,)),
    "images": (
        lambda: Sequential(
            [
                Convolution(normal(4, 2, 3, 3), normal(4), stride=1, pad=1),
                batch_normalization(4),
                Relu(),
                Pooling(2, 2, 2),
                Convolution(normal(3, 4, 2, 3), normal(3), stride=2),
                Sigmoid(),
                Flatten(),
                affine(3 * 2 * 2, 5),
            ],
            SoftmaxWithLoss(),
        ),
        (2, 9, 10),
    ),
    "book 1's layers in a Sequential": (
        lambda: Sequential(
            [
                book1.Convolution(normal(3, 1, 2, 2), normal(3)),
                book1.Pooling(3, 2, 3),
                book1.Affine(normal(3 * 2 * 3, 4), normal(4)),
            ],
            SoftmaxWithLoss(),
        ),
        (1, 8, 9),
    ),
    "rows for Flatten": (lambda: Sequential([Flatten(), affine(12, 3)], SoftmaxWithLoss()), (12,)),
    "pooling first": (lambda: Sequential([Pooling(2, 2), Flatten(), affine(8, 3)], SoftmaxWithLoss()), (2, 4, 5)),
}
WITH_SHAPE = {
    "images for Flatten": (lambda: Sequential([Flatten(), affine(12, 3)], SoftmaxWithLoss()), (3, 2, 2)),
    "pixels": (
        lambda: Sequential(
            [batch_normalization(2 * 3 * 4), Tanh(), Flatten(), affine(24, 2)],
            SoftmaxWithLoss(),
        ),
        (2, 3, 4),
    ),
    "pixels of maps": (
        lambda: Sequential(
            [Convolution(normal(3, 1, 2, 2), normal(3)), batch_normalization(3 * 3 * 4), Relu()],
            IdentityWithLoss(),
        ),
        (1, 4, 5),
    ),
    "sequences": (lambda: Sequential([affine(6, 4), Relu(), affine(4, 2)], IdentityWithLoss()), (7, 6)),
}


def outputs(path, x):
    session = pytest.importorskip("onnxruntime", reason=RUNTIME).InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return session.run(["scores"], {"x": x})[0]


@pytest.mark.parametrize("name", [*MODELS, *WITH_SHAPE])
def test_the_runtime_computes_what_predict_returns(name, tmp_path):
    pytest.importorskip("onnx", reason=RUNTIME)
    make, shape = (MODELS | WITH_SHAPE)[name]
    model = make()
    path = to_onnx(model, tmp_path / "net", input_shape=shape if name in WITH_SHAPE else None)
    assert path == tmp_path / "net.onnx" and [*tmp_path.iterdir()] == [path]
    for rows in (1, 7):
        x = RNG.standard_normal((rows, *shape)).astype(np.float32)
        wanted = model.predict(x)
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(outputs(path, x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_float64(tmp_path):
    pytest.importorskip("onnx", reason=RUNTIME)
    model = book_1_s_extended()
    x = RNG.standard_normal((7, 6))
    found = outputs(to_onnx(model, tmp_path / "net.onnx", dtype="float64"), x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model.predict(x), rtol=1e-12, atol=1e-12)


def test_a_file_is_of_the_weights_after_training_and_replaces_another(tmp_path):
    pytest.importorskip("onnx", reason=RUNTIME)
    x, t = normal(40, 6), RNG.integers(0, 3, 40)
    model = MultiLayerNet(6, [5], 3, rng=0)
    path = to_onnx(model, tmp_path / "net.onnx")
    before = path.read_bytes()
    Trainer(model, SGD(1.0)).fit(x, t, 3, 10, verbose=False)
    to_onnx(model, path)
    assert path.read_bytes() != before
    np.testing.assert_allclose(outputs(path, x), model.predict(x), rtol=1e-5, atol=1e-5)


class Mine(Relu):
    """A class of the reader's: it may compute something else."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda: (Sequential([affine(3, 2), Mine()], SoftmaxWithLoss()),), "layer 2 is a Mine, which cannot"),
        (lambda: (Sequential([Embedding(normal(3, 2))], SoftmaxWithLoss()),), "layer 1 is a Embedding"),
        (lambda: (Sequential([], SoftmaxWithLoss()),), "has no layers"),
        (lambda: (Relu(),), "expected a TwoLayerNet, a MultiLayerNet, a Sequential .*, got "),
        (lambda: (TwoLayerNet,), "expected a TwoLayerNet"),
        (lambda: (TwoLayerNet(2, 3, 2), 3), "expected a path"),
        (lambda: (TwoLayerNet(2, 3, 2), ""), "expected the name of a file"),
        (lambda: (TwoLayerNet(2, 3, 2), "x", (3,)), r"input_shape \(3,\) does not fit|gets 3"),
        (lambda: (TwoLayerNet(2, 3, 2), "x", 3), "input_shape must be"),
        (lambda: (TwoLayerNet(2, 3, 2), "x", (0,)), "input_shape must be"),
        (lambda: (TwoLayerNet(2, 3, 2), "x", None, np.float16), "dtype must be float32 or float64, got float16"),
        (lambda: (TwoLayerNet(2, 3, 2), "x", None, "words"), "dtype must be"),
        (
            lambda: (Sequential([affine(3, 2), affine(3, 2)], SoftmaxWithLoss()),),
            "layer 2, Affine expects rows of 3 numbers, but gets 2",
        ),
        (
            lambda: (Sequential([affine(3, 2), Pooling(2, 2)], SoftmaxWithLoss()),),
            "layer 2, Pooling gets an input of 2 axes, expected images",
        ),
        (
            lambda: (Sequential([Pooling(2, 2, 2, 1)], SoftmaxWithLoss()),),
            "layer 1, Pooling: pad must be 0, got 1",
        ),
        (
            lambda: (
                Sequential([Convolution(normal(2, 3, 3, 3), 0.0), Convolution(normal(2, 3, 3, 3), 0.0)], Relu()),
            ),
            "layer 2, Convolution expects 3 channels, but gets 2",
        ),
        (
            lambda: (Sequential([Convolution(normal(2, 1, 3, 3), 0.0)], Relu()), "x", (1, 2, 2)),
            r"layer 1, Convolution: its window \(3, 3\) does not fit into images of \(2, 2\)",
        ),
        (
            lambda: (Sequential([Pooling(2, 2), batch_normalization(3)], Relu()),),
            "layer 2, BatchNormalization may be for channels or for pixels",
        ),
        (
            lambda: (Sequential([affine(3, 4), batch_normalization(5)], Relu()),),
            "the layers do not fit together",
        ),
        (
            lambda: (Sequential([Affine(np.full((2, 2), 1e300), 0.0)], Relu()),),
            "layer 1, Affine has values that are too large for float32",
        ),
    ],
)
def test_what_cannot_be_written_is_named_and_nothing_is_written(arguments, message, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason=RUNTIME)
    monkeypatch.chdir(tmp_path)
    names = ("path", "input_shape", "dtype")
    model, *rest = arguments()
    with pytest.raises(ValueError, match=message):
        to_onnx(model, **{"path": "x", **dict(zip(names, rest, strict=False))})
    assert not [*tmp_path.iterdir()]


def test_without_onnx_an_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "scratchnet\[onnx\]"'):
        to_onnx(TwoLayerNet(2, 3, 2), tmp_path / "x")
    assert not [*tmp_path.iterdir()]
