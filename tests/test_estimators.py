"""scratchnet's MLPClassifier and MLPRegressor beside scikit-learn's: the same losses and predictions."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip(
    "sklearn", "1.7", reason="scikit-learn is not installed: its estimators are not compared"
)

from scipy.sparse import csc_matrix, csr_matrix
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from scratchnet import estimators as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = dict(hidden_layer_sizes=(12, 7), max_iter=6, batch_size=32)
DIGITS, LABELS = load_digits(return_X_y=True)
X, LABELS = DIGITS[:150] / 16, LABELS[:150]  # the last batch of 32 has 22 rows
NAMES = np.array([f"class {k}" for k in range(10)], object)[LABELS]
SEVERAL = np.column_stack([LABELS > 4, LABELS % 2, LABELS == 3]).astype(int)
NUMBERS = X @ np.linspace(-1, 1, 64) + 0.1 * LABELS
WEIGHTS = np.random.RandomState(0).uniform(0, 2, len(X)) * (LABELS != 7)

CLASSIFIERS = {
    "relu": dict(),
    "identity": dict(activation="identity"),
    "logistic": dict(activation="logistic"),
    "tanh": dict(activation="tanh"),
    "no hidden layer": dict(hidden_layer_sizes=()),
    "batch of one": dict(batch_size=1, max_iter=2),
    "one batch": dict(batch_size="auto"),
    "not shuffled": dict(shuffle=False),
    "no penalty": dict(alpha=0),
    "large penalty": dict(alpha=10.0),
    "betas": dict(beta_1=0.5, beta_2=0.9, epsilon=1e-3, learning_rate_init=0.01),
    "sgd": dict(solver="sgd", learning_rate_init=0.1),
    "sgd without momentum": dict(solver="sgd", learning_rate_init=0.1, momentum=0),
    "sgd, momentum of 1": dict(solver="sgd", learning_rate_init=0.01, momentum=1),
    "momentum": dict(solver="sgd", nesterovs_momentum=False, learning_rate_init=0.1),
    "invscaling": dict(solver="sgd", learning_rate="invscaling", learning_rate_init=1.0, power_t=0.3),
    "adaptive": dict(solver="sgd", learning_rate="adaptive", tol=1e6, max_iter=100, n_iter_no_change=2),
    "early stopping": dict(early_stopping=True, validation_fraction=0.3, max_iter=15, n_iter_no_change=3),
    "early stopping, adaptive": dict(early_stopping=True, solver="sgd", learning_rate="adaptive", tol=1.0),
    "stops": dict(tol=0.1, n_iter_no_change=2, max_iter=60),
    "lbfgs": dict(solver="lbfgs"),
    "lbfgs, few calls": dict(solver="lbfgs", max_fun=5),
}
TARGETS = {"names": NAMES, "two": NAMES == "class 3", "several": SEVERAL, "one column": LABELS[:, None]}


def both(name, *, seed=3, **parameters):
    """Our estimator and theirs, with streams in the same state."""
    return [
        getattr(module, name)(random_state=np.random.RandomState(seed), **SMALL | parameters)
        for module in (ours, theirs)
    ]


def assert_same(a, b, rtol=1e-9):
    """That two fitted estimators went the same way."""
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(a, name) == getattr(b, name), name
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert hasattr(a, name) == hasattr(b, name), name
        if getattr(b, name, None) is not None:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, err_msg=name)
        else:
            assert getattr(a, name, None) is None, name
    for name in ("coefs_", "intercepts_"):
        assert [w.dtype for w in getattr(a, name)] == [w.dtype for w in getattr(b, name)]
        for mine, other in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e4 * rtol, atol=1e3 * rtol, err_msg=name)
    if isinstance(a.random_state, np.random.RandomState):
        assert a.random_state.randint(1 << 30) == b.random_state.randint(1 << 30)


@pytest.mark.parametrize("parameters", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifier_trains_as_scikit_learn_s(parameters):
    y = LABELS if parameters.get("early_stopping") else NAMES  # before 1.9 theirs fails with both
    a, b = (m.fit(X, y) for m in both("MLPClassifier", **parameters))
    assert_same(a, b)
    assert np.array_equal(a.classes_, b.classes_) and np.array_equal(a.predict(X), b.predict(X))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)
    assert a.score(X, y) == b.score(X, y)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_kinds_of_labels(y, weights, early):
    y = LABELS % 4 if early and y is NAMES else y
    a, b = (m.fit(X, y, sample_weight=weights) for m in both("MLPClassifier", early_stopping=early))
    assert_same(a, b)
    mine, other = a.predict(X), b.predict(X)
    assert mine.dtype == other.dtype and np.array_equal(mine, other)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(a.predict_log_proba(X), b.predict_log_proba(X), rtol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize(
    "y, parameters",
    [
        (NUMBERS, dict()),
        (LABELS, dict(solver="sgd")),
        (NUMBERS, dict(early_stopping=True)),
        (np.column_stack([NUMBERS, NUMBERS**2]), dict()),
        (np.column_stack([NUMBERS, NUMBERS**2]), dict(early_stopping=True)),
        (np.abs(NUMBERS).round(), dict(loss="poisson")),
        (NUMBERS, dict(solver="lbfgs")),
    ],
)
def test_regressor_trains_as_scikit_learn_s(y, parameters, weights):
    a, b = (m.fit(X, y, sample_weight=weights) for m in both("MLPRegressor", **parameters))
    assert_same(a, b)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-6)
    assert np.isclose(a.score(X, y), b.score(X, y))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32(solver):
    """Scikit-learn sums a batch's losses in float32: they are compared with its float64 ones more closely."""
    single = X.astype(np.float32)
    a, b = (m.fit(single, LABELS) for m in both("MLPClassifier", solver=solver))
    assert_same(a, b, 1e-5)
    double = both("MLPClassifier", solver=solver)[1].fit(X, LABELS)
    np.testing.assert_allclose(a.loss_, double.loss_, rtol=1e-6)
    regressor = both("MLPRegressor", solver=solver)[0].fit(single, NUMBERS)
    expected = np.float64 if solver == "lbfgs" else np.float32
    assert regressor.predict(single).dtype == expected and regressor.predict(X).dtype == np.float64


