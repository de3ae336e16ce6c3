"""The note '[밑바닥2] 1장 신경망 정리': chapter 1 of book 2 with the book's own imports, node by node."""

import inspect

import numpy as np
import pytest
from chain_model import Chain
from numpy_books import book2
from reader_notes import notebook
from reader_notes.notebook import assert_close, assert_same_pass, two_decimals

from scratchnet import functions, models
from scratchnet.dataset import spiral
from scratchnet.layers import Affine, MatMul, Repeat, Sigmoid, SoftmaxWithLoss, Sum
from scratchnet.optimizer import SGD
from scratchnet.trainer import Trainer


class TwoLayerNet(Chain):
    def __init__(self, input_size, hidden_size, output_size):
        D, H, C = input_size, hidden_size, output_size
        W1 = 0.01 * np.random.randn(D, H)
        b1 = np.zeros(H)
        W2 = 0.01 * np.random.randn(H, C)
        b2 = np.zeros(C)

        chain = [Affine(W1, b1), Sigmoid(), Affine(W2, b2)]  # the note lost the commas
        super().__init__(chain, SoftmaxWithLoss())


class InferenceSigmoid:
    def __init__(self):
        self.params = []

    def forward(self, x):
        return 1 / (1 + np.exp(-x))


class InferenceAffine:
    def __init__(self, W, b):
        self.params = [W, b]

    def forward(self, x):
        W, b = self.params
        return np.matmul(x, W) + b


def test_dot_and_matmul_come_out_as_printed():
    a, b = np.array([1, 2, 3]), np.array([4, 5, 6])  # the note repeats [1, 2, 3] for b, yet prints 32
    assert np.dot(a, b) == MatMul(b.reshape(3, 1).astype(float)).forward(a) == 32
    A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    np.testing.assert_array_equal(MatMul(B.astype(float)).forward(A), [[19, 22], [43, 50]])


def test_the_bias_is_broadcast_over_the_batch():
    x = np.random.randn(10, 2)
    W1, b1 = np.random.randn(2, 4), np.random.randn(4)
    h = Affine(W1, b1).forward(x)
    assert_close(h, np.matmul(x, W1) + b1)
    assert_close(h - MatMul(W1).forward(x), np.tile(b1, (10, 1)))


def test_the_inference_classes_and_the_library_layers_score_alike():
    x = np.random.randn(10, 2)
    W1, b1 = np.random.randn(2, 4), np.random.randn(4)
    W2, b2 = np.random.randn(4, 3), np.random.randn(3)

    s = np.matmul(functions.sigmoid(np.matmul(x, W1) + b1), W2) + b2
    own, ours = x, x
    for layer in (InferenceAffine(W1, b1), InferenceSigmoid(), InferenceAffine(W2, b2)):
        own = layer.forward(own)
    for layer in (Affine(W1, b1), Sigmoid(), Affine(W2, b2)):
        ours = layer.forward(ours)

    assert ours.shape == (10, 3)
    assert_close(ours, own)
    assert_close(ours, s)


def test_softmax_scores_are_probabilities():
    s = 5 * np.random.randn(10, 3)
    y = functions.softmax(s)
    assert ((y >= 0) & (y <= 1)).all()
    assert_close(y.sum(axis=1), np.ones(10))
    assert_close(y, np.exp(s) / np.exp(s).sum(axis=1, keepdims=True))


def test_the_loss_is_the_mean_of_the_formula_over_the_batch():
    y = functions.softmax(np.random.randn(10, 3))
    t = np.eye(3, dtype=int)[np.random.randint(3, size=10)]
    formula = -np.sum(t * np.log(y)) / 10
    # The books add 1e-7 inside the logarithm.
    assert functions.cross_entropy_error(y, t) == pytest.approx(formula, abs=1e-5)
    repeated = functions.cross_entropy_error(np.tile(y, (4, 1)), np.tile(t, (4, 1)))
    assert repeated == pytest.approx(functions.cross_entropy_error(y, t), rel=1e-12)


def test_repeat_and_sum_are_each_other_backwards():
    D, N = 8, 7
    repeat, total = Repeat(N), Sum()
    x, dy = np.random.randn(1, D), np.random.randn(N, D)  # the note has np.andom
    y, dx = repeat.forward(x), repeat.backward(dy)
    np.testing.assert_array_equal(y, np.repeat(x, N, axis=0))
    assert_close(dx, np.sum(dy, axis=0, keepdims=True))

    x = dy  # the note calls the summed array s and sums x
    assert_close(total.forward(x), dx)
    np.testing.assert_array_equal(total.backward(y[:1]), y)


def test_own_node_classes_and_the_library_layers():
    W, b = np.random.randn(4, 3), np.random.randn(3)
    # The note's MatMul.forward takes W where it means x.
    assert_same_pass(MatMul(W), book2.layers.MatMul(W), 10, 4, shape_out=(10, 3))
    assert_same_pass(Affine(W, b), book2.layers.Affine(W, b), 10, 4, shape_out=(10, 3))
    assert_same_pass(Sigmoid(), book2.layers.Sigmoid(), 10, 4, shape_out=(10, 4))


def test_affine_is_a_product_and_a_repeated_bias():
    x, dout = np.random.randn(10, 4), np.random.randn(10, 3)
    W, b = np.random.randn(4, 3), np.random.randn(3)
    affine, product, repeat = Affine(W, b), MatMul(W), Repeat(10)

    assert_close(affine.forward(x), product.forward(x) + repeat.forward(b.reshape(1, 3)))
    assert_close(affine.backward(dout), product.backward(dout))
    assert_close(affine.grads[0], product.grads[0])
    assert_close(affine.grads[1], repeat.backward(dout)[0])


