"""The file of a checkpoint: its entries, and how they are read and checked against a trainer.

Entries: `format`; `params/i`, `buffers/i` and `states/i` (h and c of stateful layers); `optimizer`, what its
`state_dict` returns; `order`, of the samples; `rng`, NumPy's global stream and the fit's own; `trainer`, its lists
and counts; `callbacks`, the states of those that have one. Text is JSON, in which {"array": name} stands for the
array of that entry. Nothing is pickled.
"""

from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _model_state, _streams
from ._arrays import Array, described, is_on_gpu
from ._files import open_file, whole_file
from ._fit_state import FitState, is_count
from ._npz import Archive, Header
from ._parts import layers_of, remove_duplicate
from .optimizer import Optimizer
from .util import to_cpu

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = "scratchnet checkpoint 1"
_TEXTS = ("format", "optimizer", "rng", "trainer", "callbacks")


# Writing


def write_checkpoint(path: Path, trainer: Any, states: list[Array | None] | None = None) -> None:
    """Write a trainer's run; errors are those of `ResumableTrainer.save_checkpoint`.

    `states` are those of stateful layers, if not the model's own.
    """
    arrays = _entries(trainer)
    for i, state in enumerate(states or ()):
        if state is not None:
            arrays[f"states/{i}"] = state
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _entries(trainer: Any) -> dict[str, Array]:
    """Return everything that a checkpoint contains."""
    who, model = "save_checkpoint", trainer.model
    arrays = {f"params/{i}": to_cpu(p) for i, p in enumerate(_model_state.parameters(who, model))}
    for kind in ("buffers", "states"):
        for i, (layer, name) in enumerate(getattr(_model_state, kind)(model)):
            if getattr(layer, name) is not None:
                arrays[f"{kind}/{i}"] = to_cpu(getattr(layer, name))
    state = (trainer._fit_state or FitState({})).refresh()
    for callback in state.callbacks:
        if not isinstance(callback["state"], dict):
            raise ValueError(
                f"save_checkpoint: state_dict of the callback {callback['type']} must return a dictionary, got "
                f"{described(callback['state'])}"
            )
    if state.order is not None:
        arrays["order"] = state.order
    texts: dict[str, Any] = {
        "optimizer": _packed("optimizer", trainer.optimizer.state_dict(), arrays),
        "rng": {"numpy": _streams.state_of(None), "own": state.own_stream},
        "trainer": {
            "class": type(trainer).__name__,
            "layers": _layer_names(model),
            "settings": _model_state.settings(model),
            "sizes": state.sizes,
            "epochs": state.epochs,
            "window": state.window,
            "is_stopped": state.is_stopped,
            **{name: getattr(trainer, name) for name in trainer._lists},
        },
        "callbacks": _packed("callbacks", state.callbacks, arrays),
    }
    written = {name: np.array(_json(name, value)) for name, value in texts.items()}
    return {"format": np.array(_FORMAT)} | written | arrays


def _layer_names(model: Any) -> list[str]:
    """Return the classes of a model's layers, which its parameters do not tell; not of layers within layers."""
    return sorted(type(layer).__name__ for layer in layers_of(model))


def _json(name: str, value: Any) -> str:
    def number(value: Any) -> Any:
        if isinstance(value, np.generic):
            return float(value) if isinstance(value, np.floating) else value.item()  # a longdouble's is itself
        raise TypeError(f"a {type(value).__name__}")

    try:
        return json.dumps(value, default=number)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"save_checkpoint: the {name}'s state contains what a checkpoint cannot hold: {error}"
        ) from None


def _packed(where: str, value: Any, arrays: dict[str, Array]) -> Any:
    """Return a value as JSON can hold it; its arrays are added to `arrays` by their place."""
    if _model_state.is_array(value):
        array = to_cpu(value)
        if array.dtype.kind not in "biufc":
            raise ValueError(f"save_checkpoint: {where} is an array of {array.dtype}, expected numbers")
        arrays[where] = array
        return {"array": where}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value) or value.keys() == {"array"}:
            raise ValueError(f"save_checkpoint: {where} must be a dictionary of names, got the keys {list(value)}")
        return {key: _packed(f"{where}/{key}", entry, arrays) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(f"{where}/{i}", entry, arrays) for i, entry in enumerate(value)]
    return value


# Reading


