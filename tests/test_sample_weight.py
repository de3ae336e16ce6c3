"""Weights of the samples in the losses, and a fit whose last batch is smaller."""

from __future__ import annotations

import numpy as np
import pytest
from chain_model import Chain

from scratchnet import SGD, Trainer, TwoLayerNet
from scratchnet.layers import Affine, IdentityWithLoss, Sigmoid, SigmoidWithLoss, SoftmaxWithLoss
from scratchnet.plan import Job

pytestmark = pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")

LOSS = 1e-12  # relative, of float64: what some epochs of sums in another order may differ by
ROWS = 23
X = np.random.default_rng(0).standard_normal((ROWS, 4))
SCORES = np.random.default_rng(1).standard_normal((ROWS, 3)) * 2
W = np.random.default_rng(2).random(ROWS) * (np.arange(ROWS) % 5 > 0)
TARGETS = {
    SoftmaxWithLoss: np.arange(ROWS) % 3,
    SigmoidWithLoss: np.random.default_rng(3).integers(0, 2, (ROWS, 3)),
    IdentityWithLoss: np.random.default_rng(4).standard_normal((ROWS, 3)),
}
LOSSES = pytest.mark.parametrize("loss", TARGETS)


@LOSSES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_is_the_mean_of_the_samples_by_their_weights(loss, dtype):
    layer, t, scores = loss(), TARGETS[loss], SCORES.astype(dtype)
    each = [layer.forward(scores[i : i + 1], t[i : i + 1]) for i in range(ROWS)]
    found = layer.forward(scores, t, sample_weight=W)
    assert isinstance(found, float)
    assert found == pytest.approx(np.average(each, weights=W), rel=1e-6 if dtype == np.float32 else LOSS)
    dx = layer.backward()
    assert dx.dtype == dtype and not dx[W == 0].any() and dx[W > 0].all(axis=1).any()
    for i in np.flatnonzero(W)[:4]:
        layer.forward(scores[i : i + 1], t[i : i + 1])
        close = 2e-6 if dtype == np.float32 else LOSS
        np.testing.assert_allclose(dx[i], layer.backward()[0] * W[i] / W.sum(), rtol=close)


@LOSSES
def test_the_gradient_is_that_of_the_loss(loss):
    layer, t, step = loss(), TARGETS[loss], 1e-6
    layer.delta = 0.0
    layer.forward(SCORES, t, sample_weight=W)
    dx = layer.backward(2.0)
    for i, j in ((1, 0), (7, 2), (5, 1)):
        moved = SCORES.copy()
        moved[i, j] += step
        above = layer.forward(moved, t, sample_weight=W)
        moved[i, j] -= 2 * step
        below = layer.forward(moved, t, sample_weight=W)
        assert dx[i, j] == pytest.approx((above - below) / step, rel=1e-5, abs=1e-8)


@LOSSES
def test_weights_that_are_all_zero_and_samples_of_none(loss):
    layer, t = loss(), TARGETS[loss]
    assert layer.forward(SCORES, t, sample_weight=np.zeros(ROWS)) == 0.0
    assert not layer.backward().any()
    assert layer.forward(SCORES[:0], t[:0], sample_weight=[]) == 0.0
    assert layer.backward().shape == (0, 3)


@LOSSES
def test_a_single_sample_with_a_weight(loss):
    layer, single = loss(), SCORES[0, :1] if loss is SigmoidWithLoss else SCORES[0]
    t = TARGETS[loss][0] if loss is not SigmoidWithLoss else [1]
    expected = layer.forward(single, t), layer.backward()
    assert layer.forward(single, t, sample_weight=[3.0]) == pytest.approx(expected[0], rel=LOSS)
    np.testing.assert_allclose(layer.backward(), expected[1], rtol=LOSS)


@LOSSES
def test_weights_are_forgotten_by_the_next_forward(loss):
    layer, t = loss(), TARGETS[loss]
    expected = layer.forward(SCORES, t), layer.backward()
    layer.forward(SCORES, t, sample_weight=W)
    assert layer.forward(SCORES, t) == expected[0]
    assert np.array_equal(layer.backward(), expected[1])


@LOSSES
@pytest.mark.parametrize(
    "weights, said",
    [
        (W[:-1], r"\(22,\), expected \(23,\)"),
        (W[:, None], r"\(23, 1\), expected \(23,\)"),
        (-W, r"sample_weight\[1\] is -0.* expected a finite number of 0 or more"),
        (np.where(W > 0, W, np.nan), r"sample_weight\[0\] is nan"),
        (W + np.inf, r"sample_weight\[0\] is inf"),
        (["a"] * ROWS, "sample_weight"),
    ],
)
def test_bad_weights_are_refused(loss, weights, said):
    with pytest.raises(ValueError, match=f"sample_weight.*{said}" if "weight" not in said else said):
        loss().forward(SCORES, TARGETS[loss], sample_weight=weights)


def fitted(t, x=X, max_epoch=3, batch_size=5, compile=None, **options):
    trainer = Trainer(TwoLayerNet(4, 5, 3, 0.5, rng=0, dtype=np.float64), SGD(0.5), compile=compile)
    np.random.seed(1)
    trainer.fit(x, t, max_epoch, batch_size, verbose=False, **options)
    return trainer


