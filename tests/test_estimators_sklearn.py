"""scratchnet's estimators in scikit-learn's hands: its checks, its own tests, its tools."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", "1.7", reason="scikit-learn is not installed: its checks are not run")

from sklearn import config_context
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet.estimators import MLPClassifier, MLPRegressor

X, LABELS = load_iris(return_X_y=True)
SUITE = Path(__file__).with_name("sklearn_suite.py")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # as scikit-learn runs them
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learn_s_checks_of_an_estimator(estimator, check):
    check(estimator)


@pytest.mark.long
def test_scikit_learn_s_own_tests_of_its_classes_pass(tmp_path):
    if not (Path(theirs.__file__).parent / "tests" / "test_mlp.py").exists():
        pytest.skip("this scikit-learn was installed without its tests")
    run = subprocess.run([sys.executable, "-P", SUITE], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    passed = re.findall(r"^PASSED .*::(\w+)", run.stdout, re.MULTILINE)
    assert run.returncode == 0, run.stdout[-3000:]
    assert len(passed) >= 55 and {"test_gradient", "test_fit", "test_warm_start", "test_early_stopping"} <= {
        *passed
    }


@pytest.mark.long
def test_workers_find_the_same_and_a_search_refits():
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__activation": ["relu", "tanh"]}
    found = []
    for classifier, jobs in ((MLPClassifier, 1), (MLPClassifier, 2), (theirs.MLPClassifier, 1)):
        pipeline = make_pipeline(StandardScaler(), classifier(10, max_iter=20, random_state=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search = GridSearchCV(pipeline, grid, cv=3, n_jobs=jobs).fit(X, LABELS)
        found.append(
            (search.cv_results_["mean_test_score"].tolist(), search.best_params_, search.predict(X).tolist())
        )
    assert found[0] == found[1] == found[2]


@pytest.mark.long
def test_workers_compute_in_one_thread_each_where_there_are_no_more_processors():
    joblib = pytest.importorskip("joblib")
    jobs = joblib.cpu_count()
    code = "import scratchnet; from joblib import Parallel, delayed; "
    code += f"print(Parallel({jobs})(delayed(scratchnet.get_num_threads)() for _ in range({jobs})))"
    settings = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], env=settings, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str([1] * jobs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_metadata_are_routed():
    weights = np.where(LABELS == 1, 5.0, 1.0)
    with config_context(enable_metadata_routing=True):
        classifier = MLPClassifier(5, max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        classifier.set_score_request(sample_weight=False)
        assert classifier.get_metadata_routing().fit.requests == {"sample_weight": True}
        assert "classes" in MLPClassifier().get_metadata_routing().partial_fit.requests
        routed = cross_validate(
            classifier,
            X,
            LABELS,
            cv=2,
            params={"sample_weight": weights},
            return_estimator=True,
            return_indices=True,
        )
    rows = routed["indices"]["train"][0]
    other = clone(classifier).fit(X[rows], LABELS[rows], sample_weight=weights[rows])
    assert routed["estimator"][0].loss_curve_ == other.loss_curve_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tables_with_names():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: no table is handed in")
    table = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    kinds = pandas.Series(np.array(["x", "y", "z"])[LABELS])
    MLPClassifier(5, max_iter=3, early_stopping=True).fit(table, kinds)
    m = MLPClassifier(5, max_iter=3, random_state=0).fit(table, kinds)
    other = theirs.MLPClassifier(5, max_iter=3, random_state=0).fit(table, kinds)
    assert m.feature_names_in_.tolist() == ["a", "b", "c", "d"] and m.loss_curve_ == pytest.approx(
        other.loss_curve_
    )
    assert np.array_equal(m.predict(table), other.predict(table))
    with pytest.raises(ValueError, match="feature names should match"):
        m.predict(table[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        m.predict(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pickled_pipeline_predicts_the_same():
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=5, max_iter=3, random_state=0)).fit(
        X, LABELS
    )
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
