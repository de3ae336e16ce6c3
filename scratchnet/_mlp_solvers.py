"""The solvers "sgd" and "adam" of scikit-learn's perceptrons: one of our optimizers and its rate's schedule."""

from __future__ import annotations

from typing import Any

from .optimizer import SGD, Adam, Momentum, Nesterov

__all__ = ["Solver", "adam", "sgd"]

_LEAST_RATE = 1e-6  # "adaptive" goes no lower


class Solver:
    """An optimizer that lives from one fit to the next `partial_fit`, and decides its learning rate.

    Parameters
    ----------
    optimizer
        One of scratchnet's own.
    schedule : {"constant", "invscaling", "adaptive"}
        What becomes of the rate.
    power : float
        Of "invscaling": the rate after t samples is the first one / (t + 1)^power.
    """

    def __init__(self, optimizer: Any, schedule: str = "constant", power: float = 0.0) -> None:
        self.optimizer, self.schedule, self.power = optimizer, schedule, power
        self._first_rate: float = optimizer.lr

    @property
    def learning_rate(self) -> float:
        """The current one; Adam's before its correction for the start at 0."""
        return self.optimizer.lr  # type: ignore[no-any-return]

    def to_cpu(self) -> None:
        """Bring the optimizer's state to the CPU, so that it can be pickled; it follows the parameters."""
        self.optimizer.load_state_dict(self.optimizer.state_dict())

    def end_epoch(self, samples: int) -> None:
        """Set the rate after so many samples have been trained on, in all epochs."""
        if self.schedule == "invscaling":
            self.optimizer.lr = self._first_rate / (samples + 1) ** self.power

    def lower(self) -> bool:
        """Divide the rate by 5 where the schedule is to go on like that; False if training is to stop."""
        if self.schedule != "adaptive" or self.optimizer.lr <= _LEAST_RATE:
            return False
        self.optimizer.lr /= 5
        return True


def sgd(estimator: Any) -> Solver:
    """Return the solver that an estimator's parameters ask for."""
    rate, momentum = float(estimator.learning_rate_init), float(estimator.momentum)
    kind = Nesterov if estimator.nesterovs_momentum else Momentum
    optimizer = kind(rate, momentum) if momentum else SGD(rate)
    return Solver(optimizer, estimator.learning_rate, float(estimator.power_t))


def adam(estimator: Any) -> Solver:
    """Return the solver that an estimator's parameters ask for."""
    optimizer = Adam(float(estimator.learning_rate_init), float(estimator.beta_1), float(estimator.beta_2))
    optimizer._epsilon = float(estimator.epsilon)
    return Solver(optimizer)
