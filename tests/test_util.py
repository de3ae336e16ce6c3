"""The books' helpers: clipping, names of parameters, classifying in blocks."""

import numpy as np
import pytest

from scratchnet import show_config
from scratchnet._arrays import check_labels
from scratchnet._parts import flatten, named_params
from scratchnet.util import accuracy, class_indices, clip_grads, predict, row_blocks

# The norm is summed in double on both sides, in another order; then one product in the gradient's dtype.
CLIPPED = {np.float16: 2e-3, np.float32: 2.5e-7, np.float64: 1e-14}


class Model:
    """Predicts by a function, and notes how many samples it was given at a time."""

    def __init__(self, function):
        self.function, self.rows = function, []

    def predict(self, x):
        self.rows.append(len(x))
        return self.function(x)


# clip_grads


def gradients(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in [(3, 4), (4,), (130,), (), (0, 2)]]


def plain_norm(grads):
    return np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in grads))


@pytest.mark.parametrize("dtype", CLIPPED)
@pytest.mark.parametrize("max_norm", [0.25, 5.0, 0])
def test_large_gradients_are_scaled_in_place(dtype, max_norm):
    grads = gradients(dtype)
    own, rate = list(grads), max_norm / (plain_norm(grads) + 1e-6)
    assert rate < 1
    expected = [g.astype(np.float64) * rate for g in grads]
    assert clip_grads(grads, max_norm) is None
    for g, o, e in zip(grads, own, expected, strict=True):
        assert g is o and g.dtype == dtype
        np.testing.assert_allclose(g, e, rtol=CLIPPED[dtype])


@pytest.mark.parametrize("factor", [1.001, 1e9, np.inf])
def test_small_gradients_are_left_alone_to_the_bit(factor):
    grads = gradients()
    before = [g.copy() for g in grads]
    clip_grads(grads, plain_norm(grads) * factor)
    for g, b in zip(grads, before, strict=True):
        assert g.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "lay", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a.astype(">f8")]
)
def test_clipping_works_where_the_gradients_lie_and_in_lists_of_lists(lay):
    first, second = np.arange(1.0, 7.0).reshape(2, 3), np.ones(3)
    expected = 0.5 / (np.sqrt(91 + 3) + 1e-6)
    laid = lay(first)
    clip_grads([[laid], [second]], 0.5)
    np.testing.assert_allclose(laid, first * expected, rtol=CLIPPED[np.float64])
    np.testing.assert_allclose(second, expected, rtol=CLIPPED[np.float64])


def test_no_gradients_and_gradients_of_zero():
    clip_grads([], 1)
    zero = np.zeros(3)
    clip_grads([zero], 0.5)
    np.testing.assert_array_equal(zero, 0)


def test_the_norm_of_float32_does_not_overflow():
    grads = [np.full(4, 1e30, np.float32)]
    clip_grads(grads, 1.0)
    np.testing.assert_allclose(grads[0], 0.5, rtol=CLIPPED[np.float32])


@pytest.mark.parametrize("bad", ["read-only", np.ones(2, int), [1j], np.ones(2, complex), "text"])
def test_what_cannot_be_clipped_is_refused_before_anything_changes(bad):
    if isinstance(bad, str) and bad == "read-only":
        bad = np.ones(2)
        bad.flags.writeable = False
    good = np.ones(2)
    with pytest.raises(ValueError):
        clip_grads([good, bad], 0.5)
    np.testing.assert_array_equal(good, 1)


@pytest.mark.parametrize("max_norm", [-1, float("nan"), "1", None])
def test_a_norm_that_is_none_is_refused(max_norm):
    good = np.ones(2)
    with pytest.raises((TypeError, ValueError)):
        clip_grads([good], max_norm)
    np.testing.assert_array_equal(good, 1)


def test_float16_gradients_are_counted_as_uncompiled():
    def used():
        return show_config("dicts")["reference used in place of a kernel"].get("squared_norm", 0)

    before = used()
    clip_grads([np.ones(2, np.float32), np.ones(2)], 0.5)
    assert used() == before
    clip_grads([np.ones(2, np.float16)], 0.5)
    assert used() == before + 1


# flatten, named_params


def test_flatten_keeps_the_objects_and_their_order():
    a, b, c = np.ones((2, 2)), np.ones(2), np.ones(3)
    for nested in ([a, b, c], [[a, b], [c]], [[[a]], (b,), [], c], (a, [b, c])):
        flat = flatten(nested)
        assert len(flat) == 3 and flat[0] is a and flat[1] is b and flat[2] is c
    assert flatten([]) == [] and flatten([[], []]) == [] and flatten([1.0, [2.0]]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ([(2, 3), (3,), (3, 4), (4,)], ["W1", "b1", "W2", "b2"]),
        ([[(2, 3), (3,)], [(3, 4), (4,)]], ["W1", "b1", "W2", "b2"]),
        ([(2, 3), (3, 4), (4,)], ["W1", "W2", "b2"]),
        ([(3,), (2, 3), (3,), (3,), ()], ["p1", "W1", "b1", "p4", "p5"]),
        ([(2, 3, 1, 1), (2,), (2, 3)], ["W1", "b1", "W2"]),
        ([], []),
    ],
)
def test_parameters_have_the_books_names(shapes, names):
    def made(entry):
        return [made(e) for e in entry] if isinstance(entry, list) else np.zeros(entry)

    params = made(shapes)
    named = named_params(params)
    assert list(named) == names
    assert all(a is b for a, b in zip(named.values(), flatten(params), strict=True))


