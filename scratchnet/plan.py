"""Whole-step training: recognises a chain of layers and prepares steps that run without Python between them.

Layers, models and optimizers describe themselves (`step_role`, `step_chain`, `step_state`), so that this module
needs to know none of them. A chain is any of scratchnet's layers that `_steps.py` knows, ending in an Affine layer
and one of the losses. Anything else than such a chain of plain float32 or float64 arrays has no plan, and is
trained layer by layer: the same arithmetic in the same order, bit for bit. With parameters on the GPU the steps
run there, of Affine and Sigmoid or Relu in turn, ending in SoftmaxWithLoss.

A plan gives the same result as the model's own code. So it is built only from objects that do what their classes'
source says (`_as_written.py`), or from a chain that has been verified (`_proof.py`), and `is_current` tells
whether nothing has changed after user code has run. Replaced functions of modules are not detected.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from operator import is_not
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, is_carray, is_on_gpu
from ._as_written import is_as_written, unmodified_chain
from ._steps import LOSSES, chain_steps, computes_before_cast, draw_masks
from .backends import address_of, place_of, runner_for
from .util import class_indices

_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}
_NOTHING = np.empty(0)
# The attributes of layers that are a part of a plan.
_SETTINGS = ("stride", "pad", "pool_h", "pool_w", "delta", "running_mean", "running_var")


class NoPlanError(ValueError):
    """The model, the optimizer or the data cannot be trained in whole steps; says why."""


class Job(NamedTuple):
    """What a fit trains, and how.

    Attributes
    ----------
    model, optimizer
        Whose `params`, `grads` and state are trained, in place.
    x, t
        All samples and labels, one entry per sample, on the device of the parameters: the CPU or the GPU.
    batch_size : int
        Samples per step.
    max_grad : float or None
        Largest norm of all gradients together.
    weights : array of float64, or None
        A weight for each sample, on the same device.
    epoch : int
        Samples of an epoch, of which the last batch may be smaller; 0 stands for those of all whole batches.
    """

    model: Any
    optimizer: Any
    x: Array
    t: Array
    batch_size: int
    max_grad: float | None
    weights: Array | None = None
    epoch: int = 0

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        return self.epoch or len(self.x) // self.batch_size * self.batch_size

    def batches(self, rows: int, steps: int) -> list[int]:
        """Return the sizes of the next batches, at most so many, if `rows` are left of some epochs."""
        size, epoch = self.batch_size, self.samples
        if epoch % size == 0:
            return [size] * min(steps, rows // size)
        each = epoch // size + 1  # steps of an epoch
        made = (-rows % epoch) // size  # in the running one
        last = min(made + steps, each * -(-rows // epoch))
        return [size if (k + 1) % each else epoch % size for k in range(made, last)]


class ChainLink(NamedTuple):
    """An Affine layer of a chain, with what follows it: "sigmoid", "relu" or None. W has shape [D,M], b [M]."""

    W: Array
    b: Array
    dW: Array
    db: Array
    activation: str | None


class Plan:
    """A job's training steps, prepared to run without Python between them.

    Parameters
    ----------
    job
        Its samples are rows [rows, D] of a dtype that C casts as it gathers. The labels of one of scratchnet's own
        models are checked class indices, which nothing else may change: C does not check them again.
    recorded
        The layers that a user's own model calls, in order; each declares a `step_role`. The labels are then
        checked here. None means that the model is one of scratchnet's own, and names its layers.

    Attributes
    ----------
    arrays : list
        Parameters, gradients and the optimizer's state: all that training writes.
    classes : int
        Outputs of the last layer.
    labels : array of int64
        Class indices [rows].
    nbytes : int
        Size of activations and their gradients, at most.

    Raises
    ------
    NoPlanError
        Something in the chain, the parameters, the optimizer or the data cannot be part of a plan.
    """

    MAX_MASK_BYTES = 1 << 20  # of the masks of dropout that are drawn ahead

    def __init__(self, job: Job, recorded: Sequence[Any] | None = None) -> None:
        self._recorded = recorded
        if job.weights is not None and recorded is not None:
            raise NoPlanError("the steps of a model of your own have no sample weights")
        layers = self._layers_of(job.model)
        roles = [_role(layer) for layer in layers]
        own = ("softmax_cross_entropy",) if recorded is not None else LOSSES
        if not roles or roles[-1] not in own:
            raise NoPlanError(
                "the chain does not end with SoftmaxWithLoss" + " or another loss" * (recorded is None)
            )
        self._loss = roles[-1]
        if len({id(layer) for layer in layers}) != len(layers):
            raise NoPlanError("a layer is used twice, and keeps only what its last call was given")
        if getattr(layers[-1], "delta", 1e-7) != 1e-7:
            raise NoPlanError(f"{type(layers[-1]).__name__} has another delta than 1e-7")
        params, grads = _check_arrays(layers[:-1], job.model)
        self.is_on_gpu = is_on_gpu(params[0])
        if roles[-2] != "affine" or len(params) < 2 or params[-2].ndim != 2:
            raise NoPlanError(f"{type(layers[-1]).__name__} does not follow an Affine layer")
        self.classes = params[-2].shape[1]
        if recorded is not None:
            job = self._with_checked_labels(job)
        self._job: Job = job
        self._runner_class = runner_for(params[0])
        kernel, states = _state(job)
        self._normalized = [
            layer for layer, role in zip(layers, roles, strict=True) if role == "batch_normalization"
        ]
        self._dropped = [layer for layer, role in zip(layers, roles, strict=True) if role == "dropout"]
        kept = [getattr(layer, name) for layer in self._normalized for name in layer.buffers]
        try:
            parameters = coalesce(params, grads, states)
            if self.is_on_gpu:
                chain = match_chain(layers)
                decays = recorded is None and job.model.weight_decay
                if decays or job.weights is not None or job.samples % job.batch_size:
                    raise NoPlanError(
                        "on the GPU whole steps take no sample weights, no decay, only batches of one size"
                    )
                self._runner = self._runner_class(chain, parameters, kernel, job.batch_size, job.max_grad)
                widths = [chain[0].W.shape[0], *(link.W.shape[1] for link in chain)]
                self.nbytes = 4 * sum(widths) * job.batch_size * params[0].itemsize
            else:
                self._steps = chain_steps(layers[:-1], roles[:-1], job.x.shape[1:], job.batch_size)
                decay = float(job.model.weight_decay) if recorded is None else 0.0
                self._runner = self._runner_class(
                    self._steps, self._loss, parameters, kernel, job.batch_size, job.max_grad, decay,
                    is_weighted=job.weights is not None,
                )  # fmt: skip
                self.nbytes = self._runner.nbytes
            self._set_data(job)
        except ValueError as error:
            raise NoPlanError(str(error)) from None
        self.arrays: list[Array] = [*params, *grads, *(a for state in states for a in state), *kept]
        self._parts = self._what_decides(layers, kernel, states)
        self._places = list(map(place_of, self.arrays))

    def _with_checked_labels(self, job: Job) -> Job:
        labels = class_indices("t", job.t, self.classes)
        if labels is job.t:
            labels = labels.copy()  # checked once: a callback may change the caller's
        return job._replace(t=labels)

    @property
    def model(self) -> Any:
        """The model being trained."""
        return self._job.model

    @property
    def has_statistics(self) -> bool:
        """Whether its steps take statistics of a batch, as those of batch normalization do."""
        return bool(self._normalized)

    @property
    def draws(self) -> bool:
        """Whether its steps draw from NumPy's global stream, as those of dropout do."""
        return bool(self._dropped)

    def _layers_of(self, model: Any) -> Sequence[Any]:
        if self._recorded is None:
            return _own_layers(model)
        for layer in self._recorded:
            _role(layer)  # raises if it has been changed
        return self._recorded

    def _what_decides(self, layers: Sequence[Any], kernel: str, states: list[list[Array]]) -> list[Any]:
        """Return everything that determines a step: model, optimizer and layers, their classes and arrays."""
        model, optimizer = self._job.model, self._job.optimizer
        lists = [model.params, model.grads, *states]
        lists += [arrays for layer in layers for arrays in (layer.params, layer.grads)]
        objects = [model, optimizer, *layers]
        settings = [getattr(layer, name, None) for layer in layers for name in _SETTINGS]
        settings.append(getattr(model, "weight_decay", None) if self._recorded is None else None)
        return [kernel, *objects, *map(type, objects), *settings, *itertools.chain.from_iterable(lists)]

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether these are the model and the optimizer of the plan, unchanged in everything that it relies on."""
        return place_of(self._job.x) == self._place_of_data and self._is_for(model, optimizer)

    def _is_for(self, model: Any, optimizer: Any) -> bool:
        if model is not self._job.model or optimizer is not self._job.optimizer:
            return False
        try:
            parts = self._what_decides(self._layers_of(model), *_state(self._job))
        except (NoPlanError, AttributeError, TypeError):  # something that is not a layer, or a missing list
            return False
        same = len(parts) == len(self._parts) and not any(map(is_not, parts, self._parts))
        return same and list(map(place_of, self.arrays)) == self._places

    def serves(self, job: Job) -> bool:
        """Whether the current plan suits a job that differs only in the data; if so, it now serves that job.

        Raises
        ------
        NoPlanError
            The data cannot be trained on in whole steps.
        """
        same = (job.batch_size, job.max_grad) == (self._job.batch_size, self._job.max_grad)
        same &= (job.weights is None) == (self._job.weights is None)
        if not same or job.x.shape[1:] != self._sample or not self._is_for(job.model, job.optimizer):
            return False
        try:
            self._set_data(job)
        except ValueError as error:
            raise NoPlanError(str(error)) from None
        return True

    def _set_data(self, job: Job) -> None:
        """Train on a job's samples and labels from now on.

        Raises
        ------
        ValueError
            C cannot gather them.
        """
        rows = _as_rows(job.x)
        if rows is None or not self._runner_class.takes(rows):
            raise NoPlanError(
                f"the samples, of shape {job.x.shape} and dtype {job.x.dtype}, are not rows of plain numbers"
            )
        if self._loss != "squared_error" and (job.t.dtype != np.int64 or not job.t.flags.c_contiguous):
            raise NoPlanError("the labels are not class indices")
        is_cast = rows.dtype != job.model.params[0].dtype
        if is_cast and not self.is_on_gpu and computes_before_cast(self._steps):
            raise NoPlanError(f"a layer computes with the samples' own dtype, {rows.dtype}")
        if self.is_on_gpu:
            self._runner.set_data(rows, job.t)
        else:
            self._runner.set_data(rows, job.t, job.weights, job.samples)
        self._job, self._place_of_data, self._sample = job, place_of(job.x), job.x.shape[1:]

    def forget_data(self) -> None:
        """Release the samples and labels."""
        weights = None if self._job.weights is None else _NOTHING
        self._job = self._job._replace(x=_NOTHING, t=_NOTHING, weights=weights)
        self._runner.forget_data()

    @property
    def labels(self) -> Array:
        """The labels being trained on."""
        return self._job.t

    def run(self, rows: Array, steps: int) -> list[float]:
        """Train on the next batches, so many at most, if these rows are left of some epochs; return the losses."""
        job, optimizer = self._job, self._job.optimizer
        sizes = job.batches(len(rows), min(steps, self._most_steps()) if self._dropped else steps)
        used = rows[: sum(sizes)]
        numbers = optimizer.step_numbers(len(sizes))
        if self.is_on_gpu:
            losses: list[float] = self._runner.run(used, *numbers)
        else:
            left = (len(rows) - 1) % job.samples + 1
            losses = self._runner.run(used, *numbers, *self._draws(sizes), left)
        optimizer.count_steps(len(losses))
        return losses

    def gradients(self, rows: Array, start: int, total: int) -> float:
        """Write the gradients of the loss of rows that a batch of `total` has from `start` on; return the loss."""
        masks, momenta = self._draws([total])
        if masks is not None:
            ends = np.cumsum([total * size for _, size in self._runner.masks])[:-1]
            parts = (whole.reshape(total, -1)[start : start + len(rows)] for whole in np.split(masks, ends))
            masks = np.concatenate([part.reshape(-1) for part in parts])
        return float(self._runner.gradients(rows, masks, momenta))

    def _draws(self, batches: Sequence[int]) -> tuple[Array | None, Sequence[float]]:
        """Return the masks of dropout and the momenta of batch normalization for some steps."""
        masks = None
        if self._dropped:
            ratios, dtype = [layer._ratio() for layer in self._dropped], self._job.model.params[0].dtype
            masks = draw_masks(batches, [size for _, size in self._runner.masks], ratios, dtype)
        return masks, [layer._share() for layer in self._normalized]

    def _most_steps(self) -> int:
        """Return for how many steps at most the masks are drawn ahead."""
        each: int = sum(size for _, size in self._runner.masks) * 8 * self._job.batch_size
        return max(1, self.MAX_MASK_BYTES // each)


def _own_layers(model: Any) -> Sequence[Any]:
    layers = unmodified_chain(model)
    if layers is None:
        raise NoPlanError(f"{type(model).__name__} is not one of scratchnet's own models, or it has been changed")
    return layers


def _state(job: Job) -> tuple[str, list[list[Array]]]:
    """Return the kernel of the optimizer's update, and its state's arrays."""
    optimizer = job.optimizer
    try:
        state: Any = getattr(optimizer, "step_state", lambda params: None)(job.model.params)
    except ValueError as error:
        raise NoPlanError(str(error)) from None
    if state is None:
        raise NoPlanError(f"the optimizer {type(optimizer).__name__} is not one of scratchnet's own")
    kernel, states = state
    return kernel, states


def _role(layer: Any) -> str:
    """Return a layer's role in a chain; its class must declare it itself, not a base class."""
    role = getattr(layer, "step_role", None)
    if role is None or not is_as_written(layer):
        raise NoPlanError(f"the layer {type(layer).__name__} cannot be part of a plan")
    return str(role)