def test_the_ellipsis_overwrites_the_gradient_that_the_model_holds():
    layer = MatMul(np.random.randn(4, 3))
    held = layer.grads[0]
    layer.forward(np.random.randn(10, 4))
    layer.backward(np.random.randn(10, 3))
    x, dout = np.random.randn(6, 4), np.random.randn(6, 3)
    layer.forward(x)
    layer.backward(dout)
    assert layer.grads[0] is held
    assert_close(held, x.T @ dout)


def test_softmax_with_loss_sends_back_the_difference_from_the_labels():
    x = np.random.randn(10, 3)
    t = np.eye(3, dtype=int)[np.random.randint(3, size=10)]
    layer = SoftmaxWithLoss()
    layer.forward(x, t)
    assert_close(layer.backward(), (functions.softmax(x) - t) / 10)


def test_sgd_steps_against_the_gradient():
    W, b = np.random.randn(4, 3), np.random.randn(3)
    params, grads = [W, b], [np.random.randn(4, 3), np.random.randn(3)]
    wanted = [p - 0.01 * g for p, g in zip(params, grads, strict=True)]
    SGD().update(params, grads)
    assert params[0] is W
    np.testing.assert_array_equal(W, wanted[0])
    np.testing.assert_array_equal(b, wanted[1])


def test_loop_and_trainer_learn_the_spiral():
    x, t = spiral.load_data()
    model = TwoLayerNet(input_size=2, hidden_size=10, output_size=3)
    losses = notebook.train(model, SGD(lr=1.0), x, t, 300, 30, notebook.last_of_ten)
    assert len(losses) == 300
    assert losses[-1] < 0.15

    x, t = spiral.load_data()
    again = TwoLayerNet(input_size=2, hidden_size=10, output_size=3)
    trainer = Trainer(again, SGD(lr=1.0))
    trainer.fit(x, t, 300, 30, eval_interval=10, verbose=False)
    # Same data, same draws, same steps: only the moments at which the mean is taken differ.
    for trained, other in zip(again.params, model.params, strict=True):
        np.testing.assert_allclose(trained, other, rtol=1e-6, atol=1e-8)
    assert np.mean(again.predict(x).argmax(axis=1) == t.argmax(axis=1)) > 0.9


def test_fit_has_the_arguments_and_defaults_of_the_table():
    fit = inspect.signature(Trainer.fit).parameters
    book = {"max_epoch": 10, "batch_size": 32, "max_grad": None, "eval_interval": 20}
    assert {name: fit[name].default for name in book} == book
    assert list(fit)[1:7] == ["x", "t", *book]


def test_max_grad_bounds_the_length_of_a_step():
    def step(max_grad):
        x, t = spiral.load_data()
        model = TwoLayerNet(2, 10, 3)
        before = [p.copy() for p in model.params]
        Trainer(model, SGD(lr=1.0)).fit(x, t, 1, len(x), max_grad=max_grad, verbose=False)
        return [p - q for p, q in zip(model.params, before, strict=True)]

    def length(arrays):
        return np.sqrt(sum(np.sum(a**2) for a in arrays))

    free, clipped = step(None), step(1e-3)
    assert length(free) > 2e-3
    # The books divide by the norm plus 1e-6, so the step stays a little below the bound.
    assert 0.99e-3 < length(clipped) <= 1e-3 * (1 + 1e-9)
    for short, full in zip(clipped, free, strict=True):
        np.testing.assert_allclose(short, full * (length(clipped) / length(free)), rtol=1e-6, atol=1e-12)


def test_training_in_32_bits_comes_to_the_same_figures():
    def losses(dtype):
        x, t = spiral.load_data()
        trainer = Trainer(models.TwoLayerNet(2, 10, 3, dtype=dtype), SGD(lr=1.0))
        trainer.fit(x, t, 100, 30, eval_interval=10, verbose=False)
        return trainer.loss_list

    single, double = losses("f"), losses(np.float64)
    np.testing.assert_allclose(single, double, rtol=1e-4)
    assert two_decimals(double[:3]) == ["1.10", "1.12", "1.13"]


def test_weights_saved_in_16_bits_take_half_and_score_nearly_alike(tmp_path):
    model = models.TwoLayerNet(50, 400, 10)
    x = np.random.randn(10, 50).astype("f")
    s = model.predict(x)
    model.save_params(tmp_path / "full.npz")
    model.save_params(tmp_path / "half.npz", dtype=np.float16)
    full, half = ((tmp_path / name).stat().st_size for name in ("full.npz", "half.npz"))
    assert half < 0.6 * full

    model.load_params(tmp_path / "half.npz")
    assert {p.dtype for p in model.params} == {np.dtype("f")}
    assert not np.array_equal(model.predict(x), s)
    np.testing.assert_allclose(model.predict(x), s, atol=2e-3 * np.abs(s).max())


def test_the_row_sums_of_the_32_bit_array():
    x = np.arange(6).reshape(2, 3).astype("f")  # the note has rshape, and cupy, whose names are NumPy's
    sums = MatMul(np.ones((3, 1), "f")).forward(x)
    assert sums.dtype == np.float32
    assert sums[:, 0].tolist() == x.sum(axis=1).tolist() == [3, 12]