@dataclass
class CheckpointContent:
    """A file's content, checked against a trainer."""

    params: list[Array]
    slots: list[tuple[_model_state.Slot, Array | None]]
    optimizer: dict[str, Any]
    numpy_stream: dict[str, Any]
    lists: dict[str, Any]
    fit_state: FitState

    def restore(self, trainer: Any) -> None:
        """Give a trainer, its model and its optimizer, and NumPy's global stream the content."""
        params = _model_state.parameters("load_checkpoint", trainer.model)
        on_gpu = any(map(is_on_gpu, params))
        trainer.optimizer.load_state_dict(self.optimizer)
        _model_state.put_parameters(params, self.params)
        for slot, value in self.slots:
            _model_state.put(slot, value, on_gpu=on_gpu)
        for name, value in self.lists.items():
            setattr(trainer, name, value)
        _streams.set_state(None, self.numpy_stream)
        trainer._fit_state = self.fit_state


def read_checkpoint(path: Path, trainer: Any, content: bytes | None = None) -> CheckpointContent:
    """Return a checkpoint that fits a trainer; ValueError if it does not, or is damaged.

    `content` is that of the file, if it is not to be read.
    """
    with open_file(path) if content is None else io.BytesIO(content) as file:
        try:
            archive = Archive(file)
            headers = archive.headers
            texts = {name: _text(archive, name) for name in _TEXTS[:1]}
            if texts["format"] != _FORMAT:
                raise ValueError(f"its format is {texts['format']!r}, expected {_FORMAT!r}")
            nbytes = sum(header.nbytes for header in headers.values())
            if nbytes > file.seek(0, os.SEEK_END):  # nothing is compressed
                raise ValueError(f"its entries have {nbytes} bytes")
            told = json.loads(_text(archive, "trainer"))
            if told["class"] != type(trainer).__name__:
                raise _MisfitError(f"it is of a {told['class']}, expected a {type(trainer).__name__}")
            if told["layers"] != (names := _layer_names(trainer.model)):
                raise _MisfitError(f"its model has the layers {told['layers']}; this one has {names}")
            _check_settings(told.get("settings"), trainer.model)
            _check_model(headers, trainer.model)
            values = {name: json.loads(_text(archive, name)) for name in ("optimizer", "rng", "callbacks")}
            arrays = {name: archive.read(name) for name in headers if name not in _TEXTS}
            return _checked(told, values, arrays, trainer)
        except _MisfitError as error:
            raise ValueError(f"{path} does not fit: {error}") from None
        except Exception as error:  # zipfile, zlib, NumPy and JSON each have their own errors for damage
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else error
            raise ValueError(f"{path} is not a checkpoint, or is damaged: {reason}") from None


class _MisfitError(ValueError):
    """A checkpoint belongs to another trainer."""


def _text(archive: Archive, name: str) -> str:
    if name not in archive.headers:
        raise ValueError(f"it has no entry {name!r}")
    shape, dtype = archive.headers[name]
    if dtype.kind != "U" or shape != ():
        raise ValueError(f"{name} has dtype {dtype} and shape {shape}, expected a text")
    return str(archive.read(name))


def _check_settings(stored: dict[str, list[float]] | None, model: Any) -> None:
    """Raise an error unless the settings are the model's; checkpoints of earlier versions have none."""
    own = _model_state.settings(model)
    for name in own | stored if stored is not None else ():
        values = [", ".join(map(repr, of.get(name, ()))) or "none" for of in (stored or {}, own)]
        if values[0] != values[1]:
            raise _MisfitError(f"its model has {name} {values[0]}; this one has {values[1]}")


def _check_model(headers: dict[str, Header], model: Any) -> None:
    """Raise an error unless the parameters and buffers are the model's, by number, shape and dtype."""
    own = [(p.shape, p.dtype) for p in _model_state.parameters("load_checkpoint", model)]
    stored = [tuple(headers[name]) for name in _numbered("params", headers)]
    if stored != own:
        raise _MisfitError(f"it has parameters {_list(stored)}; the model has {_list(own)}")
    for kind in ("buffers", "states"):
        slots = getattr(_model_state, kind)(model)
        names = [name for name in headers if name.startswith(f"{kind}/")]
        if not set(names) <= {f"{kind}/{i}" for i in range(len(slots))}:
            raise _MisfitError(f"it has {len(names)} {kind} of layers; the model has {len(slots)}")
        for i, (layer, name) in enumerate(slots):
            header, now = headers.get(f"{kind}/{i}"), getattr(layer, name)
            if header is None:
                continue
            is_other = kind == "buffers" and now is not None and np.shape(now) != header.shape
            if header.dtype.kind != "f" or is_other:
                raise _MisfitError(
                    f"it has a {name} {_list([tuple(header)])} of a layer; the model's {type(layer).__name__} has "
                    f"{np.shape(now)}"
                )


