"""Whole-step training: recognises a chain of layers and prepares steps that run without Python between them.

Layers, models and optimizers describe themselves (`step_role`, `step_chain`, `step_state`), so that this module
needs to know none of them. A chain is Affine and Sigmoid or Relu in turn, with SoftmaxWithLoss at its end. What is
not such a chain of plain float32 or float64 arrays has no plan, and is trained layer by layer: the same
mathematics in the same order, to the bit. With parameters on the GPU the steps run there.

A plan trains what the model's own code would. So it is made only of objects that do what their classes' source
says (`_as_written.py`), or of a chain that is proved (`_proof.py`), and `is_current` says whether all is still as
it was, after somebody else's code has run. Functions of modules that somebody replaces are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import is_not
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu, is_plain
from ._as_written import is_as_written
from .backends import address_of, place_of, steps_for

_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}


class NoPlanError(ValueError):
    """The model, the optimizer or the data cannot be trained in whole steps; says why."""


class Plan:
    """A model's training steps, prepared for one batch size.

    Parameters
    ----------
    chain_of
        Returns a model's layers in a chain, each of which declares a `step_role`, or raises NoPlanError.
    model, optimizer
        Whose `params`, `grads` and state are trained, in place.
    x, t
        All samples (rows, D), of a dtype that C casts as it gathers, and their checked class indices (rows,),
        which nobody else may change: C does not look at them again.
    batch_size : int
        Samples in a step.
    max_grad : float or None
        Largest norm of all gradients together.

    Raises
    ------
    NoPlanError
        Something in the chain, the parameters or the optimizer has no place in a plan.
    """

    def __init__(
        self,
        chain_of: Callable[[Any], Sequence[Any]],
        model: Any,
        optimizer: Any,
        x: Array,
        t: Array,
        batch_size: int,
        max_grad: float | None,
    ) -> None:
        self.optimizer = optimizer
        self._model, self._chain_of = model, chain_of
        self._batch_size, self._max_grad = batch_size, max_grad
        layers = chain_of(model)
        chain = pair_up(layers)
        _check_arrays(chain, model)
        self._steps_class = steps_for(chain[0][0])
        _check_data(self._steps_class, x, t)
        kernel, states = _state(optimizer, model)
        try:
            parameters = _stretches(model.params, model.grads, states)
            self._steps = self._steps_class(chain, parameters, kernel, batch_size, max_grad)
            self._steps.set_data(x, t)
        except ValueError as error:
            raise NoPlanError(str(error)) from None
        self.is_on_gpu = is_on_gpu(chain[0][0])
        widths = [chain[0][0].shape[0], *(W.shape[1] for W, *_ in chain)]
        self.nbytes = 4 * sum(widths) * batch_size * chain[0][0].itemsize  # of activations and gradients, at most
        self.arrays: list[Array] = [*model.params, *model.grads, *(array for state in states for array in state)]
        self._data: Array | None = x
        self._parts = self._what_decides(layers, kernel, states)
        self._places = list(map(place_of, self.arrays))
        self._place_of_data: tuple[Any, ...] | None = place_of(x)

    def _what_decides(self, chain: Sequence[Any], kernel: str, states: list[list[Array]]) -> list[Any]:
        """Return all that decides what a step is: model, optimizer and layers, their classes and arrays."""
        lists = [self._model.params, self._model.grads, *states]
        lists += [arrays for layer in chain for arrays in (layer.params, layer.grads)]
        objects = [self._model, self.optimizer, *chain]
        return [kernel, *objects, *map(type, objects), *(array for arrays in lists for array in arrays)]

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether these are the model and the optimizer that the plan was made for, in all that it leans on."""
        is_there = self._data is not None and place_of(self._data) == self._place_of_data
        return is_there and self._is_for(model, optimizer)

    def _is_for(self, model: Any, optimizer: Any) -> bool:
        if model is not self._model or optimizer is not self.optimizer:
            return False
        try:
            chain = self._chain_of(model)
            if not all(map(is_as_written, chain)):
                return False
            parts = self._what_decides(chain, *_state(optimizer, model))
        except (NoPlanError, AttributeError, TypeError):  # a layer that is none, a list that is no longer there
            return False
        same = len(parts) == len(self._parts) and not any(map(is_not, parts, self._parts))
        return same and list(map(place_of, self.arrays)) == self._places

    def set_data(
        self, model: Any, optimizer: Any, x: Array, t: Array, batch_size: int, max_grad: float | None
    ) -> bool:
        """Train on other samples from now on, if the plan is current and all else is as it was made for.

        Raises
        ------
        NoPlanError
            They cannot be trained on in whole steps.
        """
        if (batch_size, max_grad) != (self._batch_size, self._max_grad) or not self._is_for(model, optimizer):
            return False
        _check_data(self._steps_class, x, t)
        try:
            self._steps.set_data(x, t)
        except ValueError as error:
            raise NoPlanError(str(error)) from None
        self._data, self._place_of_data = x, place_of(x)
        return True

    def forget_data(self) -> None:
        """Hold the samples and labels no longer."""
        self._data = self._place_of_data = None
        self._steps.forget_data()

    def run(self, order: Array) -> list[float]:
        """Train on the rows in `order`, batch after batch; return the loss of each step."""
        numbers, updates = self.optimizer.step_numbers()
        losses: list[float] = self._steps.run(order, numbers, updates)
        self.optimizer.count_steps(len(losses))
        return losses


