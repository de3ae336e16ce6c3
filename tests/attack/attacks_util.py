"""Attacks on the small helpers of util, weights and backends, and on the data sets that are made."""

from __future__ import annotations

from typing import Any

import numpy as np
from attacks_language import Parrot
from judge import Expected, Trial, chained, exactly, rounding
from numpy_books import book2
from numpy_books.book2.dataset import spiral as book_spiral
from odd import Draw, Refused, float_dtype, parameter_dtype, plain, plain_labels, plain_number, plain_whole
from table import attack

from scratchnet import _arrays, _parts, util, weights
from scratchnet.backends import cpu
from scratchnet.dataset import sequence, spiral


@attack("util.clip_grads")
def clip_grads(draw: Draw) -> Trial:
    grads = [draw.parameter(draw.shape(least=1, most=2), dtype=draw.pick(("f4", "f8"))) for _ in range(2)]
    for g in grads:
        if isinstance(g, np.ndarray) and not g.flags.writeable:
            draw.note("read-only", legal=False)
    most = draw.number(1, 0.1, 100.0, 0, odd=0.2)
    before = [g.copy() if isinstance(g, np.ndarray) else g for g in grads]

    def call() -> list[Any]:
        util.clip_grads(grads, most)
        return [np.array(g) for g in grads]

    def expect() -> list[Expected]:
        arrays, limit = [plain(g, parameter_dtype(g)) for g in before], plain_number(most)
        if not limit >= 0:
            raise Refused("max_norm")
        with np.errstate(all="ignore"):
            norm = np.sqrt(sum(np.sum(a * a) for a in arrays))
            rate = limit / (norm + 1e-6)
        if not np.isfinite(norm) or not np.isfinite(limit):
            return [Expected(np.zeros(a.shape), np.inf) for a in arrays]
        rate = rate if rate < 1 else 1.0
        terms = sum(a.size for a in arrays) + 32
        return [
            Expected(a * rate, terms * rounding("f4") * np.abs(a * rate) + 1e-44, g.dtype)
            for a, g in zip(arrays, before, strict=True)
        ]

    return Trial(call, expect, state=[grads])


@attack("_parts.remove_duplicate", share=0.5)
def remove_duplicate(draw: Draw) -> Trial:
    params, grads = [], []
    for _ in range(int(draw.rng.integers(1, 5))):
        how = draw.pick(("new", "same", "transposed")) if params else "new"
        new = draw.rng.standard_normal((draw.pick((2, 3)), 3))
        p = new if how == "new" else params[0] if how == "same" else params[0].T
        params.append(p)
        grads.append(draw.rng.standard_normal(p.shape))
    by_value = draw.chance(0.5)
    copies = [g.copy() for g in grads]

    def call() -> list[Any]:
        kept, sums = util.remove_duplicate(params, grads, by_value=by_value)
        return [*kept, *sums]

    def expect() -> list[Expected]:
        kept, sums = book2.trainer.remove_duplicate(params, copies)
        return [Expected(a, 1e-14 * (1 + np.abs(a))) for a in (*kept, *sums)]

    return Trial(call, expect, [params])


@attack("_parts.flatten", "_parts.named_params", "_parts.layers_of", "_parts.attributes_of", share=0.5)
def lists_of_parameters(draw: Draw) -> Trial:
    W, b = np.ones((2, 3)), np.ones(3)
    assert _parts.attributes_of(Parrot([1])) == {"answer": [1]}
    params = draw.pick(([W, b, W, b], [[W, b], [W, b]], (W, (b, [W]), b), "W", None, 5, {"W": W}))
    legal = isinstance(params, list | tuple)
    draw.is_legal &= legal

    class Model:
        layers = (1, 2)

        def __init__(self) -> None:
            self.a, self.b = [Parrot([])], {"x": util}

    def call() -> list[Any]:
        flat = _parts.flatten(params)
        return [len(flat), ",".join(_parts.named_params(params)), len(_parts.layers_of(Model()))]

    def expect() -> list[Any]:
        if not legal:
            raise Refused("no list")
        return [4, "W1,b1,W2,b2", 0]

    return Trial(call, expect, [params])


class Scores:
    """A model whose scores are a product."""

    def __init__(self, W: np.ndarray) -> None:
        self.W = W

    def predict(self, x: Any) -> Any:
        return np.asarray(x, np.float64) @ self.W


