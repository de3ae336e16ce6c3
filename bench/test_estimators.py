"""scikit-learn's multilayer perceptrons: fits, predictions, a cross-validation, by scratchnet's and by its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from data import digits, small_digits, spiral_data
from timing import Contestant, Target, contest

Samples = tuple[np.ndarray, np.ndarray]


def spiral() -> Samples:
    x, t = spiral_data()
    return x, t.argmax(axis=1)


def regression() -> Samples:
    from sklearn.datasets import make_regression

    x, y = make_regression(20000, 50, noise=1.0, random_state=0)
    return x, y / y.std()


def mnist() -> Samples:
    x, t = digits()
    return x[:20000], t[:20000]


# The estimator, its data, parameters beside the defaults; how many times as fast fit and predict should be.
WORKS: dict[str, tuple[str, Callable[[], Samples], dict[str, Any], float, float]] = {
    "digits, 64-100-10": ("MLPClassifier", small_digits, dict(max_iter=20), 4, 1.2),
    "spiral, 2-10-3": ("MLPClassifier", spiral, dict(hidden_layer_sizes=10, max_iter=100), 20, 1.2),
    "regression, 50-100-1": ("MLPRegressor", regression, dict(max_iter=2), 5, 1.2),
    "MNIST, 784-100-10": ("MLPClassifier", mnist, dict(max_iter=1), 3, 2),
}
IN_FLOAT32 = {"digits, 64-100-10": 6.0}
RTOL = {"float32": 1e-5, "float64": 1e-9}  # of the losses, as API.md promises
MODULES = {"scratchnet": "scratchnet.estimators", "scikit-learn": "sklearn.neural_network"}
THEIRS = MODULES["scikit-learn"]


@pytest.fixture(autouse=True)
def sklearn():
    pytest.importorskip("sklearn", "1.7", reason="scikit-learn is not installed, whose estimators these are")


def made(module: str, work: str, **parameters: Any) -> Any:
    name, _, own, _, _ = WORKS[work]
    return getattr(import_module(module), name)(
        random_state=0, tol=0.0, n_iter_no_change=10**9, **own | parameters
    )


def contestants(run: Callable[[str], tuple[Callable[[], Any], Callable[[], Any]]]) -> list[Contestant]:
    """Both, from a function of their module that returns what is compared and what is timed."""
    return [Contestant(name, lambda module=module: run(module)) for name, module in MODULES.items()]


def close_to(expected: Any, rtol: float) -> Callable[[str, Any], None]:
    def close(name: str, found: Any) -> None:
        np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=name)

    return close


@pytest.mark.parametrize(
    "work, dtype", [(work, "float64") for work in WORKS] + [(w, "float32") for w in IN_FLOAT32]
)
def test_fit(benchmark, seconds, work, dtype):
    x, y = WORKS[work][1]()
    x = x.astype(dtype)

    def run(module: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        few = min(3, WORKS[work][2]["max_iter"])
        return lambda: made(module, work, max_iter=few).fit(x, y).loss_curve_, lambda: made(module, work).fit(x, y)

    expected = run(THEIRS)[0]()
    least = IN_FLOAT32[work] if dtype == "float32" else WORKS[work][3]
    labels = dict(table="estimators", work=work, how="fit", dtype=dtype)
    target = Target("scikit-learn", least=least)
    contest(
        benchmark,
        contestants(run),
        close_to(expected, RTOL[dtype]),
        targets=[target],
        seconds=8 * seconds,
        **labels,
    )


@pytest.mark.parametrize("work", WORKS)
def test_predict(benchmark, seconds, work):
    x, y = WORKS[work][1]()
    x = x[:10000].astype(np.float64)
    trained = made(THEIRS, work).fit(x, y[: len(x)])

    def run(module: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        m = made(module, work, max_iter=1).fit(x, y[: len(x)])
        m.coefs_, m.intercepts_ = trained.coefs_, trained.intercepts_
        return (lambda: getattr(m, "predict_proba", m.predict)(x)), lambda: m.predict(x)

    labels = dict(table="estimators", work=work, how="predict", dtype="float64")
    close = close_to(run(THEIRS)[0](), 1e-6)
    target = Target("scikit-learn", least=WORKS[work][4])
    contest(benchmark, contestants(run), close, targets=[target], seconds=3 * seconds, **labels)


def test_cross_validation_in_two_processes(benchmark, seconds):
    from sklearn.model_selection import cross_val_score

    work = "digits, 64-100-10"
    x, y = small_digits()

    def run(module: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        def validate() -> Any:
            return cross_val_score(made(module, work, max_iter=60), x, y, cv=4, n_jobs=2)

        return validate, validate

    labels = dict(table="estimators", work=work, how="4-fold cross-validation, n_jobs=2", dtype="float64")
    target = Target("scikit-learn", least=4)
    contest(
        benchmark, contestants(run), close_to(run(THEIRS)[0](), 1e-9), targets=[target],
        seconds=8 * seconds, **labels,
    )  # fmt: skip
