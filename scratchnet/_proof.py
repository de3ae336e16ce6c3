"""A user's own model in whole steps: its chain of layers is recorded, then verified to train as its own code does.

This is done on copies, and the random streams are restored afterwards. If the model's own code runs the same
kernels in the same order, it gives the same bits, so bits are compared; on the GPU, where whole steps may sum in
another order, values are compared relative to their magnitude. No such check can detect behaviour that starts
after it, or for batches that it did not see; so it is repeated during a fit (`_engines.py`).
"""

from __future__ import annotations

import copy
from _thread import RLock
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._arrays import Array, is_on_gpu
from ._compute import in_full
from ._parts import attributes_of, flatten, layers_of
from .backends import to_host
from .plan import NoPlanError

# Of the largest number of the same gradient or parameter: rounding of a step on the GPU, whose sums of some
# thousand terms may be made in another order.
_ON_GPU = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-12}


def copied(*things: Any, shared: Sequence[Any]) -> Any:
    """Return copies of a model and what belongs to it; `shared`, the data, is not copied.

    Raises
    ------
    NoPlanError
        Something in them cannot be copied; a method that replaces the model's own is shared with the copy, and may
        change the model.
    """
    for thing in things:
        for name, value in attributes_of(thing).items():
            if callable(value) and hasattr(type(thing), name):
                raise NoPlanError(f"{type(thing).__name__} has a {name} of its own, unlike its class")
    try:
        return copy.deepcopy(things, {id(thing): thing for thing in shared})
    except Exception as error:  # whatever a user's class, or its content, raises
        raise NoPlanError(f"the model cannot be copied, which the check requires: {error}") from None


_turn = RLock()  # what one thread draws for its check would look to another as drawn by that one's model


@contextmanager
def streams_put_back() -> Iterator[None]:
    """Context manager that restores NumPy's and Python's global random streams; one thread at a time is in it."""
    import random  # on use: it takes an eighth of what importing scratchnet takes

    with _turn:
        numpys, pythons = _streams()
        try:
            yield
        finally:
            np.random.set_state(numpys)
            random.setstate(pythons)


def _streams() -> tuple[Any, Any]:
    import random

    return np.random.get_state(), random.getstate()


def record(model: Any, x: Array, t: Array) -> list[Any]:
    """Return the layers that a model's forward calls on the samples x and labels t, in a chain.

    Raises
    ------
    NoPlanError
        A layer has its own forward, or does not accept the output of the one before it, or there is no layer.
    """
    layers = layers_of(model)
    for layer in layers:
        if "forward" in attributes_of(layer):
            raise NoPlanError(f"the layer {type(layer).__name__} has a forward of its own")
    (twin,) = copied(model, shared=(x, t))
    calls: list[tuple[int, Any, Any]] = []
    twins = layers_of(twin)
    if list(map(type, twins)) != list(map(type, layers)):
        raise NoPlanError("the model cannot be copied, which the check requires: its copy has different layers")
    for place, layer in enumerate(twins):
        if hasattr(layer, "__dict__"):
            layer.forward = _recording(place, layer.forward, calls)
    with streams_put_back():
        twin.forward(x, t)
    passed: Any = x
    for place, given, gave in calls:
        if given is not passed:
            source = "samples as they are" if passed is x else "output of the layer before it"
            raise NoPlanError(f"{type(layers[place]).__name__} does not accept the {source}")
        passed = gave
    if not calls:
        raise NoPlanError("the model's forward calls none of scratchnet's layers")
    chain = [layers[place] for place, _, _ in calls]
    if len({id(layer) for layer in chain}) != len(chain):
        raise NoPlanError("a layer is used twice")
    return chain


def _recording(place: int, forward: Any, calls: list[tuple[int, Any, Any]]) -> Any:
    def recorded(x: Any, *t: Any) -> Any:
        out = forward(x, *t)
        calls.append((place, x, out))
        return out

    return recorded