def _numbered(kind: str, headers: dict[str, Header]) -> list[str]:
    count = sum(name.startswith(f"{kind}/") for name in headers)
    return [f"{kind}/{i}" for i in range(count)]


def _list(arrays: Sequence[Any]) -> str:
    return ", ".join(f"{tuple(shape)} {dtype}" for shape, dtype in arrays) or "nothing"


def _checked(
    told: dict[str, Any], values: dict[str, Any], arrays: dict[str, Array], trainer: Any
) -> CheckpointContent:
    """Return a file's content; raises any kind of error if something in it is missing or invalid."""
    params = [arrays.pop(name) for name in [f"params/{i}" for i in range(len(arrays))] if name in arrays]
    slots = [
        (slot, arrays.pop(f"{kind}/{i}", None))
        for kind in ("buffers", "states")
        for i, slot in enumerate(getattr(_model_state, kind)(trainer.model))
    ]
    order = arrays.pop("order", None)
    optimizer = _unpacked(values["optimizer"], arrays)
    callbacks = _unpacked(values["callbacks"], arrays)
    if arrays:
        raise ValueError(f"nothing refers to its entries {sorted(arrays)}")
    _check_optimizer(optimizer, trainer)
    lists = {name: told[name] for name in trainer._lists}
    for name, is_valid in trainer._lists.items():
        if not is_valid(lists[name]):
            raise ValueError(f"its {name} is invalid")
    sizes, (total, count) = told["sizes"], told["window"]
    own_stream = values["rng"]["own"]
    is_right = (
        isinstance(sizes, dict)
        and all(map(is_count, (*sizes.values(), told["epochs"], count)))
        and isinstance(total, int | float)
        and isinstance(told["is_stopped"], bool)
        and (own_stream is None or isinstance(own_stream, dict))
        and all(isinstance(c["type"], str) and isinstance(c["state"], dict) for c in callbacks)
    )
    if not is_right:
        raise ValueError("its trainer's state is invalid")
    samples = sizes.get("samples", 0)
    if order is None:
        if samples:
            raise ValueError("it has no order of the samples")
    elif order.dtype != np.int64 or order.shape != (samples,) or (np.sort(order) != np.arange(samples)).any():
        raise ValueError("its order is not one of the samples")
    state = FitState(
        sizes,
        own_stream=own_stream,
        callbacks=callbacks,
        epochs=told["epochs"],
        window=(float(total), count),
        order=order,
        is_stopped=told["is_stopped"],
        is_loaded=True,
    )
    return CheckpointContent(
        params, slots, optimizer, _streams.checked_state(None, values["rng"]["numpy"]), lists, state
    )


def _unpacked(value: Any, arrays: dict[str, Array]) -> Any:
    """Return a value that `_packed` made; its arrays are taken from `arrays`."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return arrays.pop(value["array"])
        return {key: _unpacked(entry, arrays) for key, entry in value.items()}
    return [_unpacked(entry, arrays) for entry in value] if isinstance(value, list) else value


def _check_optimizer(state: dict[str, Any], trainer: Any) -> None:
    """Raise an error unless the trainer's optimizer takes a state, of arrays like the model's parameters."""
    optimizer = trainer.optimizer
    try:
        copy.copy(optimizer).load_state_dict(state)
    except ValueError as error:
        raise _MisfitError(str(error)) from None
    if isinstance(optimizer, Optimizer):
        params = _model_state.parameters("load_checkpoint", trainer.model)
        expected = [(p.shape, p.dtype) for p in remove_duplicate(params, [0] * len(params))[0]]
        for name, value in state.items():
            if isinstance(value, list) and [(a.shape, a.dtype) for a in value] != expected:
                raise ValueError(f"the optimizer's {name} does not fit the parameters")
