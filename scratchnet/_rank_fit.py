"""What a fit over MPI has besides: which rows a rank has, the sums of a step, and rank 0's state for all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from . import _model_state, _streams
from ._arrays import Array, as_array, is_carray, is_on_gpu, to_side
from ._cut import Cut
from ._engines import Gradients, Layers, Planned, Proved, TrainStep, choose_engine
from ._orders import Orders
from ._parts import flatten, layers_of
from ._ranks import Ranks, in_order, told
from ._version import __version__
from .plan import Job, NoPlanError, coalesce

_LOOKED_AT = 100  # rows of data on a GPU, spread over them, whose values are compared
_BLOCK = 1 << 22  # bytes of data whose checksum is computed at a time


class Batches(NamedTuple):
    """How the ranks share an epoch.

    Attributes
    ----------
    whole, last : list of int
        The rows of each rank in a batch, and in the last one, which may be smaller.
    steps : int
        Batches of an epoch.
    lengths : list of int
        The samples of each shard; of all ranks where they have the same.
    rank : int
        This one.
    """

    whole: list[int]
    last: list[int]
    steps: int
    lengths: list[int]
    rank: int

    @property
    def is_sharded(self) -> bool:
        """Whether each rank has its own samples."""
        return len(self.lengths) > 1

    @property
    def size(self) -> int:
        """Rows that are drawn for a batch: all, or those of this rank's shard."""
        return self.whole[self.rank] if self.is_sharded else sum(self.whole)

    @property
    def used(self) -> int:
        """Rows that are drawn for an epoch."""
        last = self.last[self.rank] if self.is_sharded else sum(self.last)
        return self.size * (self.steps - 1) + last