# class_indices


@pytest.mark.parametrize(
    "t",
    [
        [0, 2, 1],
        (0, 2, 1),
        np.array([0, 2, 1], np.uint8),
        np.array([[0], [2], [1]]),
        np.eye(3)[[0, 2, 1]],
        np.eye(3, dtype=bool)[[0, 2, 1]],
        np.eye(3, dtype=int)[[0, 2, 1]].tolist(),
        np.array([0, 9, 2, 9, 1, 9])[::2],
    ],
)
def test_class_indices_of_every_form_of_labels(t):
    labels = class_indices("t", t, 3)
    assert labels.dtype == np.int64 and labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(("bad", "place"), [(3, 0), (-1, 4), (2**62, 2)])
def test_class_indices_outside_are_named_with_their_position(bad, place):
    t = np.zeros(5, np.int64)
    t[place] = bad
    with pytest.raises(IndexError, match=rf"labels\[{place}\] is {bad}, expected a number from 0 to 2"):
        class_indices("labels", t, 3)


@pytest.mark.parametrize("t", [[0.0, 1.0], ["a", "b"], np.zeros((4, 2)), np.zeros((4, 5)), 1, None, [[0], [1, 2]]])
def test_what_is_no_label_is_refused(t):
    with pytest.raises((TypeError, ValueError)):
        class_indices("t", t, 3)


# predict and accuracy in blocks


@pytest.mark.parametrize(("rows", "size"), [(0, 4), (1, 4), (4, 4), (5, 4), (12, 4), (7, 1)])
def test_row_blocks_cover_every_row_once(rows, size):
    blocks = list(row_blocks(rows, size))
    assert [i for b in blocks for i in range(rows)[b]] == list(range(rows))
    assert all(b.stop - b.start <= size for b in blocks)


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 25])
def test_predict_goes_through_in_blocks(rows):
    x = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    model = Model(lambda part: part[:, :1] * [1, 2, 3])
    out = predict(model, x, block_size=10)
    np.testing.assert_array_equal(out, x[:, :1] * [1, 2, 3])
    assert out.dtype == np.float64 and out.shape == (rows, 3)
    assert max(model.rows) <= 10 and sum(model.rows) == rows


def test_predict_takes_lists_and_any_shape_of_a_sample():
    assert predict(Model(lambda x: x.sum(axis=(1, 2))), np.ones((5, 2, 3)).tolist()).tolist() == [6] * 5


@pytest.mark.parametrize("function", [lambda x: x[:1], lambda x: np.ones((9, 2)), lambda x: 3.0, lambda x: None])
def test_a_model_that_does_not_give_one_row_a_sample_is_refused(function):
    with pytest.raises((TypeError, ValueError)):
        predict(Model(function), np.ones((5, 2)), block_size=3)


@pytest.mark.parametrize("block_size", [0, -1, 1.5])
@pytest.mark.parametrize("function", [predict, lambda m, x, **k: accuracy(m, x, np.zeros(5, int), **k)])
def test_blocks_without_rows_are_refused(function, block_size):
    with pytest.raises((TypeError, ValueError)):
        function(Model(lambda x: x), np.ones((5, 2)), block_size=block_size)


@pytest.mark.parametrize("labels", ["indices", "one-hot", "list", "column"])
@pytest.mark.parametrize("block_size", [1, 4, 10, 4096])
def test_accuracy_is_the_share_that_is_right(labels, block_size):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(10, 3)), rng.integers(0, 3, 10)
    given = {"indices": t, "one-hot": np.eye(3)[t], "list": t.tolist(), "column": t[:, None]}[labels]
    value = accuracy(Model(lambda part: part), x, given, block_size=block_size)
    assert type(value) is float and value == np.mean(x.argmax(axis=1) == t)


def test_a_tie_goes_to_the_first_as_argmax_says():
    assert accuracy(Model(np.zeros_like), np.ones((4, 3)), [0, 0, 1, 2]) == 0.5


@pytest.mark.parametrize("place", [0, 9, 10, 25])
def test_a_wrong_label_is_named_with_its_place_among_all_samples(place):
    t = np.zeros(30, int)
    t[place] = 3
    with pytest.raises(IndexError, match=rf"t\[{place}\] is 3"):
        accuracy(Model(lambda x: np.zeros((len(x), 3))), np.ones((30, 2)), t, block_size=10)


@pytest.mark.parametrize(
    ("x", "t"),
    [(np.ones((0, 2)), []), (np.ones((3, 2)), [0, 1]), (np.ones((2, 2)), [0, 1, 1]), (np.ones((2, 2)), None)],
)
def test_accuracy_needs_as_many_labels_as_samples_and_some(x, t):
    with pytest.raises((TypeError, ValueError)):
        accuracy(Model(lambda part: part), x, t)


def test_scores_without_classes_are_refused():
    with pytest.raises(ValueError, match=r"scores of shape \(5,\), expected \(5, C\)"):
        accuracy(Model(lambda x: x[:, 0]), np.ones((5, 2)), np.zeros(5, int))


# check_labels


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_whole_type_are_checked(dtype):
    check_labels("t", np.array([0, 2, 1], dtype), 3)
    with pytest.raises(IndexError, match=r"t\[1\] is 3, expected a number from 0 to 2"):
        check_labels("t", np.array([0, 3, 1], dtype), 3)
    if dtype.startswith("int"):
        with pytest.raises(IndexError, match=r"t\[2\] is -1"):
            check_labels("t", np.array([0, 2, -1], dtype), 3)
