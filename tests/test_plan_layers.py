"""Whole steps of every kind of layer, loss and optimizer: bit for bit what the layers' own code gives."""

from __future__ import annotations

import numpy as np
import pytest

import scratchnet
from scratchnet import models
from scratchnet.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    IdentityWithLoss,
    Pooling,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
    Tanh,
)
from scratchnet.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from scratchnet.trainer import Trainer

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

ROWS, OUTPUTS = 23, 3
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LOSSES = {"softmax": SoftmaxWithLoss, "sigmoid": SigmoidWithLoss, "identity": IdentityWithLoss}


def randn(*shape, dtype=np.float64, seed=0):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * 0.4).astype(dtype)


def affine(D, M, dtype, seed=0):
    return Affine(randn(D, M, dtype=dtype, seed=seed), randn(M, dtype=dtype, seed=seed))


def norm(size, dtype):
    return BatchNormalization(1 + randn(size, dtype=dtype), randn(size, dtype=dtype, seed=1), momentum=0.7)


def conv(M, C, P, Q, dtype, **settings):
    return Convolution(randn(M, C, P, Q, dtype=dtype), randn(M, dtype=dtype), **settings)


# The layers between the samples, of this shape, and the last Affine layer
CHAINS = {
    "affine alone": ((5,), lambda d: []),
    "tanh": ((5,), lambda d: [affine(5, 7, d), Tanh()]),
    "two activations in turn": ((5,), lambda d: [affine(5, 7, d), Relu(), Sigmoid(), Tanh()]),
    "an activation first": ((5,), lambda d: [Relu(), affine(5, 7, d), Sigmoid()]),
    "dropout": ((5,), lambda d: [affine(5, 7, d), Relu(), Dropout(0.3)]),
    "dropout everywhere": ((5,), lambda d: [Dropout(0.1), affine(5, 7, d), Dropout(0.5), Tanh(), Dropout(0.2)]),
    "batch normalization": ((5,), lambda d: [affine(5, 7, d), norm(7, d), Relu()]),
    "batch normalization first": ((5,), lambda d: [norm(5, d), affine(5, 7, d), Tanh()]),
    "flatten": ((2, 3), lambda d: [Flatten(), affine(6, 7, d), Sigmoid()]),
    "convolution": ((2, 5, 4), lambda d: [conv(3, 2, 2, 3, d), Relu(), Flatten()]),
    "convolution, stride and pad": ((1, 6, 5), lambda d: [conv(2, 1, 3, 3, d, stride=2, pad=1), Flatten()]),
    "two convolutions": ((2, 5, 5), lambda d: [conv(3, 2, 2, 2, d), Relu(), conv(2, 3, 3, 2, d), Flatten()]),
    "pooling": ((2, 6, 5), lambda d: [conv(3, 2, 3, 2, d), Relu(), Pooling(2, 2), Flatten()]),
    "pooling first, overlapping": ((2, 5, 6), lambda d: [Pooling(3, 2, stride=1), Flatten()]),
    "normalized channels": ((2, 5, 4), lambda d: [conv(3, 2, 2, 2, d), norm(3, d), Relu(), Flatten()]),
    "normalized pixels": ((2, 3, 4), lambda d: [norm(24, d), Relu(), Flatten()]),
    "all of them": (
        (2, 6, 6),
        lambda d: [
            *(conv(3, 2, 3, 3, d, pad=1), norm(3, d), Relu(), Pooling(2, 2), Dropout(0.2), Flatten()),
            *(affine(27, 6, d), norm(6, d), Tanh(), Dropout(0.4)),
        ],
    ),
}  # fmt: skip


def network(chain, dtype, loss="softmax", decay=0.0):
    shape, make = CHAINS[chain]
    layers, x = make(dtype), np.ones((2, *shape), dtype)
    for layer in layers:
        x = layer.forward(x)
    for layer in layers:  # as new
        if isinstance(layer, BatchNormalization):
            layer.running_mean[...] = layer.running_var[...] = 0
    return models.Sequential([*layers, affine(x.shape[1], OUTPUTS, dtype, 5)], LOSSES[loss](), weight_decay=decay)


def data(chain, loss="softmax", dtype=np.float64):
    x = np.random.default_rng(1).standard_normal((ROWS, *CHAINS[chain][0])) * 3
    t = {
        "softmax": np.arange(ROWS) % OUTPUTS,
        "sigmoid": np.random.default_rng(2).integers(0, 2, (ROWS, OUTPUTS)),
        "identity": np.random.default_rng(3).standard_normal((ROWS, OUTPUTS)),
    }[loss]
    return x.astype(dtype), t


