"""The books' six optimizers, against their formulas in plain NumPy: the same bits, in place, or nothing at all."""

from math import sqrt

import numpy as np
import pytest
from numpy_books import optimizers

from scratchnet.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

# One part in a million: what the 1e-7 beside the root takes from Adam's first steps for gradients of size 1.
ADAM_FIRST_STEP = 1e-6

OPTIMIZERS = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam]
OTHER_SETTINGS = [
    (SGD, {"lr": 0.37}),
    (Momentum, {"lr": 0.037, "momentum": 0.83}),
    (Nesterov, {"lr": 0.037, "momentum": 0.83}),
    (AdaGrad, {"lr": 0.5}),
    (RMSprop, {"lr": 0.03, "decay_rate": 0.7}),
    (Adam, {"lr": 0.03, "beta1": 0.7, "beta2": 0.95}),
]
EVERY = pytest.mark.parametrize("Class", OPTIMIZERS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def by_the_book(Class, params, steps, **settings):
    """Copies of the parameters after the given steps, each a list of gradients."""
    params, theirs = [np.array(p) for p in params], getattr(optimizers, Class.__name__)(**settings)
    for grads in steps:
        theirs.update(params, [np.asarray(g, p.dtype) for p, g in zip(params, grads, strict=True)])
    return params


def problem(dtype=np.float64, steps=5, shapes=((3, 17), (17,), (1003,))):
    rng = np.random.default_rng(0)
    params = [rng.normal(size=s).astype(dtype) for s in shapes]
    gradients = [[(10.0**-k * rng.normal(size=s)).astype(dtype) for s in shapes] for k in range(steps)]
    return params, gradients


def all_equal(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def everything(optimizer):
    """All that an optimizer holds, in a form that compares."""
    return {
        name: [np.asarray(a).tolist() for a in value] if isinstance(value, list) else value
        for name, value in vars(optimizer).items()
    }


# The books' numbers


@DTYPES
@pytest.mark.parametrize(("Class", "settings"), [*((c, {}) for c in OPTIMIZERS), *OTHER_SETTINGS])
def test_several_steps_are_the_books_to_the_bit(Class, settings, dtype):
    params, steps = problem(dtype)
    expected = by_the_book(Class, params, steps, **settings)
    optimizer = Class(**settings)
    own = list(params)
    for grads in steps:
        given = [g.copy() for g in grads]
        optimizer.update(params, grads)
        all_equal(grads, given)
    assert all(p is q for p, q in zip(params, own, strict=True))
    all_equal(params, expected)


@EVERY
def test_zero_huge_and_missing_numbers_go_as_in_the_book(Class):
    params, _ = problem(np.float32, 0, [(6,)])
    steps = [[np.array([0, 1e-30, 1e30, np.inf, -np.inf, np.nan], np.float32)] for _ in range(2)]
    with np.errstate(all="ignore"):
        expected = by_the_book(Class, params, steps)
    optimizer = Class()
    with np.errstate(all="raise"):
        for grads in steps:
            optimizer.update(params, grads)
    all_equal(params, expected)


@EVERY
def test_float16_is_the_books_too(Class):
    params, steps = problem(np.float16, 3, [(5,)])
    expected = by_the_book(Class, params, steps)
    optimizer = Class()
    for grads in steps:
        optimizer.update(params, grads)
    all_equal(params, expected)


@pytest.mark.parametrize("updates", [0, 7, 10**6, 2**53])
def test_adams_rates_of_many_updates_are_those_of_one_after_another(updates):
    lr, beta1, beta2 = 0.002, 0.9, 0.999
    opt = Adam(lr, beta1, beta2)
    opt.iter = updates
    rates, others = opt.step_numbers(50)
    counts = range(updates + 1, updates + 51)
    assert rates == [lr * sqrt(1 - beta2**k) / (1 - beta1**k) for k in counts] and others == (beta1, beta2, 1e-7)
    one_by_one = []
    for _ in counts:
        one_by_one += opt.step_numbers(1)[0]
        opt.count_steps(1)
    assert rates == one_by_one and opt.iter == updates + 50


@pytest.mark.parametrize("gradient", [1.0, -1.0, 100.0])
def test_adams_first_steps_have_the_size_of_the_learning_rate(gradient):
    p, optimizer = np.zeros(1), Adam(lr=0.25)
    for k in (1, 2, 3):
        optimizer.update([p], [np.array([gradient])])
        assert p[0] == pytest.approx(-0.25 * k * np.sign(gradient), rel=ADAM_FIRST_STEP * 10)


def test_nesterov_moves_the_parameters_before_the_velocity():
    """Two steps by hand, lr 1, momentum 0.5, gradient 1: p = -1.5, v = -1; then p += 0.25 v - 1.5."""
    p, optimizer = [np.zeros(1)], Nesterov(lr=1.0, momentum=0.5)
    optimizer.update(p, [np.ones(1)])
    assert p[0] == -1.5 and optimizer.v[0] == -1.0
    optimizer.update(p, [np.ones(1)])
    assert p[0] == -1.5 - 0.25 - 1.5 and optimizer.v[0] == -1.5


# What may be in the lists


@EVERY
def test_numbers_in_the_list_are_replaced(Class):
    """The books' optimizer_compare_naive.py trains two Python floats."""
    start, steps = [-7.0, 2, 0.5], [[-0.7, 4.0, np.float64(0.25)], [0.35, 1, 2.0]]
    expected = by_the_book(Class, [np.float64(p) for p in start], steps)
    optimizer, params = Class(), list(start)
    for grads in steps:
        optimizer.update(params, grads)
    assert params == [float(p) for p in expected] and all(type(p) is float for p in params)


@EVERY
def test_a_list_for_every_layer(Class):
    params, steps = problem(np.float32, 3, [(3, 4), (4,), (4, 2)])
    expected = by_the_book(Class, params, steps)
    optimizer = Class()
    nested = [params[:2], [], [params[2], 1.0]]
    for g in steps:
        optimizer.update(nested, [g[:2], [], [g[2], 0.0]])
    all_equal(params, expected)
    assert nested[2][0] is params[2] and nested[2][1] == 1.0


@EVERY
def test_no_parameters_and_arrays_without_numbers(Class):
    optimizer = Class()
    optimizer.update([], [])
    optimizer = Class()
    params = [np.zeros((0, 3)), np.array(2.0), np.zeros(0, np.float32)]
    optimizer.update(params, [np.zeros((0, 3)), np.array(1.0), np.zeros(0)])
    expected = by_the_book(Class, [np.array([2.0])], [[np.array([1.0])]])
    assert params[1].shape == () and params[1] == expected[0][0]


LAYOUTS = {
    "Fortran": (lambda a: np.asfortranarray(a), lambda a: a),
    "transposed": (lambda a: np.ascontiguousarray(a.T), lambda a: a.T),
    "every second column": (lambda a: np.repeat(a, 2, axis=1), lambda a: a[:, ::2]),
    "backwards": (lambda a: np.ascontiguousarray(a[::-1]), lambda a: a[::-1]),
    "other byte order": (lambda a: a.astype(a.dtype.newbyteorder()), lambda a: a),
}


@EVERY
@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_is_updated_where_it_lies(Class, dtype, layout):
    make, view = LAYOUTS[layout]
    (start,), steps = problem(dtype, 3, [(4, 6)])
    memory = make(start)
    rest = memory[:, 1::2].copy()
    params = [view(memory)]
    np.testing.assert_array_equal(params[0], start)
    optimizer = Class()
    for (gradient,) in steps:
        optimizer.update(params, [np.asfortranarray(gradient)])
    (expected,) = by_the_book(Class, [start], steps)
    np.testing.assert_array_equal(view(memory), expected)
    if layout == "every second column":
        np.testing.assert_array_equal(memory[:, 1::2], rest)


@EVERY
def test_a_gradient_of_another_dtype_is_cast(Class):
    p = np.linspace(-1, 1, 7, dtype=np.float32)
    for gradient in (np.linspace(0, 3, 7), np.arange(7), np.arange(7, dtype=np.float16), list(range(7))):
        (expected,) = by_the_book(Class, [p], [[gradient]])
        params = [p.copy()]
        Class().update(params, [gradient])
        np.testing.assert_array_equal(params[0], expected)


def test_two_entries_on_the_same_memory_are_both_updated():
    """Tied weights without a Trainer: W and its transpose in one list, each with a gradient."""
    W = np.arange(6.0).reshape(2, 3)
    expected = W - 0.5 * np.full((2, 3), 2.0) - 0.5 * np.arange(6.0).reshape(3, 2).T
    SGD(0.5).update([W, W.T], [np.full((2, 3), 2.0), np.arange(6.0).reshape(3, 2)])
    np.testing.assert_array_equal(W, expected)


# What is refused, with nothing changed


def read_only():
    p = np.ones(3)
    p.flags.writeable = False
    return p


REFUSED = {
    "gradient of another shape": (np.ones(3), np.ones(4), r"shape \(4,\), expected \(3,\)"),
    "gradient that would broadcast": (np.ones((2, 3)), np.ones((1, 3)), r"shape \(1, 3\), expected \(2, 3\)"),
    "transposed gradient": (np.ones((2, 3)), np.ones((3, 2)), r"shape \(3, 2\), expected \(2, 3\)"),
    "number as gradient": (np.ones(3), 1.0, r"shape \(\), expected \(3,\)"),
    "no gradient": (np.ones(3), None, "real numbers"),
    "complex gradient": (np.ones(3), 1j * np.ones(3), "real numbers"),
    "read-only": (read_only(), np.ones(3), "read-only"),
    "integers": (np.ones(3, int), np.ones(3), "int64"),
    "complex": (np.ones(3, complex), np.ones(3), "complex128"),
    "array of text": (np.array(["a"]), np.ones(1), "floating dtype"),
    "text": ("abc", np.ones(3), "NumPy array"),
}


@EVERY
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_updated_is_refused_before_anything_changes(Class, case, used_before):
    param, gradient, message = REFUSED[case]
    good, kept, optimizer = np.ones(2), np.copy(param), Class()
    if used_before:
        optimizer.update([good, np.zeros(kept.shape)], [np.ones(2), np.zeros(kept.shape)])
    good_before, before = good.copy(), everything(optimizer)
    with pytest.raises(ValueError, match=message):
        optimizer.update([good, param], [np.ones(2), gradient])
    np.testing.assert_array_equal(good, good_before)
    np.testing.assert_array_equal(param, kept)
    assert everything(optimizer) == before


def test_a_gradient_that_is_its_own_parameter_is_refused_before_anything_changes():
    first, second, optimizer = np.ones(3), np.ones(3), Adam()
    before = everything(optimizer)
    with pytest.raises(ValueError, match="overlap"):
        optimizer.update([first, second], [np.ones(3), second])
    assert (first == 1).all() and (second == 1).all() and everything(optimizer) == before


@EVERY
@pytest.mark.parametrize(
    ("params", "grads"), [(2, 1), (1, 2), (0, 1)], ids=["too few gradients", "too many", "no parameters"]
)
def test_lists_of_different_lengths_are_refused(Class, params, grads):
    own = [np.ones(2) for _ in range(params)]
    with pytest.raises(ValueError, match=f"{params} parameters and {grads} gradients"):
        Class().update(own, [np.ones(2)] * grads)
    all_equal(own, [np.ones(2)] * params)


def test_a_number_in_a_tuple_is_refused():
    with pytest.raises(ValueError, match="use a list"):
        SGD().update((1.0,), (1.0,))


BAD_NUMBERS = [
    -1,
    -1e-300,
    float("nan"),
    float("inf"),
    -float("inf"),
    "0.1",
    None,
    1j,
    [0.1],
    np.array([0.1, 0.2]),
]


@EVERY
@pytest.mark.parametrize("lr", BAD_NUMBERS, ids=lambda lr: str(lr)[:9])
def test_a_bad_learning_rate_is_refused_at_once_and_at_update(Class, lr):
    with pytest.raises(ValueError, match=f"{Class.__name__}: lr must be a non-negative number"):
        Class(lr=lr)
    optimizer, params = Class(), [np.ones(3)]
    optimizer.update(params, [np.ones(3)])
    before, state = params[0].copy(), everything(optimizer)
    optimizer.lr = lr
    with pytest.raises(ValueError, match="lr must be a non-negative number"):
        optimizer.update(params, [np.ones(3)])
    np.testing.assert_array_equal(params[0], before)
    assert {**everything(optimizer), "lr": None} == {**state, "lr": None}


def test_a_learning_rate_beyond_every_float_is_refused():
    with pytest.raises(ValueError, match="lr must be a non-negative number"):
        SGD(lr=10**400)


@pytest.mark.parametrize(
    ("Class", "name", "value"),
    [
        (Momentum, "momentum", float("nan")),
        (Nesterov, "momentum", "0.9"),
        (RMSprop, "decay_rate", 1.1),
        (RMSprop, "decay_rate", -0.1),
        (Adam, "beta1", 1),
        (Adam, "beta2", 1.0),
        (Adam, "beta2", -0.5),
    ],
)
def test_other_bad_settings_are_refused_by_name(Class, name, value):
    with pytest.raises(ValueError, match=f"{Class.__name__}: {name} must be"):
        Class(**{name: value})


# The learning rate over time


@EVERY
def test_a_learning_rate_of_zero_changes_nothing(Class):
    params, steps = problem(np.float32, 2)
    before = [p.copy() for p in params]
    optimizer = Class(lr=0)
    for grads in steps:
        optimizer.update(params, grads)
    all_equal(params, before)


@EVERY
def test_the_learning_rate_is_read_at_every_update(Class):
    (start,), steps = problem(np.float64, 3, [(20,)])
    optimizer, params = Class(), [start.copy()]
    theirs, expected = getattr(optimizers, Class.__name__)(), [start.copy()]
    for k, grads in enumerate(steps, start=1):
        optimizer.lr = theirs.lr = 0.1 / k
        optimizer.update(params, grads)
        theirs.update(expected, grads)
    all_equal(params, expected)


# State that is saved and taken up again


@DTYPES
@pytest.mark.parametrize(("Class", "settings"), OTHER_SETTINGS)
def test_a_loaded_state_goes_on_exactly(Class, settings, dtype):
    params, steps = problem(dtype, 6)
    expected = by_the_book(Class, params, steps, **settings)
    first = Class(**settings)
    for grads in steps[:3]:
        first.update(params, grads)
    saved, middle = first.state_dict(), [p.copy() for p in params]
    for grads in steps[3:]:
        first.update(params, grads)
    all_equal(params, expected)
    for _ in range(2):  # what is saved hangs neither on the optimizer that it came from nor on one that took it up
        second, own = Class(), [p.copy() for p in middle]
        second.load_state_dict(saved)
        for grads in steps[3:]:
            second.update(own, grads)
        all_equal(own, expected)


@EVERY
def test_the_state_of_a_new_optimizer_is_that_of_one(Class):
    params, steps = problem(np.float32, 2)
    expected = by_the_book(Class, params, steps)
    optimizer = Class()
    optimizer.load_state_dict(Class().state_dict())
    for grads in steps:
        optimizer.update(params, grads)
    all_equal(params, expected)


@pytest.mark.parametrize("Class", [c for c in OPTIMIZERS if c is not SGD])
@pytest.mark.parametrize(
    "params",
    [[np.ones(4)], [np.ones(3, np.float32)], [np.ones(3), np.ones(3)], [np.ones((3, 1))]],
    ids=["shape", "dtype", "number", "axes"],
)
def test_the_state_of_another_model_is_refused(Class, params):
    optimizer, loaded = Class(), Class()
    optimizer.update([np.ones(3)], [np.ones(3)])
    loaded.load_state_dict(optimizer.state_dict())
    before = everything(loaded)
    with pytest.raises(ValueError, match="other shapes or dtypes"):
        loaded.update(params, [np.ones_like(p) for p in params])
    assert all((p == 1).all() for p in params) and everything(loaded) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.update(optimizer="Momentum"),
        lambda s: s.pop("optimizer"),
        lambda s: s.pop("v"),
        lambda s: s.pop("iter"),
        lambda s: s.update(lr=-1),
        lambda s: s.update(beta1="0.9"),
        lambda s: s.update(iter=-5),
        lambda s: s.update(v=None),
    ],
    ids=["another class", "no class", "no v", "no iter", "bad lr", "bad beta1", "bad iter", "m without v"],
)
def test_a_damaged_state_is_refused_and_the_optimizer_stays_as_it_was(damage):
    source, optimizer = Adam(), Adam(lr=0.5)
    for each in (source, optimizer):
        each.update([np.ones(3)], [np.ones(3)])
    state = source.state_dict()
    damage(state)
    before = everything(optimizer)
    with pytest.raises(ValueError):
        optimizer.load_state_dict(state)
    assert everything(optimizer) == before
