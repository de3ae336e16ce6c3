"""Whole-step training: recognises a chain of layers and prepares steps that run without Python between them.

Layers and optimizers describe themselves (`step_role`, `step_state`), so that this module needs to know none
of them. A chain is Affine and Sigmoid or Relu in turn, with SoftmaxWithLoss at its end. What is not such a
chain of plain float32 or float64 arrays has no plan, and is trained layer by layer: the same mathematics in
the same order, to the bit. With parameters on the GPU the steps run there.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from .backends import address_of, is_on_gpu, is_plain, steps_for
from .util import class_indices, clip_grads, layers_of

Array = np.ndarray[Any, np.dtype[Any]]

# Between a step of the plan and one of the model's own code, relative to the largest number of the parameter:
# the rounding of one step, with room for sums of some thousand terms in another order.
PROOF = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-12}


class NoPlanError(ValueError):
    """The model, the optimizer or the data cannot be trained in whole steps; says why."""


class Plan:
    """A model's training steps, prepared for one batch size.

    Parameters
    ----------
    layers
        The chain: layers that declare a `step_role`.
    model, optimizer
        Whose `params`, `grads` and state are trained, in place.
    x, t
        All samples (rows, D), of a dtype that C casts as it gathers, and their checked class indices (rows,).
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
        layers: Sequence[Any],
        model: Any,
        optimizer: Any,
        x: Array,
        t: Array,
        batch_size: int,
        max_grad: float | None,
    ) -> None:
        self.optimizer = optimizer
        self._layers = layers
        self._model = model
        self._chain = _pair_up(layers)
        _check_arrays(self._chain, model)
        steps_class = steps_for(self._chain[0][0])
        _check_data(steps_class, x, t)
        state = getattr(optimizer, "step_state", lambda params: None)(model.params)
        if state is None:
            raise NoPlanError(f"the optimizer {type(optimizer).__name__} is not one of scratchnet's own")
        kernel, states = state
        try:
            parameters = _stretches(model.params, model.grads, states)
            self._steps = steps_class(self._chain, parameters, kernel, batch_size, max_grad)
            self._steps.set_data(x, t)
        except ValueError as error:
            raise NoPlanError(str(error)) from None
        self.is_on_gpu = is_on_gpu(self._chain[0][0])
        chain = [array for layer in layers for array in (*layer.params, *layer.grads)]
        self._held = [*chain, *model.params, *model.grads, *self._state()]

    def is_current(self) -> bool:
        """Whether the layers, the model and the optimizer still hold the arrays that the plan was made for."""
        chain = [array for layer in self._layers for array in (*layer.params, *layer.grads)]
        now = [*chain, *self._model.params, *self._model.grads, *self._state()]
        return len(now) == len(self._held) and all(a is b for a, b in zip(now, self._held, strict=True))

    def _state(self) -> list[Array]:
        _, states = self.optimizer.step_state(self._model.params)
        return [array for state in states for array in state]

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
    cls: Any = type(model)
    if "step_chain" not in vars(cls) or vars(model).keys() & _methods(cls):
        raise NoPlanError(f"{cls.__name__} is not one of scratchnet's own models; ask with compile=True")
    return Plan([*model.layers, model.loss_layer], model, optimizer, x, t, batch_size, max_grad)


def record_plan(model: Any, optimizer: Any, x: Array, t: Array, batch_size: int, max_grad: float | None) -> Plan:
    """Return the plan of any model whose forward calls a chain of scratchnet's layers.

    The chain is recorded while the model's own code runs forward once; then a batch is trained both ways on
    copies, and the parameters are compared.

    Raises
    ------
    NoPlanError
        Names the layer that has no place in a plan, or the difference that the comparison found.
    """
    layers = _record(model, x[:batch_size], t[:batch_size])
    labels = class_indices("t", t, layers[-1].y.shape[-1])
    plan = Plan(layers, model, optimizer, x, labels, batch_size, max_grad)
    _prove(model, optimizer, x[:batch_size], t[:batch_size], labels[:batch_size], max_grad)
    return plan