@pytest.mark.parametrize("compile", [None, False])
def test_a_whole_weight_counts_as_so_many_samples(compile):
    t, counts = TARGETS[SoftmaxWithLoss], np.arange(ROWS) % 4
    weighted = fitted(t, batch_size=ROWS, sample_weight=counts, compile=compile)
    repeated = fitted(np.repeat(t, counts), np.repeat(X, counts, axis=0), batch_size=counts.sum(), compile=compile)
    for ours, theirs in zip(weighted.model.params, repeated.model.params, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert weighted.loss_list == pytest.approx(repeated.loss_list, rel=LOSS)


def test_equal_weights_change_nothing_but_rounding():
    t = TARGETS[SoftmaxWithLoss]
    assert fitted(t, sample_weight=np.full(ROWS, 3)).loss_list == pytest.approx(fitted(t).loss_list, rel=LOSS)


@pytest.mark.parametrize("compile", [None, False])
@pytest.mark.parametrize("batch_size, steps", [(5, 5), (8, 3), (22, 2), (ROWS, 1)])
def test_an_epoch_with_a_smaller_last_batch_has_every_sample(batch_size, steps, compile):
    """At a learning rate of 0 its loss is that of the data."""
    t = TARGETS[SoftmaxWithLoss]
    trainer = Trainer(TwoLayerNet(4, 5, 3, 0.5, rng=0, dtype=np.float64), SGD(0.0), compile=compile)
    trainer.fit(X, t, 4, batch_size, eval_interval=1, verbose=False, drop_last=False)
    assert len(trainer.loss_list) == 4 * steps
    whole = pytest.approx(trainer.model.forward(X, t), rel=LOSS)
    assert [entry["loss"] for entry in trainer.history] == [whole] * 4


def losses_of_ones_own_model(compile):
    draw = np.random.default_rng(0).standard_normal
    layers = [Affine(draw((4, 5)), np.zeros(5)), Sigmoid(), Affine(draw((5, 3)), np.zeros(3))]
    trainer = Trainer(Chain(layers, SoftmaxWithLoss()), SGD(0.5), compile=compile)
    np.random.seed(1)
    trainer.fit(X, TARGETS[SoftmaxWithLoss], 5, 6, eval_interval=1, verbose=False, drop_last=False)
    assert trainer.engine == ("plan" if compile else "layers") and len(trainer.loss_list) == 20
    return trainer.loss_list


def test_a_model_of_ones_own_with_a_smaller_last_batch():
    assert losses_of_ones_own_model(True) == losses_of_ones_own_model(False)


def test_a_loss_that_is_no_number_names_a_row_of_the_smaller_batch():
    x = X.copy()
    x[17] = np.inf
    with pytest.warns(RuntimeWarning, match="in row 17"):
        fitted(TARGETS[SoftmaxWithLoss], x, drop_last=False, batch_size=4, max_epoch=1)


class Plain(Chain):
    def forward(self, x, t):
        return super().forward(x, t)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"sample_weight": W[:3]}, r"fit: sample_weight has shape \(3,\), expected \(23,\)"),
        ({"sample_weight": -W}, r"fit: sample_weight\[1\] is -"),
        ({"sample_weight": 0 * W}, "0 for every sample"),
        ({"sample_weight": "balanced"}, "fit: sample_weight"),
        ({"drop_last": "no"}, "drop_last must be True or False, got 'no'"),
    ],
)
def test_bad_arguments_of_fit_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        fitted(TARGETS[SoftmaxWithLoss], **options)


def test_a_weight_beyond_float32_is_refused():
    trainer = Trainer(TwoLayerNet(4, 5, 3, rng=0), SGD())
    with pytest.raises(ValueError, match=r"sample_weight\[2\] is inf"):
        trainer.fit(X, TARGETS[SoftmaxWithLoss], 1, 5, verbose=False, sample_weight=np.eye(ROWS)[2] * 1e39)


@pytest.mark.parametrize("rows, size, epoch", [(23, 5, 23), (20, 5, 20), (7, 3, 7), (6, 6, 6)])
def test_batches_of_what_is_left_of_some_epochs(rows, size, epoch):
    job = Job(None, None, np.empty(rows), None, size, None, None, epoch)
    of_epoch = [size] * (epoch // size) + [epoch % size] * (epoch % size > 0)
    for made in range(len(of_epoch)):
        left = of_epoch[made:] + 2 * of_epoch
        for steps in range(1, len(left) + 2):
            assert job.batches(sum(left), steps) == left[:steps]


def test_the_axis_of_a_picture_knows_the_smaller_batch():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing is drawn")
    trainer = fitted(TARGETS[SoftmaxWithLoss], drop_last=False, eval_interval=20)
    assert trainer.plot().get_xlabel() == "Epochs"


def test_a_model_that_takes_no_weights_is_named():
    model = Plain([Affine(np.ones((4, 3)), np.zeros(3))], SoftmaxWithLoss())
    with pytest.raises(ValueError, match=r"forward\(x, t, sample_weight=...\), which Plain does not accept"):
        Trainer(model, SGD()).fit(X, TARGETS[SoftmaxWithLoss], 1, 5, verbose=False, sample_weight=W)


def test_a_run_goes_on_only_with_the_same_last_batch(tmp_path):
    t = TARGETS[SoftmaxWithLoss]
    fitted(t, max_epoch=2, drop_last=False, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="drop_last is True, but the run of the checkpoint has False"):
        fitted(t, checkpoint=tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="has_weights is True, but the run of the checkpoint has False"):
        fitted(t, drop_last=False, sample_weight=W, checkpoint=tmp_path / "run", resume=True)
    resumed = fitted(t, max_epoch=4, drop_last=False, checkpoint=tmp_path / "run", resume=True)
    whole = fitted(t, max_epoch=4, drop_last=False)
    assert resumed.loss_list == whole.loss_list and resumed.history == whole.history
