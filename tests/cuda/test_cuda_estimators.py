"""scikit-learn's estimators on the GPU, against the CPU: over CuPy or a fake of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.7", reason="scikit-learn is not installed: its estimators are not tested")

from scratchnet.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(24, 3)
LABELS = np.arange(24) % 3
SMALL = dict(hidden_layer_sizes=4, max_iter=3, batch_size=10, random_state=0, alpha=0.1)
FITS = {
    "softmax": (MLPClassifier, LABELS, {}),
    "logistic": (MLPClassifier, LABELS == 1, dict(activation="tanh", solver="sgd")),
    "identity": (MLPRegressor, X[:, :2], dict(activation="logistic")),
    "poisson": (MLPRegressor, LABELS, dict(loss="poisson")),
    "own": (MLPRegressor, X[:, 0], dict(batch_norm=True, dropout=0.3, solver="sgd")),
    "early stopping": (MLPClassifier, LABELS, dict(early_stopping=True, validation_fraction=0.3)),
}


@pytest.mark.parametrize("weights", [None, RNG.uniform(0, 2, 24)], ids=["", "weighted"])
@pytest.mark.parametrize("kind, y, parameters", FITS.values(), ids=FITS)
def test_the_gpu_trains_as_the_cpu(cupy, kind, y, parameters, weights):
    there, here = (kind(**SMALL, **parameters, device=device) for device in ("cuda", "cpu"))
    for m in (there, here):
        m.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-9)
    for a, b in zip(there.coefs_ + there.intercepts_, here.coefs_ + here.intercepts_, strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=1e-6)
    written = pickle.dumps(there)
    assert b"cupy" not in written  # it is opened without one
    if not there.early_stopping:
        there, here = (m.set_params(device="cpu").partial_fit(X, y) for m in (pickle.loads(written), here))
        np.testing.assert_allclose(there.loss_, here.loss_, rtol=1e-6)


def test_lbfgs_stays_on_the_cpu(cupy):
    with pytest.raises(ValueError, match="device"):
        MLPRegressor(solver="lbfgs", device="cuda").fit(X, LABELS)
