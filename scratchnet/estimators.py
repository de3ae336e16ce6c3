"""scikit-learn's multilayer perceptrons, trained by scratchnet: change one import, and the program is faster.

    from scratchnet.estimators import MLPClassifier, MLPRegressor

Requires scikit-learn 1.7 or newer: pip install "scratchnet[sklearn]". Parameters, defaults, attributes, random
numbers, and kinds of errors are those of the classes of the same names in `sklearn.neural_network`, whose
documentation describes them; what is added is described here. With the same random_state, the first weights and
the batches are the same, and the losses agree to rounding::

    classifier = MLPClassifier((100,), random_state=0, dropout=0.2).fit(X, y)
    classifier.loss_curve_, classifier.predict(X)

"adam" and "sgd" train whole epochs in C; the GPU, the loss "poisson", "lbfgs", and sparse samples of which fewer
than one number in 20 is not 0 go layer by layer. Rows with many zeros take less time, dense or sparse.

They are not subclasses of scikit-learn's: only the parameters' names, defaults and constraints are taken from
there, so that they are those of the installed version.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from ._arrays import Array
from ._mlp_estimator import MultilayerPerceptron, _has_partial_fit
from ._mlp_losses import activated
from ._mlp_parameters import CLASS_WEIGHT, OWN, OWN_CONSTRAINTS, initializer

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(ClassifierMixin, MultilayerPerceptron):  # type: ignore[misc]
    """scikit-learn's MLPClassifier, trained by scratchnet.

    The parameters are those of `sklearn.neural_network.MLPClassifier`, and by keyword:

    Parameters
    ----------
    class_weight : dict, list of dict, "balanced" or None
        Weights of the classes, as in scikit-learn's other classifiers; multiplied with sample_weight.
    dropout : float
        The fraction of each hidden layer's outputs that is set to 0 in training, as the books' Dropout does.
    batch_norm : bool
        Whether each hidden layer is normalized over the batch before its activation; `normalizations_` then has
        the layers.
    callbacks : callable or list of them
        Called with the estimator after each epoch; one that returns True ends the fit.
    progress : bool
        Whether a bar shows the epochs (requires tqdm).
    device : {"cpu", "cuda"}
        Where to compute; "cuda" requires CuPy and an NVIDIA GPU.

    All of these but class_weight are for solver "sgd" and "adam"; with "lbfgs" they raise ValueError.

    Examples
    --------
    >>> X, y = np.array([[0.0], [0.1], [0.9], [1.0]]), ["no", "no", "yes", "yes"]
    >>> MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y).predict([[0.05], [0.95]])
    array(['no', 'yes'], dtype='<U3')
    """

    _parameter_constraints = neural_network.MLPClassifier._parameter_constraints | OWN_CONSTRAINTS | CLASS_WEIGHT
    __init__ = initializer(neural_network.MLPClassifier, {"class_weight": None, **OWN})

    @available_if(_has_partial_fit)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch on the given samples.

        Parameters
        ----------
        X, y, sample_weight
            As those of `fit`.
        classes : array-like, optional
            All classes that there will be; required in the first call.

        Returns
        -------
        self
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' is not supported for partial_fit: it needs all samples")
        self._check_classes(y, classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def _check_classes(self, y: Any, classes: Any) -> None:
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is None:
            return
        given = unique_labels(classes)
        if known is None:
            self.classes_ = given
            is_multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if is_multilabel else classes)
        elif not np.array_equal(known, given):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}"
            )

    def _validated(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Array, Array | None]:
        dtypes = (np.float64, np.float32)
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=dtypes, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            classes = unique_labels(y)
            if self.warm_start and set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
            if not set(classes) <= set(self.classes_):
                raise ValueError(
                    f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                    f"'y' has {classes}."
                )
        weights = None
        if self.class_weight is not None:
            weights = compute_sample_weight(self.class_weight, y).astype(X.dtype, copy=False)
        return X, self._encoded(y), weights

    def _encoded(self, y: Any) -> Array:
        """Return checked labels as a column for each class, or each label; two classes have one column."""
        encoded: Array
        if y.ndim == 2:
            encoded = self._label_binarizer.transform(y).astype(bool)
        elif len(self.classes_) == 1:
            encoded = np.zeros((len(y), 1), bool)
        elif len(self.classes_) == 2:
            encoded = np.asarray(y == self.classes_[1]).reshape(-1, 1)
        else:
            encoded = np.arange(len(self.classes_)) == np.searchsorted(self.classes_, y)[:, np.newaxis]
        return encoded

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def predict(self, X: Any) -> Any:
        """Return the predicted labels of samples X, shape (N,) or (N, labels)."""
        if hasattr(self, "out_activation_") and self.out_activation_ == "softmax":
            return self.classes_.take(self._scores(X).argmax(axis=1))  # as that of the probabilities
        p = self._outputs(X)
        return self._label_binarizer.inverse_transform(p.ravel() if self.n_outputs_ == 1 else p)

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, shape (N, classes), or of the labels."""
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`."""
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def _validation_score(self, X: Any, targets: Array, weights: Array | None) -> float:
        """Return the accuracy."""
        scores = self._scores(X, check=False)
        if self.out_activation_ == "softmax":
            is_right = scores.argmax(axis=1) == targets.argmax(axis=1)
        else:
            is_right = ((activated(scores, "logistic") > 0.5) == targets).all(axis=1)
        return float(np.average(is_right, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, MultilayerPerceptron):  # type: ignore[misc]
    """scikit-learn's MLPRegressor, trained by scratchnet.

    The parameters are those of `sklearn.neural_network.MLPRegressor`, and by keyword those of `MLPClassifier`
    here, without class_weight.

    Examples
    --------
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
    >>> regressor.fit(X, X[:, 0]).score(X, X[:, 0]) > 0.99
    True
    """

    _parameter_constraints = neural_network.MLPRegressor._parameter_constraints | OWN_CONSTRAINTS
    __init__ = initializer(neural_network.MLPRegressor, OWN)

    def _validated(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Array, Array | None]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y, None

    def _output_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers for samples X, shape (N,) or (N, outputs)."""
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _validation_score(self, X: Any, targets: Array, weights: Array | None) -> float:
        """Return R^2 as scikit-learn's r2_score does, but for its checks, which take longer than an epoch."""
        y, w = self._outputs(X, check=False), 1.0 if weights is None else weights[:, np.newaxis]
        if not np.isfinite(y).all():
            return float("nan")
        residual = (w * (targets - y) ** 2).sum(axis=0, dtype=np.float64)
        total = (w * (targets - np.average(targets, axis=0, weights=weights)) ** 2).sum(axis=0, dtype=np.float64)
        scores = 1 - residual / np.where(total == 0, 1, total)
        return float(np.where(residual == 0, 1, np.where(total == 0, 0, scores)).mean())
