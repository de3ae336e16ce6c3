"""Book 1's Trainer: batches drawn at random, accuracies once per epoch.

Source: *Deep Learning from Scratch* 1, `common/trainer.py`.
"""

from __future__ import annotations

import os
import sys
from math import ceil
from typing import Any

import numpy as np

from .._arrays import Array, as_array
from .._as_written import as_written, is_as_written
from .._training import check_numbers
from .._watching import LossWatch
from ._steps import WholeSteps
from .optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "Trainer", "np", "os", "sys"]


_OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "rmsprpo": RMSprop,  # as some printings spell it
    "adam": Adam,
}


def _data(name: str, x: Any, t: Any) -> tuple[Array, Array]:
    x, t = as_array(x, f"Trainer: x_{name}"), as_array(t, f"Trainer: t_{name}")
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
        raise ValueError(
            f"Trainer: x_{name} has shape {x.shape} and t_{name} {t.shape}, expected as many labels as samples, "
            "and at least one"
        )
    return x, t


@as_written
class Trainer:
    """Trains a network that has `params`, `gradient(x, t)`, `loss(x, t)` and `accuracy(x, t)`.

    Parameters
    ----------
    network
        The network; its `params` and gradients are dictionaries.
    x_train, t_train, x_test, t_test : array
        Samples and labels, one row each.
    epochs : int
        Number of epochs, each with as many steps as the training data has batches.
    mini_batch_size : int
        Samples per step, drawn with replacement from NumPy's global stream.
    optimizer : str
        "SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop" or "Adam", in any case.
    optimizer_param : dict, optional
        The optimizer's settings; {"lr": 0.01} if omitted.
    evaluate_sample_num_per_epoch : int, optional
        Samples used for the accuracies of an epoch; all if omitted.
    verbose : bool
        Whether lines are printed.

    Attributes
    ----------
    train_loss_list : list of float
        The loss after every step.
    train_acc_list, test_acc_list : list of float
        Accuracies, computed in the steps whose number is a multiple of `iter_per_epoch`, which is a float, as in
        the book: with 600 samples and batches of 128 only the first is.
    current_iter, current_epoch : int
        Steps made, and evaluations.
    engine : str
        What ran in the last `train`: "plan" if gradient and update were whole steps in C, else "layers".

    Raises
    ------
    ValueError
        The optimizer is unknown, a number is not an integer or too small, or samples and labels do not match or
        are masked.

    Warns
    -----
    RuntimeWarning
        A loss is not a finite number; the first one is named.

    Examples
    --------
    >>> from scratchnet.book1.multi_layer_net import MultiLayerNet
    >>> x, t = np.eye(4), np.arange(4)
    >>> network = MultiLayerNet(4, [10], 4)
    >>> trainer = Trainer(network, x, t, x, t, epochs=50, mini_batch_size=4, verbose=False)
    >>> trainer.train()
    >>> len(trainer.train_loss_list)
    50
    """

    def __init__(
        self,
        network: Any,
        x_train: Any,
        t_train: Any,
        x_test: Any,
        t_test: Any,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: dict[str, Any] | None = None,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        if not isinstance(optimizer, str) or optimizer.lower() not in _OPTIMIZERS:
            raise ValueError(f"Trainer: optimizer must be one of {', '.join(_OPTIMIZERS)}, got {optimizer!r}")
        check_numbers("Trainer", epochs=(epochs, 0), mini_batch_size=(mini_batch_size, 1))
        if evaluate_sample_num_per_epoch is not None:
            check_numbers("Trainer", evaluate_sample_num_per_epoch=(evaluate_sample_num_per_epoch, 1))
        epochs, mini_batch_size = int(epochs), int(mini_batch_size)  # no NumPy types, in which products overflow
        self.network = network
        self.verbose = verbose
        self.x_train, self.t_train = _data("train", x_train, t_train)
        self.x_test, self.t_test = _data("test", x_test, t_test)
        self.epochs = epochs
        self.batch_size = mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        settings = {"lr": 0.01} if optimizer_param is None else optimizer_param
        self.optimizer = _OPTIMIZERS[optimizer.lower()](**settings)
        self.train_size = len(self.x_train)
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.engine = "layers"
        self._watch = LossWatch("Trainer", ceil(self.iter_per_epoch))
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []

    def __repr__(self) -> str:
        return f"Trainer({self.network!r}, {self.optimizer!r}, current_iter={self.current_iter})"

    def train_step(self) -> None:
        """Run one step on a random batch, and record its loss; evaluate at the start of an epoch."""
        self._step(None)

    def _step(self, steps: WholeSteps | None) -> None:
        batch = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[batch], self.t_train[batch]
        if steps is not None:
            steps.take(batch)
        else:
            self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = float(self.network.loss(x, t))
        self.train_loss_list.append(loss)
        self._watch.look([float(loss)], self.current_iter, self.x_train, batch, [len(batch)])
        self._print(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self._evaluate()
        self.current_iter += 1

    def train(self) -> None:
        """Run all steps, then print the accuracy on the test data.

        After the first step, those of a network of this package are whole steps in C, of the same bits, which do
        not set the layers' x, dW and db.
        """
        self.engine, steps = "layers", None
        for i in range(self.max_iter):
            if i == 1 and is_as_written(self):
                steps = self._whole_steps()
            if steps is None:
                self.train_step()
            else:
                self._step(steps)
        accuracy = self.network.accuracy(self.x_test, self.t_test)
        self._print("=============== Final Test Accuracy ===============")
        self._print(f"test acc:{accuracy}")

    def _whole_steps(self) -> WholeSteps | None:
        try:
            steps = WholeSteps(self.network, self.optimizer, self.x_train, self.t_train, self.batch_size)
        except (ValueError, IndexError):
            return None  # the network's own code says what is wrong, if anything is
        self.engine = "plan"
        return steps

    def _evaluate(self) -> None:
        self.current_epoch += 1
        some = slice(self.evaluate_sample_num_per_epoch)
        train = self.network.accuracy(self.x_train[some], self.t_train[some])
        test = self.network.accuracy(self.x_test[some], self.t_test[some])
        self.train_acc_list.append(train)
        self.test_acc_list.append(test)
        self._print(f"=== epoch:{self.current_epoch}, train acc:{train}, test acc:{test} ===")

    def _print(self, line: str) -> None:
        if self.verbose:
            print(line)