def match_chain(layers: Sequence[Any]) -> list[ChainLink]:
    """Return a link for each Affine layer of a chain.

    Raises
    ------
    NoPlanError
        The layers are not such a chain.
    """
    roles = [_role(layer) for layer in layers]
    if not roles or roles[-1] != "softmax_cross_entropy":
        raise NoPlanError("the chain does not end with SoftmaxWithLoss")
    chain: list[ChainLink] = []
    for layer, role in zip(layers[:-1], roles, strict=False):
        if role == "affine":
            lists = layer.params, layer.grads
            arrays = [a for given in lists if isinstance(given, list | tuple) for a in given]
            if len(arrays) != 4 or not all(isinstance(a, np.ndarray) or is_on_gpu(a) for a in arrays):
                raise NoPlanError(f"{type(layer).__name__} does not have [W, b] and [dW, db]")
            W, b, dW, db = arrays
            chain.append(ChainLink(W, b, dW, db, None))
        elif role in ("sigmoid", "relu") and chain and chain[-1].activation is None:
            chain[-1] = chain[-1]._replace(activation=role)
        else:
            raise NoPlanError(f"{type(layer).__name__} does not follow an Affine layer")
    if not chain or chain[-1].activation is not None:
        raise NoPlanError("SoftmaxWithLoss does not follow an Affine layer")
    return chain