def state_of(model, trainer):
    arrays = [*model.params, *model.grads]
    arrays += [getattr(layer, name) for layer in model.layers for name in getattr(layer, "buffers", ())]
    return [a.tobytes() for a in arrays], trainer.loss_list, trainer.history, np.random.rand()


def both_ways(make, x, t, optimizer=lambda: SGD(0.1), batch_size=5, **options):
    """Train by whole steps and layer by layer: the same bits, losses and random stream."""
    states = []
    for compile, engine in ((None, "plan"), (False, "layers")):
        model = make()
        trainer = Trainer(model, optimizer(), compile=compile)
        np.random.seed(8)
        trainer.fit(x, t, 3, batch_size, eval_interval=2, verbose=False, **options)
        assert trainer.engine == engine
        states.append(state_of(model, trainer))
    assert states[0] == states[1]
    return states[0]


@pytest.mark.parametrize("chain", CHAINS)
@DTYPES
def test_every_kind_of_layer(chain, dtype):
    both_ways(lambda: network(chain, dtype), *data(chain, dtype=dtype))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("decay, max_grad", [(0.0, 0.5), (0.3, None), (0.3, 0.5)])
@DTYPES
def test_every_loss_with_decay_and_clipping(loss, decay, max_grad, dtype):
    x, t = data("all of them", loss)
    both_ways(lambda: network("all of them", dtype, loss, decay), x, t, max_grad=max_grad, validation=(x, t))


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam])
@DTYPES
def test_every_optimizer(optimizer, dtype):
    both_ways(lambda: network("all of them", dtype, decay=0.1), *data("all of them"), lambda: optimizer(0.02))


@pytest.mark.parametrize("batch_size", [1, 2, ROWS])
@pytest.mark.parametrize("rng", [None, 4])
def test_every_batch_size_and_stream(batch_size, rng):
    both_ways(lambda: network("all of them", np.float32), *data("all of them"), batch_size=batch_size, rng=rng)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("options", [{"drop_last": False}, {"drop_last": False, "max_grad": 0.1}, {}])
@DTYPES
def test_weights_of_the_samples_and_a_smaller_last_batch(loss, options, dtype):
    x, t = data("all of them", loss)
    weights = np.arange(ROWS) % 4 / 3
    weights[:6] = 0  # a whole batch of them, at times
    network_ = lambda: network("all of them", dtype, loss, decay=0.1)  # noqa: E731
    _, _, history, _ = both_ways(network_, x, t, sample_weight=weights, **options)
    assert history != both_ways(network_, x, t, **options)[2]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 22, ROWS])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_a_smaller_last_batch_of_every_size(batch_size, optimizer):
    x, t = data("convolution")
    both_ways(lambda: network("convolution", np.float32), x, t, optimizer, batch_size, drop_last=False)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("layout", ["plain", "every other", "Fortran"])
def test_images_of_any_dtype_are_gathered(dtype, layout):
    x, t = data("pooling", dtype=dtype)
    x = {
        "plain": lambda: x,
        "every other": lambda: np.repeat(x, 2, axis=0)[::2],
        "Fortran": lambda: np.asfortranarray(x),
    }[layout]()
    if layout == "Fortran":  # C cannot gather it, and a data set is never copied
        trainer = Trainer(network("pooling", np.float32), SGD(0.1))
        trainer.fit(x, t, 1, 5, verbose=False)
        assert trainer.engine == "layers"
    else:
        both_ways(lambda: network("pooling", np.float32), x, t)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_targets_of_any_dtype_are_gathered(dtype):
    x, t = data("tanh", "identity")
    both_ways(lambda: network("tanh", np.float32, "identity"), x, (t * 3).astype(dtype))


def test_one_score_and_labels_in_a_row_or_a_column():
    x, t = data("tanh")
    for labels in (t % 2, (t % 2)[:, None], (t % 2).astype(float)):
        both_ways(lambda: models.MultiLayerNet(5, [4], 1, rng=0, loss="sigmoid", weight_decay=0.1), x, labels)


@pytest.mark.parametrize("drop_last", [True, False])
def test_many_masks_are_drawn_in_pieces(monkeypatch, drop_last):
    def trained():
        x, t = data("dropout everywhere")
        return both_ways(lambda: network("dropout everywhere", np.float64), x, t, drop_last=drop_last)

    expected = trained()
    monkeypatch.setattr(scratchnet.plan.Plan, "MAX_MASK_BYTES", 1)
    assert trained() == expected