def make_plan(model: Any, optimizer: Any, x: Array, t: Array, batch_size: int, max_grad: float | None) -> Plan:
    """Return the plan of one of scratchnet's own models.

    Raises
    ------
    NoPlanError
        It is not one, or has been changed, or something else speaks against a plan.
    """
    return Plan(_own_chain, model, optimizer, x, t, batch_size, max_grad)


def _own_chain(model: Any) -> list[Any]:
    if not (is_as_written(model) and hasattr(model, "step_chain")):
        raise NoPlanError(f"{type(model).__name__} is not one of scratchnet's own models; ask with compile=True")
    try:
        chain: list[Any] = model.step_chain()
    except (AttributeError, TypeError):  # somebody took the layers away
        raise NoPlanError("the model has no list of layers") from None
    return chain


def _state(optimizer: Any, model: Any) -> tuple[str, list[list[Array]]]:
    """Return the kernel of an optimizer's update, and its state's arrays."""
    try:
        state: Any = getattr(optimizer, "step_state", lambda params: None)(model.params)
    except ValueError as error:
        raise NoPlanError(str(error)) from None
    if state is None:
        raise NoPlanError(f"the optimizer {type(optimizer).__name__} is not one of scratchnet's own")
    kernel, states = state
    return kernel, states


def _role(layer: Any) -> str:
    """Return what a layer is in a chain; its class must say so itself, not a class that it extends."""
    role = getattr(layer, "step_role", None)
    if role is None or not is_as_written(layer):
        raise NoPlanError(f"the layer {type(layer).__name__} has no place in a plan")
    return str(role)


def pair_up(layers: Sequence[Any]) -> list[tuple[Array, Array, Array, Array, str | None]]:
    """Return (W, b, dW, db, activation) for each Affine of a chain.

    Raises
    ------
    NoPlanError
        The layers are no such chain.
    """
    roles = [_role(layer) for layer in layers]
    if not roles or roles[-1] != "softmax_cross_entropy":
        raise NoPlanError("the chain does not end with SoftmaxWithLoss")
    chain: list[tuple[Array, Array, Array, Array, str | None]] = []
    for layer, role in zip(layers[:-1], roles, strict=False):
        if role == "affine":
            lists = layer.params, layer.grads
            arrays = [a for given in lists if isinstance(given, list | tuple) for a in given]
            if len(arrays) != 4 or not all(isinstance(a, np.ndarray) or is_on_gpu(a) for a in arrays):
                raise NoPlanError(f"{type(layer).__name__} does not hold [W, b] and [dW, db]")
            W, b, dW, db = arrays
            chain.append((W, b, dW, db, None))
        elif role in ("sigmoid", "relu") and chain and chain[-1][4] is None:
            chain[-1] = (*chain[-1][:4], role)
        else:
            raise NoPlanError(f"{type(layer).__name__} does not follow an Affine layer")
    if not chain or chain[-1][4] is not None:
        raise NoPlanError("SoftmaxWithLoss does not follow an Affine layer")
    return chain