def _check_arrays(layers: Sequence[Any], model: Any) -> tuple[list[Array], list[Array]]:
    """Return the parameters and gradients: the model's are the layers', all apart, of one compiled dtype."""
    params, grads = ([a for layer in layers for a in getattr(layer, name)] for name in ("params", "grads"))
    if not params or len(params) != len(grads) or not all(map(_is_array, (*params, *grads))):
        raise NoPlanError("the layers do not have arrays as parameters, and a gradient for each")
    for ours, theirs, what in ((params, model.params, "params"), (grads, model.grads, "grads")):
        if not isinstance(theirs, list | tuple) or len(ours) != len(theirs) or any(map(is_not, ours, theirs)):
            raise NoPlanError(f"the model's {what} are not those of its layers, in order")
    dtypes = {a.dtype for a in (*params, *grads)}
    if len(dtypes) != 1 or not dtypes <= _DTYPES:
        raise NoPlanError(
            f"the parameters have dtypes {sorted(map(str, dtypes))}, expected only float32 or only float64"
        )
    if len({is_on_gpu(a) for a in (*params, *grads)}) != 1:
        raise NoPlanError("some parameters or gradients are on the GPU, others are not")
    kept = [getattr(layer, name) for layer in layers for name in layer.buffers]
    arrays = [a for a in (*params, *grads, *kept) if _is_array(a)]
    if not all(is_carray(a) for a in arrays):
        raise NoPlanError("a parameter or gradient is not contiguous, or is read-only")
    spans = sorted((address_of(a), a.nbytes) for a in arrays)
    if any(start + size > following for (start, size), (following, _) in itertools.pairwise(spans)):
        raise NoPlanError("layers share parameters")
    return params, grads


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_on_gpu(value)


def _as_rows(x: Array) -> Array | None:
    """View samples [rows,...] as [rows,D]; None if they would have to be copied."""
    if x.ndim <= 2 or is_on_gpu(x):
        return x
    rows = x.reshape(len(x), prod(x.shape[1:]))
    return rows if np.may_share_memory(rows, x) else None


def coalesce(
    params: Sequence[Array], grads: Sequence[Array], states: Sequence[Sequence[Array]]
) -> list[tuple[Array, Array, list[Array]]]:
    """Return parameters with gradients and states as flat arrays, coalesced: those adjacent in memory become one.

    scratchnet's own models keep all parameters in one buffer, and the optimizers their states: then all are
    coalesced, and updated by one call of the kernel.
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
    """Return one flat array over the memory of neighbours."""
    first = arrays[0]
    if len(arrays) == 1:
        return first.reshape(-1)
    buffer = first.base
    assert buffer is not None
    start = (address_of(first) - address_of(buffer)) // first.itemsize
    joined: Array = buffer.reshape(-1)[start : start + sum(a.size for a in arrays)]
    return joined