def test_initial_weights_are_the_same():
    for a, b in (both("MLPRegressor", activation=activation, solver="sgd") for activation in ("relu", "logistic")):
        for m in (a, b):
            m.set_params(learning_rate_init=1e-300).fit(X, NUMBERS)
        assert all(map(np.array_equal, a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_))


@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix])
@pytest.mark.parametrize("density", [1.0, 0.04])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_samples(kind, density, solver):
    samples = X * (np.random.RandomState(1).random_sample(X.shape) < density)
    a, b = (m.fit(kind(samples), LABELS) for m in both("MLPClassifier", solver=solver))
    assert_same(a, b)
    assert np.array_equal(a.predict(kind(samples)), a.predict(samples))
    assert_same(
        clone(a).set_params(random_state=3).fit(samples, LABELS),
        clone(b).set_params(random_state=3).fit(samples, LABELS),
    )


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_warm_start_and_pickles(name, solver):
    a, b = both(name, solver=solver)
    classes = {"classes": range(10)} if name == "MLPClassifier" else {}
    for m in (a, b):
        m.partial_fit(X[:60], LABELS[:60], **classes).partial_fit(X[60:], LABELS[60:])
    assert_same(a, b)
    a, b = (pickle.loads(pickle.dumps(m)).partial_fit(X, LABELS) for m in (a, b))
    a.coefs_[0].setflags(write=False)  # as joblib's memory maps are
    for m in (a, b):
        m.set_params(warm_start=True).fit(X, LABELS).partial_fit(X, LABELS)
    assert_same(a, b)


