"""What the trainers monitor, so that training does not fail silently.

Whether the arrays that are trained are those that the layers use, whether backward writes every gradient, and
whether the loss is a number.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import numpy as np

from ._arrays import is_on_gpu
from ._parts import attributes_of, flatten, layers_of


def check_links(who: str, model: Any) -> None:
    """Raise ValueError if training would not change what a model's layers compute with.

    Its params may be copies of the layers' arrays. A layer's array that is not among the params may be
    intended (it is not trained), and so may an array among the params that no layer has; but not both with the
    same values. Or a layer may be of book 1's kind, whose weights are in W and not in a list, and be missed.
    """
    params = flatten(model.params)
    trained = {id(p) for p in params}
    layers = layers_of(model)
    _check_book_1_s_layers(who, layers, trained)
    if trained <= {id(array) for layer in layers for array in _listed(layer)}:
        return
    held = list(_arrays_in(model))
    ids = {id(array) for array in held}
    lost = [(i, p) for i, p in enumerate(params) if _is_array(p) and id(p) not in ids]
    left = [array for array in held if id(array) not in trained] if lost else []
    for i, p in lost:
        for array in left:
            if array.shape == p.shape and array.dtype == p.dtype and bool((array == p).all()) and p.size:
                raise ValueError(
                    f"{who}: params[{i}] of {type(model).__name__} is a copy of an array that the model computes "
                    f"with, of shape {p.shape}: training would change only the copy. This happens when a model "
                    "is copied or loaded in a way that does not preserve shared arrays; build the lists "
                    "params and grads from those of the layers again"
                )


def _listed(layer: Any) -> Sequence[Any]:
    """Return a layer's own list of parameters."""
    listed = layer.__dict__.get("params")
    return listed if isinstance(listed, list | tuple) else ()


def _check_book_1_s_layers(who: str, layers: Sequence[Any], trained: set[int]) -> None:
    for layer in layers:
        for name in ("W", "gamma"):
            weights = getattr(layer, name, None)
            if weights is None or id(weights) in trained:
                continue
            listed = {id(p) for p in getattr(layer, "params", None) or ()}
            if _is_array(weights) and hasattr(layer, f"d{name}") and id(weights) not in listed:
                raise ValueError(
                    f"{who}: {type(layer).__name__} (of {type(layer).__module__}) keeps its weights in {name}, as "
                    "book 1's layers do, and not in a list params: they would not be trained. Such layers are for "
                    "book 1's Trainer, scratchnet.book1.trainer.Trainer, or for a loop of your own"
                )


def _arrays_in(model: Any) -> Iterator[Any]:
    """Yield the arrays that a model holds outside its lists params and grads: in attributes, lists and layers."""
    seen: set[int] = set()
    todo = [value for name, value in attributes_of(model).items() if name not in ("params", "grads")]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _is_array(value):
            yield value
        elif isinstance(value, list | tuple):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
        elif hasattr(value, "forward"):
            todo += attributes_of(value).values()


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_on_gpu(value)


class FirstBackward:
    """Checks that the first backward of a fit writes every gradient. (On the GPU, only that there is one for each
    parameter, so as not to wait for their values.)

    Parameters
    ----------
    who
        The function's name, for the error.
    model
        The model, before its first forward.
    """

    def __init__(self, who: str, model: Any) -> None:
        self._who, self._model = who, model
        grads = getattr(model, "grads", None)
        self._before = [(g, g.copy()) for g in flatten(grads or []) if isinstance(g, np.ndarray)]

    def check(self) -> None:
        """Raise ValueError, after backward, if a gradient is missing or was not written; it says which.

        A gradient with unchanged values may have been written: then backward is called once more, to see whether
        it overwrites a different value. Afterwards all gradients are as before.
        """
        model = self._model
        params, grads = flatten(model.params), getattr(model, "grads", None)
        if grads is None:
            raise ValueError(f"{self._who}: the model has no grads after backward, which training requires")
        grads = flatten(grads)
        if len(params) != len(grads):
            raise ValueError(
                f"{self._who}: the model has {len(params)} parameters and {len(grads)} gradients; training "
                "requires one for each"
            )
        as_before = {id(g) for g, before in self._before if g.size and bool((g == before).all())}
        doubtful = [i for i, g in enumerate(grads) if id(g) in as_before]
        if not doubtful:
            return
        written = [(g, g.copy()) for g in grads if _is_array(g)]
        for i in doubtful:
            grads[i][...] = 1.5
        try:
            model.backward()
            unwritten = [i for i in doubtful if bool((grads[i] == 1.5).all())]
        except Exception:  # if backward cannot be called twice, nothing can be said about the gradients
            unwritten = []
        for g, numbers in written:
            g[...] = numbers
        if unwritten:
            whose = _owner(model, grads[unwritten[0]])
            raise ValueError(
                f"{self._who}: backward did not write grads[{unwritten[0]}]{whose}, so its parameter would never "
                "be trained. Layers write their gradients into the arrays of the list grads; those of book 1 have "
                "dW and db in its place, and are for book 1's Trainer, scratchnet.book1.trainer.Trainer"
            )


def _owner(model: Any, grad: Any) -> str:
    for layer in layers_of(model):
        if any(g is grad for g in getattr(layer, "grads", ())):
            return f" (of a layer {type(layer).__name__}, from {type(layer).__module__})"
    return ""


class LossWatch:
    """Warns once that a loss is not a finite number: the parameters then seldom are either.

    Parameters
    ----------
    who
        The function's name, for the warning.
    steps
        Steps per epoch.
    depth
        Calls between the caller, whom the warning names, and `look`.
    """

    def __init__(self, who: str, steps: int, depth: int = 1) -> None:
        self._who, self._steps, self._depth = who, steps, depth
        self._said = False

    def look(
        self, losses: Sequence[float], made: int, x: Any = None, rows: Any = None, batches: Sequence[int] = ()
    ) -> None:
        """Check the losses of some steps.

        Parameters
        ----------
        losses
            One for each step.
        made : int
            Steps run before them, since the first epoch started.
        x, rows
            All samples, and the indices of those used in the steps, batch after batch.
        batches
            Sizes of the batches.
        """
        if self._said or isfinite(sum(losses)):
            return
        k = next((k for k, loss in enumerate(losses) if not isfinite(loss)), None)
        if k is None:  # only the sum overflowed
            return
        self._said = True
        epoch, step = divmod(made + k, self._steps)
        cause = "; a smaller learning rate may help, or max_grad"
        if _is_array(x):
            start = sum(batches[:k])
            batch = rows[start : start + batches[k]]
            wrong = [row for row in batch.tolist() if x[row].dtype.kind == "f" and not np.isfinite(x[row]).all()]
            if wrong:
                cause = f"; x has values that are not finite, for example in row {wrong[0]}"
        warnings.warn(
            f"{self._who}: the loss is {losses[k]} in epoch {epoch + 1}, step {step + 1} of {self._steps}{cause}",
            RuntimeWarning,
            stacklevel=self._depth + 2,
        )
