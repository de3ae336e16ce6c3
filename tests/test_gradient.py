"""Numerical differentiation, gradient descent, and the check of backpropagation."""

import numpy as np
import pytest
from chain_model import Chain
from tolerances import GRADIENT

from scratchnet import Affine, MatMul, MultiLayerNet, Sigmoid, SoftmaxWithLoss, TwoLayerNet
from scratchnet.gradient import gradient_check, gradient_descent, numerical_diff, numerical_gradient
from scratchnet.layers import SigmoidWithLoss

# h = 1e-4: the formula is off by h^2 / 6 times the third derivative, and rounding adds about eps / h.
DIFFERENCE = 1e-7
# In float32 rounding alone is eps / h, times the function's value.
DIFFERENCE_FLOAT32 = 0.05
# gradient_check chooses its own h: about three digits in float32.
GRADIENT_FLOAT32 = 1e-2
# Backpropagation in float32 against differences in float64: some tens of roundings.
BACKWARD_FLOAT32 = 50 * np.finfo(np.float32).eps


def squares(x):
    """The book's example, whose gradient is 2x."""
    return np.sum(x**2)


# numerical_diff


@pytest.mark.parametrize("x", [5, 10.0, np.float64(-3)])
def test_numerical_diff_of_the_books_parabola(x):
    assert numerical_diff(lambda v: 0.01 * v**2 + 0.1 * v, x) == pytest.approx(0.02 * x + 0.1, rel=DIFFERENCE)


def test_numerical_diff_of_an_array_is_elementwise():
    x = np.array([0.1, 1, 2])
    np.testing.assert_allclose(numerical_diff(np.sin, x), np.cos(x), rtol=DIFFERENCE)


# numerical_gradient


@pytest.mark.parametrize(
    ("x", "printed"), [([3.0, 4.0], "[6. 8.]"), ([0.0, 2.0], "[0. 4.]"), ([3.0, 0.0], "[6. 0.]")]
)
def test_numerical_gradient_prints_what_the_note_prints(x, printed):
    assert str(numerical_gradient(lambda v: v[0] ** 2 + v[1] ** 2, np.array(x))) == printed


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 1, 4), (0,), (3, 0)])
@pytest.mark.parametrize("lay", [np.asarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]])
def test_numerical_gradient_of_any_shape_and_layout(shape, lay):
    x = np.random.default_rng(0).normal(size=shape)
    given = lay(x) if x.ndim else x
    gradient = numerical_gradient(lambda v: np.sum(np.sin(v)), given)
    assert gradient.shape == shape and gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, np.cos(x), rtol=DIFFERENCE)
    np.testing.assert_array_equal(given, x)


@pytest.mark.parametrize("x", [[3, 4], np.array([3, 4]), np.array([3, 4], np.uint8), (3, 4)])
def test_integers_are_taken_as_float64(x):
    gradient = numerical_gradient(squares, x)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, [6, 8], rtol=DIFFERENCE)
    assert list(x) == [3, 4]


def test_float32_gives_float32():
    x = np.array([3, 4], np.float32)
    gradient = numerical_gradient(squares, x)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, [6, 8], rtol=DIFFERENCE_FLOAT32)


def test_f_may_look_at_the_array_itself_instead_of_its_argument():
    W = np.random.default_rng(1).normal(size=(2, 3))
    before = W.copy()
    np.testing.assert_allclose(numerical_gradient(lambda _: np.sum(W**2), W), 2 * W, rtol=DIFFERENCE)
    np.testing.assert_array_equal(W, before)


@pytest.mark.parametrize("failing_call", [1, 2, 5, 6])
def test_the_array_is_put_back_when_f_raises(failing_call):
    x, calls = np.array([0.1, 0.2, 0.3]), []

    def f(_):
        calls.append(1)
        if len(calls) == failing_call:
            raise ZeroDivisionError
        return 1.0

    with pytest.raises(ZeroDivisionError):
        numerical_gradient(f, x)
    assert x.tolist() == [0.1, 0.2, 0.3]


def test_f_may_return_the_array_that_it_was_given():
    assert float(numerical_gradient(lambda v: v, 3.0)) == pytest.approx(1, rel=DIFFERENCE)


@pytest.mark.parametrize("x", ["text", 1j, [1, 1j], [[1], [2, 3]], None])
def test_a_point_without_real_numbers_is_refused(x):
    with pytest.raises(ValueError):
        numerical_gradient(squares, x)