def test_weights_that_a_program_sets():
    a, b = both("MLPRegressor")
    for m in (a, b):
        m.fit(X, NUMBERS)
        m.coefs_[0] = np.asfortranarray(m.coefs_[0]) * 0.5
        m.intercepts_ = [array.tolist() and array + 1 for array in m.intercepts_]
        m.partial_fit(X, NUMBERS)
    assert_same(a, b)
    np.testing.assert_allclose(a.predict(X), b.predict(X))


REFUSED = [
    dict(alpha=-1),
    dict(hidden_layer_sizes=(3, 0)),
    dict(solver="rmsprop"),
    dict(early_stopping=True, validation_fraction=0.005),
    dict(activation="softplus"),
    dict(momentum=2),
]


@pytest.mark.parametrize("parameters", REFUSED, ids=map(str, REFUSED))
def test_errors_are_the_same(parameters):
    said = []
    for m in both("MLPRegressor", **parameters):
        with pytest.raises(ValueError) as caught:
            m.fit(X, NUMBERS)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_errors_of_partial_fit_and_warm_start():
    for call in (
        lambda m: m.partial_fit(X, LABELS),
        lambda m: m.fit(X, LABELS).partial_fit(X, LABELS, classes=range(5)),
        lambda m: m.fit(X, LABELS).partial_fit(X, LABELS + 5),
        lambda m: m.fit(X, LABELS).partial_fit(X[:, :3], LABELS),
        lambda m: m.fit(X, LABELS).set_params(warm_start=True).fit(X, LABELS % 9),
        lambda m: m.fit(X, LABELS).predict(X[:, :3]),
        lambda m: m.set_params(early_stopping=True).partial_fit(X, LABELS, classes=range(10)),
    ):
        for m in both("MLPClassifier", max_iter=2):
            with pytest.raises(ValueError):
                call(m)
    with pytest.raises(AttributeError, match="partial_fit"):
        ours.MLPClassifier(solver="lbfgs").partial_fit  # noqa: B018
    with pytest.raises(ValueError, match="non-finite"), np.errstate(all="ignore"):
        ours.MLPRegressor(max_iter=2).fit(X * 1e300, NUMBERS)


def test_warnings_and_lines_are_the_same(capsys):
    printed = []
    for m in both("MLPClassifier", verbose=True, early_stopping=True, tol=0.5, n_iter_no_change=2, max_iter=40):
        m.fit(X, LABELS)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and "Stopping." in printed[0]
    for m in both(
        "MLPClassifier", verbose=True, solver="sgd", learning_rate="adaptive", tol=9, n_iter_no_change=1
    ):
        m.fit(X, LABELS)
        printed.append(capsys.readouterr().out)
    assert printed[2] == printed[3] and "Setting learning rate" in printed[2]
    for parameters in (dict(), dict(batch_size=1000), dict(solver="lbfgs", max_iter=2)):
        said = []
        for m in both("MLPClassifier", **parameters):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                m.fit(X, LABELS)
            said.append([(w.category, re.sub(r"\s+", " ", str(w.message))) for w in caught])
        assert [kind for kind, _ in said[0]] == [kind for kind, _ in said[1]]
        assert said[0] == said[1] or parameters.get("solver") == "lbfgs"
    assert said[0][0][0] is ConvergenceWarning


def test_parameters_are_those_of_the_installed_scikit_learn():
    for name in ("MLPClassifier", "MLPRegressor"):
        mine, other = getattr(ours, name)(), getattr(theirs, name)()
        assert mine.get_params().items() >= other.get_params().items()
        changed = clone(mine.set_params(alpha=0.5, dropout=0.25))
        assert changed.alpha == 0.5 and repr(changed) == f"{name}(alpha=0.5, dropout=0.25)"
    assert ours.MLPClassifier(5).hidden_layer_sizes == 5 and ours.MLPRegressor("poisson").loss == "poisson"
    with pytest.raises(TypeError):
        ours.MLPClassifier(hidden=5)
