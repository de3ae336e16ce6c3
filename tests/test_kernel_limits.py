"""Every kernel at the limits: numbers that are none, sizes beyond any memory, arrays of classes of their own."""

from __future__ import annotations

import reprlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cases import SMALL, make_case
from processes import PYTHON, run
from test_kernels import assert_refused, backends, check_parity, kernels

from scratchnet import Adam, MultiLayerNet, Trainer
from scratchnet.backends import KERNELS, cpu, reference
from scratchnet.backends.contract import HOST
from scratchnet.book1 import layers, util

NO_NUMBERS = ["1", b"1", None, True, np.True_, 1j, np.complex64(1), [1], {}, np.zeros(1), np.array("1"), object(),
              10**400, 10**5000, -(10**400)]  # fmt: skip
WHOLE_KINDS = [np.int8, np.int64, np.uint64, np.array]
NO_WHOLE_NUMBERS = [*NO_NUMBERS, np.nan, np.inf, 1.0, np.float32(1), Fraction(1, 2), 2**31, 2**63 - 1, 2**63,
                    2**64, 2**64 + 1, 2**70, -1, -(2**63), -(2**64), np.uint64(2**64 - 1)]  # fmt: skip


def short(value: object) -> str:
    return reprlib.repr(value) if not isinstance(value, int) else f"{value.bit_length()} bits {value % 2**20}"


@kernels
@backends
def test_what_is_no_number_is_refused_by_name(backend, name):
    for argument in KERNELS[name].arguments:
        if argument.is_array:
            continue
        for wrong in NO_NUMBERS if argument.least is None else NO_WHOLE_NUMBERS:
            case = make_case(name, SMALL[3], np.float32)
            case.values[argument.name] = wrong
            message = assert_refused(case, backend, ValueError, short(wrong))
            assert message.startswith(f"{name}: {argument.name} must be "), message
            assert len(message) < 200


@kernels
@backends
def test_numbers_of_any_class_count_as_python_s(backend, name):
    for argument in KERNELS[name].arguments:
        if argument.is_array:
            continue
        one = 1.0 if argument.least is None else 1
        for kind in WHOLE_KINDS if argument.least is not None else [*WHOLE_KINDS, int, np.float32, Fraction]:
            sizes = dict(SMALL[5], stride=1, pad=1, P=1, Q=1)
            cases = [make_case(name, sizes, np.float64) for _ in range(2)]
            for case, number in zip(cases, (one, kind(one)), strict=True):
                case.values[argument.name] = number
                case.call(backend)
            for output, values in cases[0].outputs().items():
                np.testing.assert_array_equal(values, cases[1].values[output], err_msg=f"{argument.name} {kind}")


def windows(pad: int, stride: int = 2) -> dict[str, tuple]:
    """Calls whose padding no sum of sizes may overflow with; the sizes are those that it gives if it does."""
    x, col = np.zeros((1, 1, 5, 5)), np.full((1, 1, 1, 1, 2, 2), np.nan)
    return {"im2col": (x, stride, pad, col), "col2im": (col, stride, pad, x)}


@pytest.mark.parametrize("pad", [2**31, 2**62 - 3, 2**62, 2**63 - 1, 2**63 - 3, 2**64 - 1])
@pytest.mark.parametrize("name", ["im2col", "col2im"])
def test_a_padding_beyond_the_limit_is_refused_alike(name, pad):
    """Sums of sizes that overflow have let the compiled kernels read anywhere."""
    said = []
    for backend in (cpu, reference):
        arguments = windows(pad)[name]
        with pytest.raises(ValueError, match=f"{name}: pad must be at most 2147483647, got ") as error:
            getattr(backend, name)(*arguments)
        said.append(str(error.value))
    assert said[0] == said[1]


@backends
def test_the_largest_strides_and_paddings_compute(backend):
    largest = 2**31 - 1
    for name in ("im2col", "col2im"):
        for H, W, stride, pad in ((5, 4, largest, largest), (5, 4, largest - 2, largest), (1, 9, largest, 0)):
            check_parity(
                make_case(name, dict(N=2, C=2, H=H, W=W, P=1, Q=1, stride=stride, pad=pad), np.float32), backend
            )
    sizes = dict(N=2, C=2, H=5, W=4, P=2, Q=3, stride=largest)
    check_parity(make_case("max_pool_forward", sizes, np.float32), backend)


@backends
def test_a_window_whose_places_do_not_fit_into_32_bits_is_refused(backend):
    x = np.zeros((0, 1, 2, 2**31), np.float32)
    out, argmax = np.zeros((0, 1, 1, 2**31), np.float32), np.zeros((0, 1, 1, 2**31), np.int64)
    with pytest.raises(ValueError, match="a window of 2 x 1 spans more than 2147483647 elements"):
        backend.max_pool_forward(x, 2, 1, 1, out, argmax)


# Arrays without elements, which NumPy makes in any shape for nothing


def test_what_takes_no_memory_takes_no_time():
    """In a process of its own: a loop over such an axis holds the GIL for days."""
    program = Path(__file__).with_name("without_memory.py")
    assert int(run(*PYTHON, program, timeout=60).stdout) > 200