def cut(rows: int, size: int) -> list[int]:
    """Return how many rows each rank has of some: the first ones have one more, if they do not divide."""
    return [rows // size + (rank < rows % size) for rank in range(size)]


def share_epochs(ranks: Ranks, samples: int, batch_size: int, drop_last: bool, sharded: bool) -> Batches:
    """Return how the ranks share an epoch; ValueError if there are too few samples for a batch."""
    if batch_size < ranks.size:
        raise ValueError(f"fit: batch_size is {batch_size}, expected a row for each of the {ranks.size} ranks")
    whole = cut(batch_size, ranks.size)
    if not sharded or ranks.size == 1:
        rest = 0 if drop_last else samples % batch_size
        steps, last = samples // batch_size + (rest > 0), cut(rest, ranks.size) if rest else whole
        return Batches(whole, last, steps, [samples], ranks.rank)
    lengths = ranks.of_all("begins a fit", samples)
    steps = min((n if drop_last else n + own - 1) // own for n, own in zip(lengths, whole, strict=True))
    if any(n < own for n, own in zip(lengths, whole, strict=True)):
        raise ValueError(f"fit: the shards have {lengths} samples, expected at least {whole} for a batch")
    left = sum(max(0, n - own * steps) for n, own in zip(lengths, whole, strict=True))
    if left >= batch_size and ranks.rank == 0:
        warnings.warn(
            f"fit: an epoch has the {steps} steps of the smallest shard: of {sum(lengths)} samples on all ranks "
            f"it leaves out {left}; shards of the same length leave out less than a batch",
            RuntimeWarning,
            stacklevel=3,
        )
    last = [min(own, n - own * (steps - 1)) for n, own in zip(lengths, whole, strict=True)]
    return Batches(whole, last, steps, lengths, ranks.rank)


class ShardOrders:
    """Draws the order of each shard's samples, all from one stream, as `Orders` does; has that of all, in turn."""

    def __init__(
        self, permutation: Callable[[int], Array], lengths: Sequence[int], rank: int, order: Array | None
    ) -> None:
        self._starts = np.cumsum([0, *lengths])[:-1].tolist()
        pairs = list(zip(self._starts, lengths, strict=True))
        owns = [None if order is None else order[start : start + n] - start for start, n in pairs]
        self._orders = [Orders(permutation, n, own) for n, own in zip(lengths, owns, strict=True)]
        self._rank = rank

    @property
    def order(self) -> Array:
        """The shards' orders in the last epoch, one after the other."""
        return np.concatenate([o.order + start for o, start in zip(self._orders, self._starts, strict=True)])

    def draw(self, epochs: int, used: int) -> Array:
        """Draw the order of one epoch; return the first `used` rows of this rank's shard."""
        drawn = [orders.draw(1, min(used, len(orders.order))) for orders in self._orders]
        return drawn[self._rank]


def orders_of(batches: Batches, permutation: Callable[[int], Array], order: Array | None) -> Orders | ShardOrders:
    """Return what draws the orders of the samples."""
    if batches.is_sharded:
        return ShardOrders(permutation, batches.lengths, batches.rank, order)
    return Orders(permutation, batches.lengths[0], order)


def begin_together(
    ranks: Ranks, trainer: Any, stream: Any, data: Sequence[Any], sharded: bool, **given: Any
) -> None:
    """Raise ValueError on all ranks if they are about to train differently; then give all the state of rank 0.

    Parameters
    ----------
    stream
        The fit's own stream, or None.
    data
        Its arrays, or None, in order.
    given
        What else must be the same.
    """
    if ranks.size == 1:
        return
    model, optimizer = trainer.model, trainer.optimizer
    data = [None if a is None else as_array(a, "fit") for a in data]
    ranks.agree(
        "fit",
        {
            "scratchnet": __version__,
            "the trainer": type(trainer).__name__,
            "the model": f"{type(model).__name__} of {[type(layer).__name__ for layer in layers_of(model)]}",
            "the parameters": [f"{np.shape(p)} {getattr(p, 'dtype', type(p))}" for p in flatten(model.params)],
            "the model's settings": _model_state.settings(model),
            "the optimizer": type(optimizer).__name__,
            "the optimizer's settings": ... if _goes_on(trainer) else _numbers_of(optimizer),
            "rng": None if stream is None else _streams.state_of(stream)["bit_generator"],
            "sharded": sharded,
            **given,
            "the data": [None if a is None else f"{np.shape(a)[sharded:]} {a.dtype}" for a in data],
            "the values of the data (their checksums)": None if sharded else [_digest(a) for a in data],
        },
    )
    held = ranks.from_first(lambda: _state_of(trainer, stream))
    if ranks.rank:
        _put_state(trainer, stream, held)


def _goes_on(trainer: Any) -> bool:
    """Whether a checkpoint was loaded, on which the fit goes on: one rank may have it for all."""
    return trainer._fit_state is not None and trainer._fit_state.is_loaded


def _numbers_of(optimizer: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(optimizer).items() if isinstance(value, bool | int | float | str)}


def _digest(array: Any) -> int | None:
    """Return a checksum of an array; on a GPU, of some rows."""
    if array is None or array.ndim == 0 or array.dtype.kind not in "biuf":
        return None
    if is_on_gpu(array):
        rows = np.unique(np.linspace(0, max(len(array) - 1, 0), _LOOKED_AT).astype(np.int64))
        return crc32(to_side(array[rows] if len(array) else array, to_gpu=False).tobytes())
    check, size = 0, max(1, _BLOCK * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), size):
        block: Any = np.ascontiguousarray(array[start : start + size])
        check = crc32(block, check)
    return check


def _state_of(trainer: Any, stream: Any) -> dict[str, Any]:
    model, optimizer, goes_on = trainer.model, trainer.optimizer, _goes_on(trainer)
    slots = _model_state.buffers(model) + (_model_state.states(model) if goes_on else [])
    return {
        "params": [to_side(p, to_gpu=False) for p in flatten(model.params)],
        "slots": [_model_state.on_cpu(getattr(*slot)) for slot in slots],
        "optimizer": optimizer.state_dict() if hasattr(optimizer, "state_dict") else vars(optimizer),
        "lists": {name: getattr(trainer, name) for name in trainer._lists},
        "fit": trainer._fit_state if goes_on else None,
        "streams": streams_of(stream),
    }


def _put_state(trainer: Any, stream: Any, held: dict[str, Any]) -> None:
    model, optimizer = trainer.model, trainer.optimizer
    params = flatten(model.params)
    for p, value in zip(params, held["params"], strict=True):
        p[...] = to_side(value, to_gpu=is_on_gpu(p))
    slots = [*_model_state.buffers(model), *_model_state.states(model)]
    for slot, value in zip(slots, held["slots"], strict=False):
        _model_state.put(slot, value, on_gpu=is_on_gpu(params[0]))
    if hasattr(optimizer, "load_state_dict"):
        optimizer.load_state_dict(held["optimizer"])
    else:
        vars(optimizer).update(held["optimizer"])
    for name, value in held["lists"].items():
        setattr(trainer, name, value)
    trainer._fit_state = held["fit"]
    put_streams(stream, held["streams"])


def streams_of(stream: Any) -> list[dict[str, Any]]:
    """Return the states of NumPy's global stream and of the fit's own, if there is one."""
    return [_streams.state_of(each) for each in ((None,) if stream is None else (None, stream))]


def share_streams(ranks: Ranks, stream: Any) -> None:
    """Give the streams of rank 0 to all: callbacks, or a model's own code, may have drawn on some."""
    if ranks.size > 1:
        put_streams(stream, ranks.from_first(lambda: streams_of(stream)))


def put_streams(stream: Any, states: list[dict[str, Any]]) -> None:
    """Set the streams to the states that `streams_of` gave."""
    for each, state in zip((None, stream), states, strict=False):
        _streams.set_state(each, _streams.checked_state(each, state))


def take_states(batches: Batches, model: Any) -> None:
    """Keep this rank's rows of what stateful layers had for a whole batch, in a checkpoint."""
    for layer, name in _model_state.states(model) if len(batches.whole) > 1 else ():
        state = getattr(layer, name)
        for sizes in (batches.whole, batches.last):
            if state is not None and len(state) == sum(sizes):
                start = sum(sizes[: batches.rank])
                setattr(layer, name, state[start : start + sizes[batches.rank]].copy())
                break


def end_epoch(ranks: Ranks, trainer: Any, is_stopped: bool) -> bool:
    """Whether a callback of any rank has ended the fit.

    Raises
    ------
    ValueError
        A callback has changed the ranks' parameters or learning rates in different ways.
    """
    if ranks.size == 1:
        return is_stopped
    check = crc32(repr(getattr(trainer.optimizer, "lr", None)).encode())
    for p in flatten(trainer.model.params):
        check = crc32(to_side(p, to_gpu=False).tobytes(), check)
    found = ranks.meet("ends an epoch", float(is_stopped), float(check))
    if (found[:, 1] != check).any():  # on all ranks: there are at least two values
        raise told(
            ValueError("fit: after the callbacks the parameters, or lr, are no longer the same on all ranks")
        )
    return bool(found[:, 0].any())


class SharedStep:
    """A training step of all ranks: each has gradients of its rows, all make the update of the whole batch's."""

    def __init__(self, ranks: Ranks, step: TrainStep) -> None:
        self._ranks, self._step = ranks, step
        self._grads: list[Any] = []
        self._flat: Array | None = None  # their memory, if it is in one piece

    def __call__(
        self,
        sizes: Sequence[int],
        amounts: Sequence[float],
        gradients: Callable[[Cut, float], Gradients],
        factor: Callable[[float], float],
    ) -> float:
        """Make a step; return the loss.

        Parameters
        ----------
        sizes, amounts
            Of each rank the number of its rows, and what its mean loss counts in that of the batch.
        gradients
            Takes the part of the batch and its share of the loss; returns the mean loss of its rows, the
            parameters and their gradients, of that loss times `factor` of the share.
        """
        rank, total, whole = self._ranks.rank, sum(sizes), in_order(amounts)
        own = sizes[rank]
        share = float(amounts[rank]) / whole if whole else own / total
        given = factor(share)
        rest = share / given if given and own else 1.0  # of the share
        start = sum(sizes[:rank]) if own else 0
        with Cut(start, own or 1, total, own > 0, total * rest, self._ranks.sum) as part:
            loss, params, grads = gradients(part, share)
        losses = self._ranks.meet("trains a step", share * float(loss) if share else 0.0)[:, 0]
        each = flatten(grads)
        if len(each) != len(self._grads) or not all(map(is_, each, self._grads)):
            self._grads, self._flat = each, _in_one_piece(each)
        flat = _joined(each) if self._flat is None else self._flat
        self._ranks.add_up(flat, rest if own else 0.0)
        self._step.update(params, grads if flat is self._flat else _parted(flat, each, grads))
        return in_order(losses)


def _in_one_piece(grads: list[Any]) -> Array | None:
    """Return the memory of gradients as one flat array, if they lie side by side."""
    if all(_model_state.is_array(g) and is_carray(g) for g in grads):
        runs = coalesce(grads, grads, [])
        if len(runs) == 1:
            return runs[0][0]
    return None


def _joined(grads: list[Any]) -> Array:
    """Return the numbers of gradients in a new flat array."""
    return np.concatenate([g.reshape(-1) if _model_state.is_array(g) else np.ravel(g) for g in grads])


def _parted(flat: Array, each: list[Any], grads: Any) -> Any:
    """Return gradients with the values of a flat array: written into them, but for those that are numbers."""
    start, new = 0, []
    for g in each:
        part = flat[start : start + np.size(g)].reshape(np.shape(g))
        start += np.size(g)
        if _model_state.is_array(g):
            g[...] = part
        new.append(g if _model_state.is_array(g) else part)
    return grads if all(map(_model_state.is_array, each)) else new


class Shared:
    """An engine that trains with the other ranks, on this rank's rows of each batch.

    Parameters
    ----------
    inner
        The engine that has the gradients of some rows.
    """

    def __init__(self, ranks: Ranks, batches: Batches, inner: Layers | Planned, job: Job) -> None:
        self.name, self._inner, self._job = inner.name, inner, job
        self._ranks, self._batches = ranks, batches
        self._counts = job.weights
        if job.weights is None:
            self._counts = counted(job.model, job.t, always=batches.is_sharded)
        self._step = SharedStep(ranks, TrainStep(job.model, job.optimizer, job.max_grad))

    def is_current(self, model: Any, optimizer: Any) -> bool:
        """Whether the engine trains what the model's own code would, after user code has run."""
        return self._inner.is_current(model, optimizer)

    def kept(self) -> None:
        """Return None: the next fit begins anew."""

    def epochs_at_once(self, steps: int) -> int:
        """Return 1: the ranks meet at each step."""
        return 1

    def train(self, rows: Array) -> list[float]:
        """Run one step on the first batch of an epoch's remaining rows; return its loss in a list."""
        (size,) = self._job.batches(len(rows), 1)
        sizes = self._batches.last if len(rows) == size else self._batches.whole
        own, is_sharded = sizes[self._ranks.rank], self._batches.is_sharded
        first = 0 if is_sharded else sum(sizes[: self._ranks.rank])
        mine = rows[first : first + own] if own else rows[:1]
        if isinstance(self._inner, Proved):
            self._inner.verify(rows[:size])
        amounts: Any = sizes
        if self._counts is not None and is_sharded:
            amounts = self._ranks.meet("sums statistics", float(self._counts[mine].sum()))[:, 0]
        elif self._counts is not None:
            amounts = [float(part.sum()) for part in np.split(self._counts[rows[:size]], np.cumsum(sizes)[:-1])]

        def gradients(part: Cut, share: float) -> Gradients:
            return self._inner.gradients(mine, part.start, part.total, share)

        return [self._step(sizes, amounts, gradients, self._inner.factor)]


class SharedText:
    """A step of a language model with the other ranks, on this rank's segments of a batch."""

    def __init__(self, ranks: Ranks, batches: Batches, step: TrainStep, model: Any) -> None:
        self._rank, self._sizes, self._own, self._model = ranks.rank, batches.whole, step, model
        self._step = SharedStep(ranks, step)

    def __call__(self, x: Array, t: Array) -> float:
        """Run a step on a batch of words and those after them; return the loss."""
        start = sum(self._sizes[: self._rank])
        mine, counts = slice(start, start + self._sizes[self._rank]), counted(self._model, t)
        amounts: Any = self._sizes
        if counts is not None:
            amounts = [float(part.sum()) for part in np.split(counts, np.cumsum(self._sizes)[:-1])]
        return self._step(sizes=self._sizes, amounts=amounts, factor=lambda share: 1.0,
                          gradients=lambda part, share: self._own.gradients(x[mine], t[mine]))  # fmt: skip


def counted(model: Any, t: Any, *, always: bool = False) -> Array | None:
    """Return how many labels of each row the model's loss counts, if some losses ignore labels; None if all."""
    ignored = [layer.ignore_label for layer in layers_of(model) if hasattr(layer, "ignore_label")]
    if not ignored or t.dtype.kind != "i":
        return None
    counts = to_side((t != ignored[0]).reshape(len(t), -1).sum(axis=1), to_gpu=False).astype(float)
    return counts if always or (counts != counts.max(initial=0)).any() else None


def choose_shared(
    ranks: Ranks, batches: Batches, compile: bool | None, job: Job, *, is_new: bool, kept: Planned | None = None
) -> Layers | Planned | Shared:
    """Return the engine that trains a job on all ranks; see `choose_engine`."""
    if ranks.size == 1:
        return choose_engine(compile, job, is_new=is_new, kept=kept)
    inner = choose_engine(compile, job, is_new=is_new)
    if isinstance(inner, Planned) and (inner.plan.is_on_gpu or inner.plan.has_statistics):
        if compile:
            raise NoPlanError("over MPI neither batch normalization nor the GPU has whole steps")
        inner = choose_engine(False, job, is_new=is_new)
    return Shared(ranks, batches, inner, job)