def _check_arrays(chain: Sequence[tuple[Array, Array, Array, Array, str | None]], model: Any) -> None:
    """The chain's arrays are exactly the model's parameters and gradients, all apart, of one compiled dtype."""
    params = [a for W, b, *_ in chain for a in (W, b)]
    grads = [a for _, _, dW, db, _ in chain for a in (dW, db)]
    for ours, theirs, what in ((params, model.params, "params"), (grads, model.grads, "grads")):
        if not isinstance(theirs, list | tuple) or len(ours) != len(theirs) or any(map(is_not, ours, theirs)):
            raise NoPlanError(f"the model's {what} are not those of its layers, in their order")
    dtypes = {a.dtype for a in (*params, *grads)}
    if len(dtypes) != 1 or not dtypes <= _DTYPES:
        raise NoPlanError(
            f"the parameters have dtypes {sorted(map(str, dtypes))}, expected float32 or float64 alone"
        )
    if len({is_on_gpu(a) for a in (*params, *grads)}) != 1:
        raise NoPlanError("some parameters or gradients are on the GPU, others are not")
    if not all(is_plain(a) for a in (*params, *grads)):
        raise NoPlanError("a parameter or gradient is not contiguous, or is read-only")
    spans = sorted((address_of(a), a.nbytes) for a in (*params, *grads))
    if any(start + size > following for (start, size), (following, _) in pairwise(spans)):
        raise NoPlanError("layers share parameters")


def _check_data(steps_class: Any, x: Array, t: Array) -> None:
    if not steps_class.takes(x):
        raise NoPlanError(f"the samples, of shape {x.shape} and dtype {x.dtype}, are not rows of plain numbers")
    if t.dtype != np.int64 or t.ndim != 1 or not t.flags.c_contiguous:
        raise NoPlanError("the labels are not class indices")


def _stretches(
    params: Sequence[Array], grads: Sequence[Array], states: Sequence[Sequence[Array]]
) -> list[tuple[Array, Array, list[Array]]]:
    """Return parameter, gradient and states as flat arrays; neighbours in memory become one.

    scratchnet's own models keep all parameters in one buffer, and the optimizers their states: then there is
    one stretch, and one call of the update kernel.
    """
    columns = [params, grads, *states]
    runs: list[list[int]] = []
    for i in range(len(params)):
        if runs and all(_follows(column[i - 1], column[i]) for column in columns):
            runs[-1].append(i)
        else:
            runs.append([i])
    joined = [[_join([column[i] for i in run]) for column in columns] for run in runs]
    return [(p, g, rest) for p, g, *rest in joined]


def _follows(a: Array, b: Array) -> bool:
    return a.base is not None and a.base is b.base and address_of(a) + a.nbytes == address_of(b)


def _join(arrays: Sequence[Array]) -> Array:
    """Return one flat array over the memory of arrays that lie side by side."""
    first = arrays[0]
    if len(arrays) == 1:
        return first.reshape(-1)
    buffer = first.base
    assert buffer is not None
    start = (address_of(first) - address_of(buffer)) // first.itemsize
    joined: Array = buffer.reshape(-1)[start : start + sum(a.size for a in arrays)]
    return joined