def test_without_columns_the_output_is_the_bias():
    rows = 100_000
    x, W, b = np.zeros((rows, 0), np.float32), np.zeros((0, 3), np.float32), np.array([1, 2, 3], np.float32)
    for backend in (cpu, reference):
        out = np.full((rows, 3), np.nan, np.float32)
        backend.affine_forward(x, W, b, out)
        assert (out == b).all()


# Arrays of classes of their own


@kernels
@backends
def test_a_subclass_counts_as_the_numbers_that_it_holds(backend, name):
    """np.matrix multiplies by `*` as others do by `@`; a memory-mapped array is one of these classes, too."""
    cases = [make_case(name, dict(N=3, D=3, M=3, C=3, B=3, n=9), np.float32) for _ in range(2)]
    cases[0].values = {
        k: v.view(np.matrix) if isinstance(v, np.ndarray) and v.ndim == 2 else v
        for k, v in cases[0].values.items()
    }
    returned = [case.call(backend) for case in cases]
    assert returned[0] == returned[1]
    for output, values in cases[1].outputs().items():
        np.testing.assert_array_equal(np.asarray(cases[0].values[output]), values, err_msg=output)


@kernels
@backends
def test_masked_arrays_are_refused(backend, name):
    for argument in KERNELS[name].arguments:
        if argument.is_array:
            case = make_case(name, SMALL[4], np.float32)
            case.values[argument.name] = np.ma.masked_array(case.values[argument.name])
            assert f"{name}: {argument.name} is a masked array" in assert_refused(
                case, backend, ValueError, "masked"
            )


def test_strides_of_which_nobody_can_say_whether_they_overlap_count_as_overlapping():
    """Whether they do is a question that takes time exponential in the axes: 20 of them here."""
    rng = np.random.default_rng(0)
    a, b = (
        np.lib.stride_tricks.as_strided(
            np.zeros(1), (2,) * 10, [8 * int(s) for s in rng.integers(2**38, 2**39, 10)]
        )
        for _ in range(2)
    )
    assert HOST.overlap(a, b)


# bool data are bytes, and any byte but 0 is True


def bytes_as_bool(rng, shape) -> np.ndarray:
    return rng.choice(np.array([0, 1, 2, 255], np.uint8), shape).view(bool)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_byte_of_bool_data_is_true_or_false_in_every_engine(dtype):
    rng = np.random.default_rng(0)
    x, t = bytes_as_bool(rng, (60, 7)), rng.integers(0, 3, 60)
    losses = []
    for data, compile in ((x, None), (x, False), (x.astype(dtype), None)):
        trainer = Trainer(
            MultiLayerNet(7, [5], 3, dtype=dtype, weight_init_std=1.0, rng=0), Adam(0.1), compile=compile
        )
        trainer.fit(data, t, 5, 20, rng=0, verbose=False)
        losses.append(trainer.loss_list)
    assert losses[0] == losses[2]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


# Book 1's functions on windows, which compute sizes before they call a kernel


@pytest.mark.parametrize("wrong", ["2", None, 2.0, np.nan, True, 0, -1, 2**31, 2**64, 2**70, 10**5000], ids=short)
def test_sizes_of_windows_are_whole_numbers_in_range(wrong):
    x, col = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2 * 3 * 4, 12), np.float32)
    for place, name in enumerate(("filter_h", "filter_w", "stride", "pad")):
        if name == "pad" and wrong == 0:
            continue
        arguments: list = [2, 2, 1, 0]
        arguments[place] = wrong
        with pytest.raises(ValueError, match=f"im2col: {name} must be"):
            util.im2col(x, *arguments)
        with pytest.raises(ValueError, match=f"col2im: {name} must be"):
            util.col2im(col, x.shape, *arguments)
        if name == "pad":
            continue
        window, stride = (arguments[0], arguments[1]), arguments[2]
        with pytest.raises(ValueError, match=r"integer|at least|at most"):
            layers.Pooling(*window, stride=stride).forward(x)
    with pytest.raises(ValueError, match=r"integer|at least|at most"):
        layers.Convolution(np.zeros((1, 3, 2, 2), np.float32), 0.0, pad=-1 if wrong == 0 else wrong).forward(x)


@pytest.mark.parametrize("wrong", [(2, 3, 4), (2, 3, 4, 5, 6), (2, 3, 4, -5), (2, 3, 4, "5"), 7, None,
                                   (2, 3, 4.0, 5), (0, 2**70, 4, 5)], ids=repr)  # fmt: skip
def test_the_shape_of_images_is_four_sizes(wrong):
    with pytest.raises(ValueError, match=r"col2im: input_shape(\[\d\])? must be"):
        util.col2im(np.zeros((24, 12), np.float32), wrong, 2, 2)


def test_a_product_of_sizes_is_no_size_by_chance():
    """2^32 places of 2^32 numbers are none in 64 bits."""
    with pytest.raises(ValueError, match="col has shape"):
        util.col2im(np.zeros((0, 4), np.float32), (2**32, 2**32, 1, 1), 1, 1)
