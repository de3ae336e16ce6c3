"""What scratchnet's estimators have beyond scikit-learn's, and that their ways of training agree."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip(
    "sklearn", "1.7", reason="scikit-learn is not installed: scratchnet.estimators is not tested"
)

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score
from sklearn.utils.class_weight import compute_sample_weight

from scratchnet import _compute, _mlp_epochs, _mlp_steps
from scratchnet._mlp_engine import Data, Layers, Network
from scratchnet._mlp_losses import ROW_LOSSES
from scratchnet.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, LABELS = load_digits(return_X_y=True)
X, LABELS = X[:150] / 16, LABELS[:150]
SEVERAL = np.column_stack([LABELS > 4, LABELS % 2, LABELS == 3]).astype(int)
NUMBERS = X @ np.linspace(-1, 1, 64)
WEIGHTS = np.random.RandomState(0).uniform(0, 2, len(X)) * (LABELS != 7)
SMALL = dict(hidden_layer_sizes=(12, 7), max_iter=4, batch_size=32, random_state=3)


@pytest.fixture
def engines(monkeypatch):
    """The engines that fits have made; `engines.kind` is what the next one is to be."""
    made = []

    class Made(list):
        kind = None

    made = Made()

    def make(*arguments):
        made.append(made.kind(*arguments) if made.kind else _mlp_steps.make_engine(*arguments))
        return made[-1]

    monkeypatch.setattr(_mlp_epochs, "make_engine", make)
    return made


def arrays_of(estimator):
    normalizations = getattr(estimator, "normalizations_", ())
    kept = [a for n in normalizations for a in (*n.params, n.running_mean, n.running_var)]
    return [*estimator.coefs_, *estimator.intercepts_, *kept]


TRAINED = {
    "softmax": (MLPClassifier, LABELS, {}),
    "logistic": (MLPClassifier, LABELS == 1, dict(activation="tanh")),
    "several labels": (MLPClassifier, SEVERAL, dict(activation="logistic", solver="sgd", alpha=1.0)),
    "identity": (MLPRegressor, NUMBERS, dict(activation="identity")),
    "several numbers": (MLPRegressor, np.column_stack([NUMBERS, -NUMBERS]), dict(alpha=1.0)),
    "dropout": (MLPClassifier, LABELS, dict(dropout=0.3)),
    "batch_norm": (MLPClassifier, LABELS, dict(batch_norm=True, solver="sgd", learning_rate_init=0.1)),
    "both": (MLPRegressor, NUMBERS, dict(batch_norm=True, dropout=0.5, activation="tanh", solver="sgd")),
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind, y, parameters", TRAINED.values(), ids=TRAINED)
def test_whole_steps_train_as_layer_by_layer(kind, y, parameters, dtype, weights, engines):
    found = []
    for engines.kind in (None, Layers):
        found.append(kind(**SMALL, **parameters).fit(X.astype(dtype), y, sample_weight=weights))
    assert [type(engine) for engine in engines] == [_mlp_steps.WholeSteps, Layers]
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found[0].loss_curve_, found[1].loss_curve_, rtol=rtol)
    for a, b in zip(*map(arrays_of, found), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=100 * rtol, atol=100 * rtol)
    np.testing.assert_allclose(found[0].predict(X), found[1].predict(X), rtol=1e3 * rtol)


def test_which_engine_trains(engines):
    MLPClassifier(**SMALL).fit(csr_matrix(X), LABELS)
    MLPClassifier(**SMALL).fit(csr_matrix(X * (np.arange(X.size).reshape(X.shape) % 29 == 0)), LABELS)
    MLPRegressor(**SMALL, loss="poisson").fit(X, LABELS)
    assert [type(engine) for engine in engines] == [_mlp_steps.WholeSteps, Layers, Layers]


def test_sparse_samples_and_masks_that_do_not_fit_at_once(engines, monkeypatch):
    expected = MLPClassifier(**SMALL, dropout=0.2).fit(X, LABELS)
    monkeypatch.setattr(_mlp_steps, "_MAX_DENSE", 70 * 64)  # numbers: two batches
    monkeypatch.setattr(_mlp_steps, "_MAX_MASKS", 1)
    a, b = (MLPClassifier(**SMALL, dropout=0.2).fit(samples, LABELS) for samples in (csr_matrix(X), X))
    assert a.loss_curve_ == b.loss_curve_ == expected.loss_curve_


@pytest.mark.parametrize("output", ROW_LOSSES)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_gradients_are_those_of_the_loss(output, activation):
    rng = np.random.RandomState(5)
    shapes = [(4, 5), (5, 3), (3, 2)]
    weights, biases = ([0.5 * rng.randn(*s) for s in some] for some in (shapes, [s[1:] for s in shapes]))
    network = Network(weights, biases, activation, output)
    x, t, w = rng.randn(6, 4), np.eye(2)[rng.randint(2, size=6)], rng.uniform(0.5, 2, 6)
    for samples in (x, csr_matrix(x)):
        network.loss_and_gradients(samples, t, w, 0.3)
        for p, g in zip(network.params, [g.copy() for g in network.grads], strict=True):
            direction, h = rng.randn(*p.shape), 1e-5
            losses = []
            for step in (h, -2 * h):
                p += step * direction
                losses.append(network.loss_and_gradients(samples, t, w, 0.3))
            p += h * direction
            # the squared error's loss is the mean over the outputs, its gradient that of the sum
            expected = (losses[0] - losses[1]) / (2 * h)
            if output == "identity":
                network.loss_and_gradients(samples, t, w, 0.0)
                decay = sum(0.3 / w.sum() * (p * direction).sum() for q in network.affine if q.W is p)
                expected = 2 * (expected - decay) + decay
            np.testing.assert_allclose((g * direction).sum(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("output", ROW_LOSSES)
@pytest.mark.parametrize("weights", [None, np.random.RandomState(6).uniform(0, 1, 50) * (np.arange(50) > 15)])
def test_gradients_in_blocks_are_those_of_all_rows(output, weights, monkeypatch):
    rng = np.random.RandomState(5)
    network = Network([rng.randn(4, 5), rng.randn(5, 2)], [rng.randn(5), rng.randn(2)], "relu", output)
    data = Data(rng.randn(50, 4), np.eye(2)[rng.randint(2, size=50)], weights)
    loss = network.loss_and_gradients(data.X, data.targets, data.weights, 0.3)
    expected = [g.copy() for g in network.grads]
    at_once = _mlp_steps.gradients_of(network, data, 0.3)
    monkeypatch.setattr("scratchnet._mlp_engine._MIN_ROWS", 7)
    monkeypatch.setattr("scratchnet._mlp_engine._BLOCK", 1)
    in_blocks = _mlp_steps.gradients_of(network, data, 0.3)
    assert isinstance(in_blocks, _mlp_steps.WholeGradients) == (output != "exp")
    for way in (at_once, in_blocks, lambda: network.whole_loss_and_gradients(data, 0.3)):
        for g in network.grads:
            g[...] = np.nan
        np.testing.assert_allclose(way(), loss, rtol=1e-12)
        for g, e in zip(network.grads, expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(network.predict(data.X), network.scores(data.X, False), rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])  # in whole steps, and layer by layer
def test_a_batch_without_weight_changes_nothing(loss):
    settings = SMALL | dict(max_iter=1, loss=loss, shuffle=False, solver="sgd", momentum=0)
    m = MLPRegressor(**settings).fit(X[:64], LABELS[:64], sample_weight=np.arange(64) >= 32)
    other = MLPRegressor(**settings).fit(X[32:64], LABELS[32:64])
    assert m.loss_ == other.loss_ / 2
    assert all(map(np.array_equal, arrays_of(m), arrays_of(other)))


@pytest.mark.thread_unsafe(reason="the dtype of computation is the whole process's")
@pytest.mark.parametrize(
    "parameters", [{}, dict(loss="poisson"), dict(loss="poisson", solver="lbfgs"), dict(dropout=0.2)]
)
def test_the_dtype_is_the_samples_whatever_layers_compute_in(parameters):
    expected = MLPRegressor(**SMALL, **parameters).fit(X, LABELS)
    _compute.choose("float32")  # as `scratchnet run --float32` does
    try:
        found = MLPRegressor(**SMALL, **parameters).fit(X, LABELS)
        assert found.loss_ == expected.loss_ and np.array_equal(found.predict(X), expected.predict(X))
    finally:
        _compute.choose(None)


def test_class_weights_are_sample_weights():
    for weight, y in (("balanced", LABELS), ({3: 5.0, 1: 0.0}, LABELS), ([{1: 2.0, 0: 1.0}] * 3, SEVERAL)):
        a = MLPClassifier(**SMALL, class_weight=weight).fit(X, y, sample_weight=WEIGHTS)
        b = MLPClassifier(**SMALL).fit(X, y, sample_weight=WEIGHTS * compute_sample_weight(weight, y))
        np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-12)
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced").partial_fit(X, LABELS, classes=range(10))
    m = MLPClassifier(**SMALL, class_weight={3: 5.0}).partial_fit(X, LABELS, classes=range(10))
    assert m.loss_ != MLPClassifier(**SMALL).partial_fit(X, LABELS, classes=range(10)).loss_


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_dropout_and_batch_norm_are_repeatable_kept_and_refused():
    state = np.random.get_state()[1].copy()
    a, b = (MLPClassifier(**SMALL, dropout=0.4, batch_norm=True).fit(X, LABELS) for _ in range(2))
    assert a.loss_curve_ == b.loss_curve_ != MLPClassifier(**SMALL, batch_norm=True).fit(X, LABELS).loss_curve_
    assert np.array_equal(np.random.get_state()[1], state)
    again = pickle.loads(pickle.dumps(a))
    assert np.array_equal(a.predict_proba(X), again.predict_proba(X))
    assert a.partial_fit(X, LABELS).loss_ == again.partial_fit(X, LABELS).loss_
    for own in (dict(dropout=0.4), dict(batch_norm=True), dict(callbacks=print), dict(progress=True)):
        with pytest.raises(ValueError, match="solver"):
            MLPClassifier(solver="lbfgs", **own).fit(X, LABELS)
    early = MLPClassifier(**SMALL | dict(max_iter=30), batch_norm=True, early_stopping=True).fit(X, LABELS)
    train = MLPClassifier(**SMALL | dict(max_iter=1 + int(np.argmax(early.validation_scores_))), batch_norm=True)
    train.set_params(early_stopping=True).fit(X, LABELS)  # ends at the other's best epoch
    assert np.array_equal(early.predict_proba(X), train.predict_proba(X))


def test_batch_norm_and_dropout_learn():
    m = MLPClassifier(50, max_iter=60, random_state=0, dropout=0.2, batch_norm=True, learning_rate_init=0.01)
    assert m.fit(X[:100], LABELS[:100]).score(X[100:], LABELS[100:]) > 0.85


def test_labels_are_held_out_by_their_names():
    names = np.array([f"class {k}" for k in range(10)], object)[LABELS]
    a, b = (MLPClassifier(**SMALL, early_stopping=True).fit(X, y) for y in (names, LABELS))
    assert a.validation_scores_ == b.validation_scores_
    assert a.predict(X).tolist() == [f"class {k}" for k in b.predict(X)]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_validation_scores_are_scikit_learn_s(weights):
    m = MLPRegressor(**SMALL).fit(X, np.column_stack([NUMBERS, -NUMBERS]))
    good = m.predict(X)
    for targets in (
        np.column_stack([NUMBERS, NUMBERS]),
        np.column_stack([NUMBERS, np.ones(len(X))]),
        np.column_stack([good[:, 0], LABELS]),
        good,
    ):
        expected = r2_score(targets, good, sample_weight=weights)
        assert m._validation_score(X, targets, weights) == pytest.approx(expected, rel=1e-12)


def test_callbacks_see_every_epoch_and_may_stop(capsys):
    seen = []

    def note(m):
        seen.append((m.n_iter_, len(m.loss_curve_), m.predict(X[:1])))
        return m.n_iter_ == 3

    m = MLPClassifier(**SMALL, callbacks=note).fit(X, LABELS)
    assert m.n_iter_ == 3 and [s[:2] for s in seen] == [(1, 1), (2, 2), (3, 3)]
    assert clone(m).callbacks is note
    m = MLPRegressor(**SMALL, callbacks=[lambda m: None, lambda m: m.loss_ < 1e9], verbose=True)
    assert m.fit(X, NUMBERS).n_iter_ == 1 and "Iteration 1, loss" in capsys.readouterr().out


def test_progress_is_a_bar(capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed: the bar is not shown")
    MLPRegressor(**SMALL, progress=True, verbose=True).fit(X, NUMBERS)
    said = capsys.readouterr()
    assert "4/4" in said.err and "iteration" in said.err and not said.out


def test_interrupted_fit_is_kept():
    def interrupt(m):
        if m.n_iter_ == 2:
            raise KeyboardInterrupt

    m = MLPClassifier(**SMALL, callbacks=interrupt)
    with pytest.warns(UserWarning, match="interrupted by user"):
        m.fit(X, LABELS)
    expected = MLPClassifier(**SMALL | dict(max_iter=2)).fit(X, LABELS)
    assert m.loss_curve_ == expected.loss_curve_ and np.array_equal(m.predict_proba(X), expected.predict_proba(X))


def test_a_parameter_of_a_later_scikit_learn_is_refused_unless_it_has_its_default():
    class Later(MLPRegressor):
        def __init__(self, optimism=None):
            MLPRegressor.__init__(self, **SMALL)
            self.optimism = optimism

    Later._parameter_constraints = {}
    Later().fit(X, NUMBERS)
    with pytest.raises(ValueError, match=r"does not know optimism.*leave it at None"):
        Later(1).fit(X, NUMBERS)


def test_without_scikit_learn_or_with_an_old_one_an_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "scratchnet._mlp_parameters")
    monkeypatch.setattr(sklearn, "__version__", "1.6.2")
    with pytest.raises(ImportError, match=r'1\.7 or newer, found 1\.6\.2: pip install -U "scratchnet\[sklearn\]"'):
        __import__("scratchnet._mlp_parameters")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'1\.7 or newer: pip install -U "scratchnet\[sklearn\]"'):
        __import__("scratchnet._mlp_parameters")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_that_are_all_zero_are_refused(solver):
    for given in ({"class_weight": {0: 0, 1: 0}}, {"class_weight": {1: 0}}):
        classifier = MLPClassifier(**SMALL, solver=solver, **given)
        with pytest.raises(ValueError, match="at least one non-zero"):
            classifier.fit(X, LABELS > 4, sample_weight=LABELS > 4)


def test_weights_of_rows_that_are_all_held_out_or_all_kept_are_refused():
    weights = np.eye(len(X))[0]
    with pytest.raises(ValueError, match="at least one non-zero"):
        MLPRegressor(**SMALL, early_stopping=True).fit(X, NUMBERS, sample_weight=weights)


@pytest.mark.parametrize("before, after", [(True, False), (False, True)])
def test_a_fit_that_goes_on_needs_the_same_batch_norm(before, after):
    regressor = MLPRegressor(**SMALL, batch_norm=before, warm_start=True).fit(X, NUMBERS)
    with pytest.raises(ValueError, match=f"batch_norm is {after}, but .* has {before}"):
        regressor.set_params(batch_norm=after).fit(X, NUMBERS)


def test_a_fit_that_goes_on_needs_the_same_outputs():
    for loss in ("squared_error", "poisson"):
        regressor = MLPRegressor(**SMALL, loss=loss).fit(X, abs(np.column_stack([NUMBERS, NUMBERS])))
        with pytest.raises(ValueError, match="y has 1 outputs, but the network that is trained on has 2"):
            regressor.partial_fit(X, abs(NUMBERS))
        assert regressor.n_outputs_ == 2


@pytest.mark.parametrize("callbacks", [[3], [print, None], [dict]])
def test_callbacks_that_are_no_functions_are_refused(callbacks):
    with pytest.raises(ValueError, match="callbacks must be a function or a list of functions"):
        MLPRegressor(**SMALL, callbacks=callbacks).fit(X, NUMBERS)