@attack("util.accuracy", "util.predict", "util.row_blocks", "util.class_indices")
def accuracy(draw: Draw) -> Trial:
    N, C = max(draw.size(), 1), max(draw.size(low=2), 2)
    x, t = draw.numbers((N, 3), "f8", extremes=False), draw.labels(N, C)
    W = draw.numbers((3, C), "f8", extremes=False)
    block = draw.whole(1, 3, 4096, odd=0.2)
    method = draw.pick(("accuracy", "predict", "class_indices"))

    def expect() -> list[Expected]:
        if method != "class_indices" and plain_whole(block) < 1:
            raise Refused("block_size")
        if method == "predict":
            return [chained(x @ W, 8, "f8")]
        labels = plain_labels(t, N if method == "accuracy" else len(np.asarray(t)) if np.ndim(t) else 1, C)
        return exactly(labels if method == "class_indices" else np.mean((x @ W).argmax(axis=1) == labels))

    def call() -> Any:
        if method == "accuracy":
            return util.accuracy(Scores(W), x, t, block_size=block)
        if method == "predict":
            return util.predict(Scores(W), x, block_size=block)
        return util.class_indices("t", t if hasattr(t, "__len__") else np.atleast_1d(t), C)

    return Trial(call, expect, [x, t])


@attack("util.to_cpu", "_arrays.as_array", "_arrays.is_on_gpu", share=0.3)
def as_array(draw: Draw) -> Trial:
    x = draw.array(draw.shape(), calm=True)
    return Trial(
        lambda: [util.to_cpu(x), _arrays.as_array(x), _arrays.is_on_gpu(x)],
        lambda: [*exactly(np.asarray(x), np.asarray(x)), False],
        [x],
    )


@attack("_arrays.as_operand", "_arrays.as_float_array", "_arrays.is_carray",
        "_arrays.is_writable", "_arrays.check_parameter")  # fmt: skip
def as_operand(draw: Draw) -> Trial:
    x, dtype = draw.array(draw.shape()), np.dtype(draw.pick(("f4", "f8")))

    def call() -> Any:
        a, b = _arrays.as_operand("x", x, np.empty(1, dtype)), _arrays.as_float_array("x", x)
        return [a, b, _arrays.is_carray(a) or not a.flags.writeable, _arrays.check_parameter("x", b) is b]

    def expect() -> list[Any]:
        return [*exactly(plain(x, dtype), plain(x, float_dtype(x))), True, True]

    return Trial(call, expect, [x])


@attack(
    "_arrays.as_number",
    "_arrays.as_scalar",
    "_arrays.check_integer",
    "_arrays.as_whole_numbers",
    "_arrays.as_real_array",
)
def as_numbers(draw: Draw) -> Trial:
    """The door for numbers."""
    how = draw.pick(("number", "whole", "whole numbers", "real"))
    x: Any = {"number": draw.number, "whole": draw.whole}.get(how, lambda *_, **__: draw.array(draw.shape()))(
        1, odd=0.8
    )
    draw.is_legal, draw.is_huge = False, False

    def call() -> Any:
        if how == "number":
            return [
                _arrays.as_number("x", x),
                True if isinstance(x, bool | np.bool_) else _arrays.as_scalar("x", x),
            ]
        if how == "whole":
            return _arrays.check_integer("x", x)
        return (
            _arrays.as_whole_numbers("x", x, "words") if how == "whole numbers" else _arrays.as_real_array("x", x)
        )

    def expect() -> list[Expected]:
        if how == "number":
            return exactly(plain_number(x), plain_number(x))
        if how == "whole":
            if not 0 <= plain_whole(x) < 2**63:
                raise Refused("no size")
            return exactly(plain_whole(x))
        if how == "whole numbers" and np.asarray(x).dtype.kind not in "biu" and np.size(x):
            raise Refused("no whole numbers")
        return [Expected(plain(x), 1e-3 * np.abs(plain(x)))]

    return Trial(call, expect, [x])


