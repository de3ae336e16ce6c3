"""Run scikit-learn's own tests of its multilayer perceptrons, from its wheel, with scratchnet's classes instead.

    python -P tests/sklearn_suite.py [pytest's options]

One of them, test_gradient, calls the private `_loss_grad_lbfgs`: it gets scratchnet's loss and gradient.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn import neural_network

from scratchnet import estimators
from scratchnet._mlp_engine import Data


class MLPClassifier(estimators.MLPClassifier):
    def _loss_grad_lbfgs(self, packed, X, Y, sample_weight, *unused):
        start = 0
        for array in (*self.coefs_, *self.intercepts_):
            array[...] = packed[start : start + array.size].reshape(array.shape)
            start += array.size
        network = self._network(for_training=True)
        loss = network.whole_loss_and_gradients(Data(X, Y, sample_weight), self.alpha)
        return loss, np.concatenate([layer.grads[i].ravel() for i in (0, 1) for layer in network.affine])


if __name__ == "__main__":
    neural_network.MLPClassifier, neural_network.MLPRegressor = MLPClassifier, estimators.MLPRegressor
    folder = Path(sklearn.__file__).parent
    options = ["-c", os.devnull, f"--confcutdir={folder}", "-p", "no:cacheprovider", "-q", "-rA"]
    sys.exit(pytest.main([*options, *sys.argv[1:], str(folder / "neural_network" / "tests" / "test_mlp.py")]))