def test_a_read_only_point_is_refused():
    x = np.ones(2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        numerical_gradient(squares, x)


# gradient_descent


def test_gradient_descent_goes_down_in_place():
    x = np.array([-3.0, 4.0])
    assert gradient_descent(squares, x, lr=0.1, step_num=100) is x
    # every step multiplies by 1 - 2 lr; what is left of the differences is their own error
    np.testing.assert_allclose(x, np.array([-3, 4]) * 0.8**100, atol=DIFFERENCE)


@pytest.mark.parametrize(("lr", "first"), [(10.0, 1e9), (1e-10, None)])
def test_the_notes_bad_learning_rates(lr, first):
    x = gradient_descent(squares, np.array([-3.0, 4.0]), lr=lr)
    if first is None:
        np.testing.assert_allclose(x, [-3, 4], rtol=DIFFERENCE)
    else:
        assert np.abs(x).max() > first


def test_running_away_to_nan_is_silent():
    assert not np.isfinite(gradient_descent(squares, np.array([-3.0, 4.0]), lr=1e300)).any()


def test_return_path_gives_every_point():
    start = np.array([[-3.0, 4.0]])
    x, path = gradient_descent(squares, start, lr=0.1, step_num=7, return_path=True)
    assert x is start and path.shape == (8, 1, 2)
    np.testing.assert_allclose(path, np.array([[-3, 4]]) * 0.8 ** np.arange(8.0)[:, None, None], rtol=1e-6)
    np.testing.assert_array_equal(path[-1], x)


def test_a_list_or_integers_start_a_float64_descent():
    start = [-3, 4]
    x = gradient_descent(squares, start, lr=0.1, step_num=1)
    np.testing.assert_allclose(x, [-2.4, 3.2], rtol=DIFFERENCE)
    assert start == [-3, 4]


def test_no_steps_and_a_negative_number_of_steps():
    x = np.array([1.0, 2.0])
    assert gradient_descent(squares, x, step_num=0) is x and x.tolist() == [1, 2]
    with pytest.raises(ValueError, match="step_num"):
        gradient_descent(squares, x, step_num=-1)
    for wrong in ("fast", float("nan"), None):
        with pytest.raises(ValueError, match="lr must be a number"):
            gradient_descent(squares, x, lr=wrong)
    assert x.tolist() == [1, 2]


# gradient_check


def batch(classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4)), rng.integers(0, classes, 6)


def away_from_kinks(net):
    """Give the biases values: with none, a sample that switches a layer of relus off puts the next on its kink."""
    rng = np.random.default_rng(5)
    for b in net.params[1::2]:
        b[...] = rng.uniform(0.1, 0.3, b.shape)
    return net


@pytest.mark.parametrize("labels", ["indices", "one-hot"])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize(
    ("hidden", "scale"),
    [([], 0.01), ([], 3.0), ([5], 0.01), ([5], 1.0), ([5], "he"), ([6, 5], 1.0), ([6, 5, 4], "xavier")],
)
def test_backpropagation_is_the_gradient(hidden, scale, activation, labels):
    x, t = batch()
    net = away_from_kinks(MultiLayerNet(4, hidden, 3, activation, scale, dtype=np.float64, rng=2))
    before = [p.copy() for p in net.params]
    errors = gradient_check(net, x, np.eye(3)[t] if labels == "one-hot" else t)
    assert list(errors) == [f"{kind}{k}" for k in range(1, len(hidden) + 2) for kind in "Wb"]
    assert all(type(e) is float and e < GRADIENT for e in errors.values()), errors
    for p, b in zip(net.params, before, strict=True):
        assert p.tobytes() == b.tobytes()


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_two_layer_net_passes(activation):
    net = TwoLayerNet(4, 5, 3, dtype=np.float64, activation=activation, rng=1)
    errors = gradient_check(net, *batch())
    assert max(errors.values()) < GRADIENT


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize("hidden", [[5], [5, 5]])
def test_a_network_in_float32_is_held_against_differences_in_float64(scale, hidden):
    net = MultiLayerNet(4, hidden, 3, weight_init_std=scale, rng=1)
    before = [p.copy() for p in net.params]
    assert max(gradient_check(net, *batch()).values()) < BACKWARD_FLOAT32
    for p, b in zip(net.params, before, strict=True):
        assert p.dtype == np.float32 and p.tobytes() == b.tobytes()


@pytest.mark.parametrize("what", ["a layer", "a method"])
def test_a_network_with_something_of_one_s_own_in_it_is_checked_as_it_is(what):
    class Elsewhere(Affine):
        """Holds its weights elsewhere than in params."""

        def __init__(self, affine):
            super().__init__(*affine.params)
            self.grads = affine.grads
            self.kept = affine.params[0]

        def forward(self, x):
            self.x = x
            return x.astype(np.float32) @ self.kept + self.b

    net = TwoLayerNet(4, 5, 3, 1.0, rng=1)
    if what == "a layer":
        net.layers[0] = Elsewhere(net.layers[0])
    else:
        net.forward = lambda x, t: TwoLayerNet.forward(net, x, t)
    assert max(gradient_check(net, *batch()).values()) < GRADIENT_FLOAT32


def test_in_float32_the_check_of_one_s_own_class_has_about_three_digits():
    class Own(TwoLayerNet):
        pass

    assert max(gradient_check(Own(4, 5, 3, 1.0, rng=1), *batch()).values()) < GRADIENT_FLOAT32