@cache
def _methods(cls: Hashable) -> frozenset[str]:
    return frozenset(name for name in dir(cls) if callable(getattr(cls, name)) and not name.startswith("__"))


def _role(layer: Any) -> str:
    """Return what a layer is in a chain; its class must say so itself, not a class that it extends."""
    role = vars(type(layer)).get("step_role")
    if role is None or vars(layer).keys() & {"forward", "backward"}:
        raise NoPlanError(f"the layer {type(layer).__name__} has no place in a plan")
    return str(role)


def _pair_up(layers: Sequence[Any]) -> list[tuple[Array, Array, Array, Array, str | None]]:
    """Return (W, b, dW, db, activation) for each Affine of a chain."""
    roles = [_role(layer) for layer in layers]
    if not roles or roles[-1] != "softmax_cross_entropy":
        raise NoPlanError("the chain does not end with SoftmaxWithLoss")
    chain: list[tuple[Array, Array, Array, Array, str | None]] = []
    for layer, role in zip(layers[:-1], roles, strict=False):
        if role == "affine":
            chain.append((*layer.params, *layer.grads, None))
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
        if len(ours) != len(theirs) or not all(a is b for a, b in zip(ours, theirs, strict=True)):
            raise NoPlanError(f"the model's {what} are not those of its layers, in their order")
    dtypes = {a.dtype for a in (*params, *grads)}
    if len(dtypes) != 1 or not dtypes <= set(PROOF):
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


def _largest(array: Array) -> float:
    return float(abs(array).max()) if array.size else 0.0


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


# A reader's own model: recorded, then proved


def _record(model: Any, x: Array, t: Array) -> list[Any]:
    """Return the layers that the model's forward calls, if each takes what the one before gave."""
    calls: list[tuple[Any, Any, Any]] = []
    layers = layers_of(model)
    for layer in layers:
        if "forward" in vars(layer):
            raise NoPlanError(f"the layer {type(layer).__name__} has a forward of its own")
    for layer in layers:
        layer.forward = _recording(layer, layer.forward, calls)
    try:
        model.forward(x, t)
    finally:
        for layer in layers:
            del layer.forward
    passed: Any = x
    for layer, given, gave in calls:
        if given is not passed:
            raise NoPlanError(f"{type(layer).__name__} does not take what the layer before it gives")
        passed = gave
    chain = [layer for layer, _, _ in calls]
    if len({id(layer) for layer in chain}) != len(chain):
        raise NoPlanError("a layer is used twice")
    if not chain:
        raise NoPlanError("the model's forward calls none of scratchnet's layers")
    _pair_up(chain)  # says what is no chain before its last layer is taken for the loss
    return chain


def _recording(layer: Any, forward: Any, calls: list[tuple[Any, Any, Any]]) -> Any:
    def recorded(x: Any, *t: Any) -> Any:
        out = forward(x, *t)
        calls.append((layer, x, out))
        return out

    return recorded


def _prove(model: Any, optimizer: Any, x: Array, t: Array, labels: Array, max_grad: float | None) -> None:
    """Train one batch both ways, on copies, and compare losses and parameters."""
    own, own_optimizer = copy.deepcopy((model, optimizer))
    planned, planned_optimizer = copy.deepcopy((model, optimizer))
    own_loss = float(own.forward(x, t))
    own.backward()
    if max_grad is not None:
        clip_grads(own.grads, max_grad)
    own_optimizer.update(own.params, own.grads)
    plan = Plan(_record(planned, x, t), planned, planned_optimizer, x, labels, len(x), max_grad)
    (loss,) = plan.run(np.arange(len(x)))
    bound = PROOF[own.params[0].dtype]
    if not abs(loss - own_loss) <= bound * max(abs(own_loss), 1):
        raise NoPlanError(f"the model's own loss is {own_loss!r}, that of its layers in a chain {loss!r}")
    for i, (a, b) in enumerate(zip(own.params, planned.params, strict=True)):
        if not _largest(a - b) <= bound * max(_largest(a), 1):
            raise NoPlanError(f"after one step, params[{i}] differs from that of the model's own code")