CHANGES = {
    "nothing": lambda model: None,
    "the dropout ratio": lambda model: setattr(model.layers[4], "dropout_ratio", 0.6),
    "the momentum": lambda model: setattr(model.layers[1], "momentum", 0.2),
    "the decay": lambda model: setattr(model, "weight_decay", 0.5),
    "the statistics' array": lambda model: setattr(model.layers[1], "running_mean", np.ones(3)),
    "the statistics": lambda model: model.layers[1].running_mean.fill(2),
    "the pad": lambda model: (setattr(model.layers[0], "pad", 2), setattr(model.layers[3], "stride", 3)),
    "a layer": lambda model: model.layers.__setitem__(2, Sigmoid()),
    "a layer that has no plan": lambda model: model.layers.insert(7, Softmax()),
    "a patched forward": lambda model: setattr(
        model.layers[8], "forward", lambda x: Tanh.forward(model.layers[8], 2 * x)
    ),
    "delta": lambda model: setattr(model.loss_layer, "delta", 0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_callback_changes_counts_as_in_the_layers(change):
    x, t = data("all of them")
    states = []
    for compile in (None, False):
        model = network("all of them", np.float64, decay=0.1)
        trainer = Trainer(model, Adam(0.01), compile=compile)
        np.random.seed(8)
        trainer.fit(
            x, t, 4, 5, verbose=False, callbacks=lambda tr: tr.current_epoch == 2 and change(tr.model) and None
        )
        states.append(state_of(model, trainer))
    assert states[0] == states[1]


NO_PLAN = {
    "a layer of another kind": lambda: [affine(5, 4, np.float64), Softmax(), affine(4, 3, np.float64)],
    "statistics of another dtype": lambda: [
        BatchNormalization(np.ones(5), np.zeros(5), running_mean=np.zeros(5, np.float32)),
        affine(5, 3, np.float64),
    ],
    "float16": lambda: [affine(5, 3, np.float16)],
    "two dtypes": lambda: [affine(5, 4, np.float64), affine(4, 3, np.float32)],
    "the loss after an activation": lambda: [affine(5, 3, np.float64), Relu()],
    "a shared layer": lambda: [shared := affine(5, 5, np.float64), shared, affine(5, 3, np.float64)],
    "an activation twice": lambda: [
        relu := Relu(),
        affine(5, 5, np.float64),
        relu,
        affine(5, 3, np.float64),
    ],
    "a bias that is broadcast": lambda: [Affine(randn(5, 3), np.zeros((1, 3)))],
}


@pytest.mark.parametrize("make", NO_PLAN.values(), ids=NO_PLAN)
def test_other_chains_are_trained_layer_by_layer(make):
    x, t = data("tanh")
    trainer = Trainer(models.Sequential(make(), SoftmaxWithLoss()), SGD(0.1))
    trainer.fit(x, t, 2, 5, verbose=False)
    assert trainer.engine == "layers" and len(trainer.history) == 2


@pytest.mark.parametrize("first", [Sigmoid, Tanh, lambda: Dropout(0.2)])
def test_what_computes_in_the_samples_dtype_is_not_compiled_for_another(first):
    x, t = data("tanh")
    for dtype, engine in ((np.float32, "layers"), (np.float64, "plan")):
        model = models.Sequential([Relu(), first(), affine(5, 3, dtype)], SoftmaxWithLoss())
        trainer = Trainer(model, SGD(0.1))
        trainer.fit(x, t, 1, 5, verbose=False)
        assert trainer.engine == engine


def test_a_reader_s_own_convolutional_network_is_compiled_when_asked():
    from chain_model import Chain

    x, t = data("pooling")
    states = []
    for compile in (True, False):
        net = network("pooling", np.float64)
        model = Chain(net.layers, net.loss_layer)
        trainer = Trainer(model, Adam(0.01), compile=compile)
        trainer.fit(x, t, 3, 5, verbose=False, rng=0)
        states.append(([p.tobytes() for p in model.params], trainer.history))
        assert trainer.engine == ("plan" if compile else "layers")
    assert states[0] == states[1]
    for chain in ("dropout", "batch normalization"):  # drawn at random; carried over to the next step
        net = network(chain, np.float64)
        with pytest.raises(ValueError, match="compile=True, but"):
            Trainer(Chain(net.layers, net.loss_layer), SGD(0.1), compile=True).fit(*data(chain), 1, 5)


def test_two_fits_and_other_data_in_the_second():
    states = []
    for compile in (None, False):
        model = network("all of them", np.float32)
        trainer = Trainer(model, Adam(0.01), compile=compile)
        np.random.seed(8)
        for rows in (ROWS, ROWS - 4):
            x, t = data("all of them")
            trainer.fit(x[:rows], t[:rows], 2, 5, verbose=False)
        states.append(state_of(model, trainer))
    assert states[0] == states[1]
