"""The parameters of `estimators.py`: those of the installed scikit-learn's classes, then scratchnet's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

try:
    import sklearn
    from sklearn.utils._param_validation import Interval, StrOptions
except ImportError as error:
    raise ImportError(
        'scratchnet.estimators requires scikit-learn 1.7 or newer: pip install -U "scratchnet[sklearn]"'
    ) from error

if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7):
    raise ImportError(
        f"scratchnet.estimators requires scikit-learn 1.7 or newer, found {sklearn.__version__}: "
        'pip install -U "scratchnet[sklearn]"'
    )

OWN: dict[str, Any] = {
    "dropout": 0.0,
    "batch_norm": False,
    "callbacks": None,
    "progress": False,
    "device": "cpu",
}
OWN_CONSTRAINTS: dict[str, list[Any]] = {
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_norm": ["boolean"],
    "callbacks": [callable, list, tuple, None],
    "progress": ["boolean"],
    "device": [StrOptions({"cpu", "cuda"})],
}
CLASS_WEIGHT = {"class_weight": [dict, list, StrOptions({"balanced"}), None]}

# What is implemented: a parameter that a later scikit-learn adds is refused unless it has its default.
_NAMES = """
activation alpha batch_size beta_1 beta_2 class_weight early_stopping epsilon hidden_layer_sizes learning_rate
learning_rate_init loss max_fun max_iter momentum n_iter_no_change nesterovs_momentum power_t random_state shuffle
solver tol validation_fraction verbose warm_start
"""
_KNOWN = frozenset(_NAMES.split()) | OWN.keys()


def initializer(theirs: type, own: dict[str, Any]) -> Callable[..., None]:
    """Return an `__init__` that takes the parameters of one of scikit-learn's classes, and our own by keyword."""
    given: Iterable[inspect.Parameter] = inspect.signature(theirs).parameters.values()
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    added = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value) for n, value in own.items()]
    signature = inspect.Signature([me, *given, *added])

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name in bound.arguments.keys() - {"self"}:
            setattr(self, name, bound.arguments[name])

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def check_known(estimator: Any) -> None:
    """Refuse a parameter of a later scikit-learn that has another value than its default.

    Raises
    ------
    ValueError
        Names it.
    """
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        if name not in _KNOWN and getattr(estimator, name) != parameter.default:
            raise ValueError(
                f"{type(estimator).__name__}: scratchnet does not know {name}, a parameter of scikit-learn "
                f"{sklearn.__version__}; leave it at {parameter.default!r}"
            )
