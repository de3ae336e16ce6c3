"""An optimizer's update is whole or not made; its state can be looked at and set; what it cannot take it says."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from scratchnet import optimizer
from scratchnet.book1 import optimizer as book1
from scratchnet.book2 import optimizer as book2
from scratchnet.util import clip_grads

# Some operations in float64, in another order.
FEW_ROUNDINGS = 1e-14

NAMES = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]
LISTS = [*(getattr(optimizer, name) for name in NAMES), book2.Nesterov]
DICTIONARIES = [getattr(book1, name) for name in NAMES]
EVERY = pytest.mark.parametrize("Class", LISTS + DICTIONARIES, ids=lambda c: f"{c.__module__}.{c.__name__}")
EVERY_WITH_STATE = pytest.mark.parametrize(
    "Class", [c for c in LISTS + DICTIONARIES if c.__name__ != "SGD"], ids=lambda c: f"{c.__module__}.{c.__name__}"
)


def arguments(Class, arrays):
    """Arrays as the class takes parameters, gradients and states: a list, or a dictionary."""
    return dict(zip("abc", arrays, strict=False)) if Class in DICTIONARIES else list(arrays)


def values(held):
    return list(held.values()) if isinstance(held, dict) else list(held)


def everything(opt, params):
    """All numbers of an optimizer and its parameters, and which objects hold them."""
    held = {
        name: [(id(a), np.array(a).tolist()) for a in values(value)] if isinstance(value, list | dict) else value
        for name, value in vars(opt).items()
    }
    return held, [(id(p), np.array(p).tolist()) for p in values(params)]


def read_only(array):
    array.flags.writeable = False
    return array


# All or nothing

SECOND_ENTRY = {
    "gradient in the parameter's memory": lambda p, g: (p, p[:]),
    "gradient that begins in the parameter's memory": lambda p, g: (p[:-1], p[1:]),
    "read-only parameter": lambda p, g: (read_only(p), g),
    "whole numbers": lambda p, g: (p.astype(int), g),
    "gradient of another shape": lambda p, g: (p, g[:-1]),
    "complex gradient": lambda p, g: (p, g * 1j),
    "no gradient": lambda p, g: (p, None),
    "text": lambda p, g: (p, "abc"),
    "a number with an array's gradient": lambda p, g: (2.0, g),
}


@EVERY
@pytest.mark.parametrize("used_before", [False, True])
def test_an_entry_that_cannot_be_updated_leaves_all_others_as_they_were(Class, used_before):
    for case, make in SECOND_ENTRY.items():
        opt, first, second = Class(), np.ones(4), np.full(4, 2.0)
        if used_before:
            opt.update(arguments(Class, [first, second]), arguments(Class, [np.ones(4)] * 2))
        bad, gradient = make(second, np.ones(4))
        params = arguments(Class, [first, bad, 7.0] if not used_before else [first, bad])
        before = everything(opt, params)
        with pytest.raises(ValueError, match=Class.__name__):
            opt.update(params, arguments(Class, [np.ones(4), gradient, 1.0][: len(params)]))
        assert everything(opt, params) == before, case


@EVERY_WITH_STATE
def test_a_state_that_cannot_be_updated_leaves_everything_as_it_was(Class):
    opt, params, g = Class(), arguments(Class, [np.ones(3), np.ones(3)]), np.ones(3)
    grads = arguments(Class, [np.ones(3), g])
    opt.update(params, grads)
    state = getattr(opt, opt._state[-1])
    for wrong in (read_only(np.zeros(3)), values(params)[1], g, 0.0, None, np.zeros(3, int), np.zeros(2)):
        state["b" if isinstance(state, dict) else 1] = wrong
        before = everything(opt, params)
        with pytest.raises(ValueError, match=f"{Class.__name__}: "):
            opt.update(params, grads)
        assert everything(opt, params) == before, wrong


def test_lists_of_lists_are_updated_whole_by_book_2_s_nesterov():
    opt, flat = book2.Nesterov(0.1), book2.Nesterov(0.1)
    nested, plain = [[np.ones(2)], [np.ones(3), 1.0]], [np.ones(2), np.ones(3), 1.0]
    for _ in range(3):
        opt.update(nested, [[np.ones(2)], [np.ones(3), 0.5]])
        flat.update(plain, [np.ones(2), np.ones(3), 0.5])
    for a, b in zip([*nested[0], *nested[1]], plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("momentum", [1.5, -1.5])
def test_book_2_s_nesterov_takes_every_momentum_that_the_book_s_does(momentum):
    opt, p, expected, v = book2.Nesterov(0.5, momentum), [np.ones(2)], np.ones(2), np.zeros(2)
    for _ in range(3):
        opt.update(p, [np.ones(2)])
        v = momentum * v - 0.5
        expected = expected + momentum * momentum * v - (1 + momentum) * 0.5
    np.testing.assert_allclose(p[0], expected, rtol=FEW_ROUNDINGS)


def test_a_momentum_whose_square_is_infinite_is_no_overflow_error_in_book_2_s_nesterov():
    p = [np.ones(2)]
    book2.Nesterov(0.5, 1e300).update(p, [np.zeros(2)])
    assert p[0].shape == (2,)


@pytest.mark.parametrize("Class", LISTS)
def test_more_parameters_than_a_small_net_has_are_updated_alike(Class):
    rng = np.random.default_rng(0)
    many = [rng.normal(size=3) for _ in range(70)]
    alone = [p.copy() for p in many]
    opt, single = Class(), [Class() for _ in many]
    for _ in range(2):
        grads = [rng.normal(size=3) for _ in many]
        opt.update(many, grads)
        for one, p, g in zip(single, alone, grads, strict=True):
            one.update([p], [g])
    np.testing.assert_array_equal(many, alone)
    before = everything(opt, many)
    with pytest.raises(ValueError, match=r"params\[69\] cannot be updated"):
        opt.update(many, [*grads[:-1], many[-1][:]])
    assert everything(opt, many) == before


@pytest.mark.parametrize(
    "bad", [read_only(np.ones(2)), np.ones(2, int), "text", None, np.ma.masked_array([1.0, 2.0])]
)
def test_gradients_are_clipped_all_or_none(bad):
    first = np.full(3, 100.0)
    with pytest.raises(ValueError, match="clip_grads"):
        clip_grads([first, bad], 1.0)
    assert (first == 100).all()


@pytest.mark.parametrize("max_norm", ["1", None, -1, float("nan"), np.ones(2), 1j])
def test_a_norm_that_is_no_number_is_refused(max_norm):
    g = np.full(3, 100.0)
    with pytest.raises(ValueError, match="clip_grads: max_norm must be a number of at least 0"):
        clip_grads([g], max_norm)
    assert (g == 100).all()


def test_a_gradient_and_its_transpose_are_scaled_one_after_the_other_as_in_the_book():
    g = np.full((2, 2), 3.0)
    clip_grads([g, g.T], 1.0)
    rate = 1.0 / (np.sqrt(72.0) + 1e-6)
    np.testing.assert_allclose(g, 3 * rate * rate, rtol=FEW_ROUNDINGS)


# The state, to look at and to set


@EVERY_WITH_STATE
def test_the_state_is_none_first_then_as_the_parameters_are_held(Class):
    opt, params = Class(), arguments(Class, [np.ones((2, 3)), np.ones(3)])
    assert [getattr(opt, name) for name in opt._state] == [None] * len(opt._state)
    opt.update(params, arguments(Class, [np.ones((2, 3)), np.ones(3)]))
    for name in opt._state:
        state = getattr(opt, name)
        assert type(state) is type(params) and [s.shape for s in values(state)] == [(2, 3), (3,)]
        assert not isinstance(state, dict) or list(state) == list(params)
        assert all(np.all(s != 0) for s in values(state))


def test_the_books_names_of_the_states():
    for module in (optimizer, book1):
        assert module.Momentum().v is module.Nesterov().v is module.AdaGrad().h is module.RMSprop().h is None
        assert module.Adam().m is module.Adam().v is None


@EVERY_WITH_STATE
def test_the_next_update_uses_the_state_that_was_set(Class):
    g = np.linspace(1, 2, 6).reshape(2, 3)
    for how in ("in place", "None", "new", "Fortran"):
        opt, params = Class(), arguments(Class, [np.ones((2, 3)), np.ones((2, 3))])
        grads = arguments(Class, [g, 2 * g])
        opt.update(params, grads)
        fresh, again = copy.deepcopy(opt), copy.deepcopy(params)
        for name in fresh._state:
            setattr(fresh, name, None)
        if how == "None":
            setattr(opt, opt._state[0], None)  # where the first one is None the books make all of them
        for name in opt._state if how != "None" else ():
            if how == "in place":
                for array in values(getattr(opt, name)):
                    array[:] = 0
            else:
                zeros = [np.zeros((2, 3), order="F" if how == "Fortran" else "C") for _ in range(2)]
                setattr(opt, name, arguments(Class, zeros))
        held = [getattr(opt, name) for name in opt._state]
        for _ in range(2):
            opt.update(params, grads)
            fresh.update(again, grads)
        for a, b in zip(values(params), values(again), strict=True):
            np.testing.assert_array_equal(a, b)
        if how != "None":
            assert all(getattr(opt, name) is state for name, state in zip(opt._state, held, strict=True))


def test_a_state_may_know_more_names_than_are_updated():
    opt, params = book1.Momentum(), {"W1": np.ones(2), "b1": np.ones(1)}
    opt.update(params, {"W1": np.ones(2), "b1": np.ones(1)})
    kept = opt.v["b1"].copy()
    opt.update({"W1": params["W1"]}, {"W1": np.ones(2)})
    np.testing.assert_array_equal(opt.v["b1"], kept)
    with pytest.raises(ValueError, match=r"Momentum: its v is not a dictionary with an array for each of W1, W2"):
        opt.update({"W1": params["W1"], "W2": np.ones(2)}, {"W1": np.ones(2), "W2": np.ones(2)})


@EVERY_WITH_STATE
def test_a_state_of_another_kind_is_refused(Class):
    opt, params = Class(), arguments(Class, [np.ones(3), np.ones(3)])
    for wrong in (5, "abc", [1.0, 2.0], [None, None], {"a": 1, "b": 2}, [np.zeros(2)], (np.zeros(3),) * 2):
        setattr(opt, opt._state[0], wrong)
        before = everything(opt, params)
        with pytest.raises(ValueError, match=f"{Class.__name__}: .*{opt._state[0]}"):
            opt.update(params, arguments(Class, [np.ones(3), np.ones(3)]))
        assert everything(opt, params) == before, wrong


# Saved states


@EVERY
def test_a_saved_state_goes_on_to_the_bit(Class):
    opt, params = Class(), arguments(Class, [np.ones((2, 3)), np.ones(3)])
    grads = arguments(Class, [np.full((2, 3), 0.3), np.full(3, 0.7)])
    opt.update(params, grads)
    loaded = Class(lr=1)
    loaded.load_state_dict(opt.state_dict())
    others = [(o, copy.deepcopy(params)) for o in (loaded, pickle.loads(pickle.dumps(opt)), copy.deepcopy(opt))]
    opt.update(params, grads)
    for other, own in others:
        other.update(own, grads)
        for a, b in zip(values(params), values(own), strict=True):
            np.testing.assert_array_equal(a, b)


WRONG_PARTS = {
    "v": [5, "v", [1.0], {"a": None}, [np.ones(3, int)], [np.array(["a"])]],
    "iter": [-1, 2.0, "3", None, True, 1 << 70, float("nan")],
    "beta1": [1, 1.0, -0.1, "0.9", None, float("nan"), [0.9], np.array([0.9])],
    "lr": ["0.1", b"0.1", None, -1, float("nan"), np.array([0.1]), 1j, 10**400],
    "momentum": ["0.9", None, float("inf"), float("nan")],
}


@EVERY
def test_a_wrong_part_of_a_saved_state_is_told_by_its_name(Class):
    opt, params = Class(), arguments(Class, [np.ones(3)])
    opt.update(params, arguments(Class, [np.ones(3)]))
    state = opt.state_dict()
    before = everything(opt, params)
    for name, wrong in ((part, wrong) for part in WRONG_PARTS if part in state for wrong in WRONG_PARTS[part]):
        with pytest.raises(ValueError, match=f"{Class.__name__}: .*{name}"):
            opt.load_state_dict({**state, name: wrong})
        assert everything(opt, params) == before, (name, wrong)
    for no_state in (None, 5, [], "Adam"):
        with pytest.raises(ValueError, match=f"{Class.__name__}: the state must be what state_dict returns"):
            opt.load_state_dict(no_state)


# Settings and arguments


@pytest.mark.parametrize("Class", [optimizer.Adam, book1.Adam])
@pytest.mark.parametrize("count", [-1, -5, 2.5, "3", None, float("nan"), 1 << 70, np.array([1, 2])])
def test_a_number_of_updates_that_is_none_is_refused(Class, count):
    opt, params = Class(), arguments(Class, [np.ones(3)])
    opt.iter = count
    with pytest.raises(ValueError, match="Adam: iter, the number of updates made, must be a non-negative integer"):
        opt.update(params, arguments(Class, [np.ones(3)]))
    with pytest.raises(ValueError, match="Adam: iter, the number of updates made, must be a non-negative integer"):
        opt.step_numbers(1)
    assert (values(params)[0] == 1).all() and opt.m is None


@EVERY
def test_a_setting_that_is_wrong_later_is_refused_by_name(Class):
    for name in Class()._settings:
        for wrong in ("0.1", float("nan"), None, np.array([0.1]), float("inf"), [0.1], object()):
            opt, params = Class(), arguments(Class, [np.ones(3)])
            setattr(opt, name, wrong)
            with pytest.raises(ValueError, match=f"{Class.__name__}: {name} must be"):
                opt.update(params, arguments(Class, [np.ones(3)]))
            assert (values(params)[0] == 1).all()


@EVERY
def test_parameters_in_another_container_are_refused(Class):
    good, wanted = arguments(Class, [np.ones(3)]), "dictionaries" if Class in DICTIONARIES else "lists"
    message = f"{Class.__name__}: params and grads must be {wanted} of arrays, got"
    for what in (None, 5, "ab", (p for p in ()), np.ones((1, 3))):
        for params, grads in ((what, good), (good, what), (what, what)):
            with pytest.raises(ValueError, match=message):
                Class().update(params, grads)
    assert (values(good)[0] == 1).all()


def test_each_book_s_container_is_told_where_it_belongs():
    with pytest.raises(ValueError, match=r"got dict and dict; dictionaries are for book 1's SGD"):
        optimizer.SGD().update({"W": np.ones(3)}, {"W": np.ones(3)})
    with pytest.raises(ValueError, match=r"got list and list; lists are for scratchnet\.optimizer\.SGD"):
        book1.SGD().update([np.ones(3)], [np.ones(3)])
    with pytest.raises(ValueError, match=r"SGD: params\['W2'\] is read-only"):
        book1.SGD().update({"W1": np.ones(3), "W2": read_only(np.ones(3))}, {"W1": np.ones(3), "W2": np.ones(3)})


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


def test_an_optimizer_prints_its_settings():
    assert repr(optimizer.Adam()) == repr(book1.Adam()) == "Adam(lr=0.001, beta1=0.9, beta2=0.999)"
    assert repr(optimizer.SGD(np.float64(0.5))) == "SGD(lr=0.5)"
    assert repr(book2.Nesterov(1)) == "Nesterov(lr=1, momentum=0.9)"
    for wrong in (Unspeakable(), np.zeros(1000), "x" * 1000, None):
        opt = optimizer.SGD()
        opt.lr = wrong
        assert repr(opt).startswith("SGD(") and len(repr(opt)) < 100
    assert repr(optimizer.SGD.__new__(optimizer.SGD)) == "SGD()"  # what is not there is left out