@attack("_arrays.as_labels", "_arrays.check_labels")
def as_labels(draw: Draw) -> Trial:
    rows, classes = draw.size(), draw.size(low=2)
    t = draw.labels(rows, classes)

    def call() -> Any:
        labels = _arrays.as_labels("t", t, rows, classes)
        _arrays.check_labels("t", labels, classes)
        return labels

    return Trial(call, lambda: exactly(plain_labels(t, rows, classes)), [t])


@attack("_arrays.zeros_in_one_buffer", "backends.address_of", "backends.cpu.address", share=0.3)
def zeros_in_one_buffer(draw: Draw) -> Trial:
    from scratchnet import backends

    shapes = [draw.shape(most=3) for _ in range(int(draw.rng.integers(1, 4)))]

    def call() -> Any:
        arrays = _arrays.zeros_in_one_buffer(shapes, np.dtype("f4"))
        ends = [backends.address_of(a) + a.nbytes for a in arrays if a.size]
        begins = [cpu.address(a) for a in arrays if a.size]
        return [*arrays, ends[:-1] == begins[1:]]

    return Trial(call, lambda: [*exactly(*(np.zeros(s) for s in shapes)), True])


@attack("weights.checked_cast", share=0.5)
def checked_cast(draw: Draw) -> Trial:
    a = draw.numbers(draw.shape(least=1), draw.pick(("f4", "f8")))
    dtype = np.dtype(draw.pick(("f2", "f4", "f8")))

    def expect() -> list[Expected]:
        with np.errstate(all="ignore"):
            cast = a.astype(dtype)
        if np.isinf(cast).sum() > np.isinf(a).sum():
            raise Refused("too large")
        return exactly(cast)

    draw.is_legal = dtype.itemsize >= a.dtype.itemsize
    return Trial(lambda: weights.checked_cast("a", a, dtype), expect, [a])


@attack("backends.cpu.set_num_threads", "backends.cpu.get_num_threads", share=0.3)
def set_num_threads(draw: Draw) -> Trial:
    from scratchnet import get_num_threads
    from scratchnet import set_num_threads as set_them

    n, before = draw.whole(1, 2, 3, odd=0.5), get_num_threads()

    def call() -> Any:
        try:
            set_them(n)
            return get_num_threads()
        finally:
            set_them(before)

    def expect() -> list[Any]:
        count = plain_whole(n)
        if not count >= 1:
            raise Refused("threads")
        return [min(count, get_most())]

    def get_most() -> int:
        set_them(2**20)
        most = get_num_threads()
        set_them(before)
        return most

    return Trial(call, expect)


# Data


@attack("dataset.spiral.load_data", share=0.3)
def spiral_data(draw: Draw) -> Trial:
    seed = draw.whole(0, 1984, 7, odd=0.4)

    def expect() -> list[Any]:
        if seed is None:  # another spiral every time
            return [Expected(np.zeros((300, 2)), np.inf), *exactly(np.eye(3).repeat(100, axis=0))]

        try:
            x, t = book_spiral.load_data(seed)
        except Exception as error:
            raise Refused(str(error)) from None
        return [Expected(x, 1e-15), *exactly(t)]

    return Trial(lambda: spiral.load_data(seed), expect, errors=(ValueError, TypeError))


@attack("dataset.sequence.load_data", "dataset.sequence.get_vocab", share=0.05)
def sequence_data(draw: Draw) -> Trial:
    name = draw.pick(("addition.txt", "nothing.txt", "", "date.txt"))
    draw.is_legal = name in ("addition.txt", "date.txt")

    def call() -> Any:
        (x, t), _ = sequence.load_data(name)
        chars, back = sequence.get_vocab()
        return [x.shape[1], t.shape[1], len(chars) == len(back)]

    def expect() -> list[Any]:
        if name not in ("addition.txt", "date.txt"):
            raise Refused("no such file")
        return [*((7, 5) if name == "addition.txt" else (29, 11)), True]

    return Trial(call, expect, errors=(ValueError, OSError))


@attack("show_config", share=0.1)
def show_config(draw: Draw) -> Trial:
    import scratchnet

    mode: Any = draw.pick(("stdout", "dicts", "json", None, 5))
    draw.is_legal = mode in ("stdout", "dicts")

    def expect() -> list[Any]:
        if not draw.is_legal:
            raise Refused("the mode")
        return [mode == "dicts"]

    return Trial(lambda: isinstance(scratchnet.show_config(mode), dict), expect)