class Twin:
    """A copy of a user's model and its optimizer, on which steps of the model's own code are run.

    Parameters
    ----------
    model, optimizer
        They are not changed.
    step_of
        Returns the function that runs a step layer by layer, on the rows of a batch, with the given model and
        optimizer; that function returns the loss.
    data
        The training data, which the model may hold too.

    Raises
    ------
    NoPlanError
        They cannot be copied.
    """

    def __init__(
        self, model: Any, optimizer: Any, step_of: Callable[[Any, Any], Callable[[Array], Any]], data: Any
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._own, self._own_optimizer = copied(model, optimizer, shared=data)
        self._step, self._data = step_of(self._own, self._own_optimizer), data
        self._loss = 0.0
        weights = flatten(model.params)[0]
        self._bound = _ON_GPU[weights.dtype] if is_on_gpu(weights) else None

    def make_step(self, batch: Array) -> None:
        """Run the model's next step here, from the current parameters and optimizer state."""
        for own, now in zip(flatten(self._own.params), flatten(self._model.params), strict=True):
            own[...] = now
        self._own_optimizer.load_state_dict(self._optimizer.state_dict())
        for g in flatten(self._own.grads):
            g[...] = np.nan  # shows what backward does not write, and what it adds to
        with in_full():  # as whole steps do
            self._loss = float(self._step(batch))

    def what_differs(self, loss: float) -> str | None:
        """Say how the model, after the step was run the other way, differs from its twin; None if it does not."""
        if not self._same(loss, self._loss):
            return f"the model's own loss is {self._loss!r}, that of its chain of layers {loss!r}"
        for name in ("grads", "params"):
            ours, theirs = flatten(getattr(self._own, name)), flatten(getattr(self._model, name))
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                if not self._same(a, b):
                    return f"after one step, {name}[{i}] differs from that of the model's own code"
        theirs = self._optimizer.state_dict()
        for name, mine in self._own_optimizer.state_dict().items():
            arrays = zip(mine, theirs[name], strict=True) if isinstance(mine, list) else ()
            if not (all(self._same(a, b) for a, b in arrays) if arrays else mine == theirs[name]):
                return f"after one step, the optimizer's {name} differs from that of the model's own code"
        return None

    def what_is_kept(self, batch: Array) -> str | None:
        """Say what the model's own code carries over to the next step, or draws at random; None if nothing.

        The last step is run again from the same values: a count, an average or a decaying rate shows as a
        difference from the first run.
        """
        import random

        (first,) = copied(self._own, shared=self._data)
        loss = self._loss
        np.random.rand(), random.random()  # different random numbers from the first run
        before = _streams()
        self.make_step(batch)
        if not _same(before, _streams(), set()):
            return "the model's own code draws random numbers"
        for name, before in attributes_of(first).items():
            if not _same(before, attributes_of(self._own).get(name), set()):
                return f"the same step run twice gives different results: the model's {name} differ"
        return None if _same(loss, self._loss, set()) else "the same step run twice gives different losses"

    def _same(self, a: Any, b: Any) -> bool:
        """Whether arrays are equal: bit for bit on the CPU, relative to the largest value on the GPU."""
        if self._bound is None:
            return np.asarray(a).tobytes() == np.asarray(b).tobytes()
        a, b = (to_host(n) if is_on_gpu(n) else np.asarray(n) for n in (a, b))
        return bool(np.allclose(a, b, rtol=0, atol=self._bound * np.abs(a).max(initial=0), equal_nan=True))


def _same(a: Any, b: Any, seen: set[tuple[int, int]]) -> bool:
    """Whether two objects have the same content."""
    import random

    if a is b or (id(a), id(b)) in seen:
        return True
    seen.add((id(a), id(b)))
    if type(a) is not type(b):
        return False
    if is_on_gpu(a):
        return _same(to_host(a), to_host(b), seen)
    if isinstance(a, np.ndarray | np.generic | int | float | complex):
        return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")
    if isinstance(a, np.random.Generator):
        return bool(a.bit_generator.state == b.bit_generator.state)
    if isinstance(a, np.random.RandomState | random.Random):
        mine, other = (g.getstate() if isinstance(g, random.Random) else g.get_state() for g in (a, b))
        return _same(mine, other, seen)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], seen) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y, seen) for x, y in zip(a, b, strict=True))
    attributes = attributes_of(a)
    if attributes:
        return _same(attributes, attributes_of(b), seen)
    try:
        return bool(a == b)
    except Exception:  # whatever a user's class raises: it cannot be called equal
        return False