@pytest.mark.parametrize("wrong", range(4))
@pytest.mark.parametrize("factor", [0, 1.01, -1])
def test_a_wrong_gradient_is_found_and_named(wrong, factor):
    class Wrong(TwoLayerNet):
        def backward(self, dout=1):
            super().backward(dout)
            self.grads[wrong] *= factor

    errors = gradient_check(Wrong(4, 5, 3, 1.0, dtype=np.float64, rng=1), *batch())
    names = list(errors)
    assert errors.pop(names[wrong]) > 0.005
    assert max(errors.values()) < GRADIENT


class OwnNet(Chain):
    """A reader's class over the layers, with its parameters in a list for every layer, as in the notes."""

    def __init__(self, loss_layer, outputs):
        rng = np.random.default_rng(4)
        layers = [
            Affine(rng.normal(size=(4, 5)), rng.normal(size=5)),
            Sigmoid(),
            Affine(rng.normal(size=(5, outputs)), rng.normal(size=outputs)),
        ]
        super().__init__(layers, loss_layer)
        self.params = [layer.params for layer in self.layers if layer.params]
        self.grads = [layer.grads for layer in self.layers if layer.grads]


@pytest.mark.parametrize(("loss_layer", "outputs"), [(SoftmaxWithLoss, 3), (SigmoidWithLoss, 1)])
def test_a_readers_own_class(loss_layer, outputs):
    x, t = batch(max(outputs, 2))
    errors = gradient_check(OwnNet(loss_layer(), outputs), x, t if outputs > 1 else t[:, None])
    assert list(errors) == ["W1", "b1", "W2", "b2"]
    assert max(errors.values()) < GRADIENT


class NewGradients:
    """A reader's class whose backward puts new arrays into `grads`, as book 1 does."""

    def __init__(self):
        self.params = [np.random.default_rng(0).normal(size=(4, 3))]
        self.grads = [np.zeros((4, 3))]
        self.loss_layer = SoftmaxWithLoss()

    def forward(self, x, t):
        self.x = x
        return self.loss_layer.forward(x @ self.params[0], t)

    def backward(self, dout=1):
        self.grads = [self.x.T @ self.loss_layer.backward(dout)]


def test_gradients_are_those_that_the_model_has_after_backward():
    assert gradient_check(NewGradients(), *batch())["W1"] < GRADIENT


def test_one_class_has_no_gradient_and_no_warning():
    net = TwoLayerNet(4, 5, 1, 1.0, dtype=np.float64, rng=1)
    assert set(gradient_check(net, batch()[0], np.zeros(6, int)).values()) == {0.0}


@pytest.mark.parametrize("missing", ["forward", "backward", "params", "grads"])
def test_a_model_that_lacks_something_is_refused_by_name(missing):
    members = {name: None for name in ("forward", "backward", "params", "grads") if name != missing}
    with pytest.raises(ValueError, match=f"no {missing}"):
        gradient_check(type("Model", (), members)(), *batch())


def test_parameters_are_put_back_when_the_model_raises():
    class Fails(TwoLayerNet):
        calls = 0

        def forward(self, x, t):
            self.calls += 1
            if self.calls == 4:
                raise ZeroDivisionError
            return super().forward(x, t)

    net = Fails(4, 5, 3, dtype=np.float64, rng=0)
    before = [p.copy() for p in net.params]
    with pytest.raises(ZeroDivisionError):
        gradient_check(net, *batch())
    for p, b in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(p, b)


class TiedNet:
    """W, then its transpose, as book 2's ch. 6 ties them; with weight decay and a loss of its own."""

    def __init__(self, decay=0.0):
        W = np.random.default_rng(0).standard_normal((4, 3))
        self.layers, self.decay = [MatMul(W), Sigmoid(), MatMul(W.T)], decay
        self.params = [layer.params[0] for layer in self.layers[::2]]
        self.grads = [layer.grads[0] for layer in self.layers[::2]]

    def forward(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        self.d = x - t
        return 0.5 * float((self.d**2).sum()) + 0.5 * self.decay * float((self.params[0] ** 2).sum())

    def backward(self, dout=1):
        d = self.d
        for layer in reversed(self.layers):
            d = layer.backward(d)
        self.grads[0] += self.decay * self.params[0]


@pytest.mark.parametrize("decay", [0, 0.3])
def test_shared_weights_weight_decay_and_a_loss_of_one_s_own(decay):
    rng = np.random.default_rng(1)
    errors = gradient_check(TiedNet(decay), rng.standard_normal((5, 4)), rng.standard_normal((5, 4)))
    assert list(errors) == ["W1"] and errors["W1"] < GRADIENT


def test_no_samples_check_nothing():
    with pytest.raises(ValueError, match="no samples"):
        gradient_check(TwoLayerNet(4, 5, 3, rng=1), np.zeros((0, 4)), np.zeros(0, int))


def test_a_model_whose_loss_changes_by_itself_is_refused():
    class Drops(TwoLayerNet):
        def forward(self, x, t):
            return super().forward(x * (np.random.rand(*np.shape(x)) > 0.5), t)

    with pytest.raises(ValueError, match=r"keeps a state .* or draws random numbers"):
        gradient_check(Drops(2, 3, 2, rng=0), np.ones((4, 2)), [0, 1, 0, 1])
