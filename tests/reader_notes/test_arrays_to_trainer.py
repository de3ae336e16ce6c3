"""The note '(밑바닥부터 시작하는 딥러닝2) 1장. 신경망': chapter 1 of book 2, from arrays to Trainer."""

import numpy as np
import pytest
from chain_model import Chain
from numpy_books import book1, book2
from reader_notes import notebook
from reader_notes.notebook import assert_close, assert_same_pass, at_zero_seconds, two_decimals

from scratchnet import functions, layers, models
from scratchnet.dataset import spiral
from scratchnet.layers import Affine, MatMul, Repeat, Sigmoid, SoftmaxWithLoss, Sum
from scratchnet.optimizer import SGD
from scratchnet.trainer import Trainer


class TwoLayerNet(Chain):
    kit = layers

    def __init__(self, input_size, hidden_size, output_size):
        D, H, C = input_size, hidden_size, output_size
        W1 = 0.01 * np.random.randn(D, H)
        b1 = np.zeros(H)
        W2 = 0.01 * np.random.randn(H, C)
        b2 = np.zeros(C)

        chain = [self.kit.Affine(W1, b1), self.kit.Sigmoid(), self.kit.Affine(W2, b2)]
        super().__init__(chain, self.kit.SoftmaxWithLoss())


class PlainNet(TwoLayerNet):
    """The same class over the layers that the reader wrote himself."""

    kit = book2.layers


class ForwardOnlyNet:
    """The note's first network: a class named `sigmoid` without grads, and params left as a list of lists."""

    def __init__(self, input_size, hidden_size, output_size):
        class sigmoid:
            def __init__(self):
                self.params = []

            def forward(self, x):
                return 1 / (1 + np.exp(-x))

        D, H, C = input_size, hidden_size, output_size
        W1, b1 = np.random.randn(D, H), np.random.randn(H)
        W2, b2 = np.random.randn(H, C), np.random.randn(C)
        self.layers = [Affine(W1, b1), sigmoid(), Affine(W2, b2)]
        self.params = [layer.params for layer in self.layers]

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x


def test_the_first_vector_and_matrix_pass_through_a_layer():
    x = np.array([1, 2, 3])
    W = np.array([[1, 2, 3], [4, 5, 6]])
    assert (x.shape, x.ndim, W.shape, W.ndim) == ((3,), 1, (2, 3), 2)
    y = MatMul(W.T.astype(float)).forward(x)
    assert y.shape == (2,)
    assert y.tolist() == [14, 32]


def test_integer_weights_as_the_note_types_them_are_refused_by_name():
    W = np.array([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="int"):
        MatMul(W).forward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="int"):
        Affine(W, np.zeros(3)).forward(np.ones((1, 2)))


def test_broadcasting_is_a_product_with_a_diagonal():
    A = np.array([[1, 2], [3, 4]])
    b = np.array([10, 20])
    np.testing.assert_array_equal(A * 10, [[10, 20], [30, 40]])
    np.testing.assert_array_equal(A * b, [[10, 40], [30, 80]])
    np.testing.assert_array_equal(MatMul(10.0 * np.eye(2)).forward(A), A * 10)
    np.testing.assert_array_equal(MatMul(np.diag(b).astype(float)).forward(A), A * b)


def test_dot_is_32_and_matmul_is_19_22_43_50():
    a, b = np.array([1, 2, 3]), np.array([4, 5, 6])
    assert np.dot(a, b) == MatMul(b.reshape(3, 1).astype(float)).forward(a) == 32
    A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert MatMul(B.astype(float)).forward(A).tolist() == np.matmul(A, B).tolist() == [[19, 22], [43, 50]]


def test_inference_by_hand_and_by_layers():
    x = np.random.randn(10, 2)
    W1, b1 = np.random.randn(2, 4), np.random.randn(4)
    W2, b2 = np.random.randn(4, 3), np.random.randn(3)

    h = np.matmul(x, W1) + b1
    a = functions.sigmoid(h)  # the note has sigmoid(a), an array of an earlier cell
    s = np.matmul(a, W2) + b2

    assert_close(a, 1 / (1 + np.exp(-h)))
    assert_close(Affine(W2, b2).forward(Sigmoid().forward(Affine(W1, b1).forward(x))), s)


def test_a_reader_class_named_sigmoid_leaves_the_library_alone():
    from scratchnet.functions import sigmoid

    h = np.random.randn(10, 4)
    a = sigmoid(h)
    model = ForwardOnlyNet(4, 4, 3)
    x = np.random.randn(10, 4)
    W1, b1, W2, b2 = (p for pair in model.params for p in pair)
    assert_close(model.predict(x), Affine(W2, b2).forward(Sigmoid().forward(Affine(W1, b1).forward(x))))
    np.testing.assert_array_equal(Sigmoid().forward(h), a)


def test_forward_only_net_scores_ten_points_and_one():
    x = np.random.randn(10, 2)
    model = ForwardOnlyNet(2, 4, 3)
    s = model.predict(x)
    assert s.shape == (10, 3)
    assert model.predict(x[0]).shape == (3,)
    assert_close(model.predict(x[0]), s[0])


def test_a_list_of_parameter_lists_is_saved_and_read_back(tmp_path):
    x = np.random.randn(10, 2)
    model, other = ForwardOnlyNet(2, 4, 3), ForwardOnlyNet(2, 4, 3)
    s = model.predict(x)
    assert not np.allclose(other.predict(x), s)

    models.save_params(model, tmp_path / "net.npz")
    W1 = other.params[0][0]
    models.load_params(other, tmp_path / "net.npz")

    assert other.params[0][0] is W1
    np.testing.assert_array_equal(other.predict(x), s)


def test_a_forward_only_net_handed_to_the_trainer_is_told_what_it_lacks():
    x, t = spiral.load_data()
    with pytest.raises(ValueError, match=r"backward|grads|forward"):
        Trainer(ForwardOnlyNet(2, 4, 3), SGD()).fit(x, t, 1)


@pytest.mark.parametrize("shape", [(3,), (5, 3)])
def test_own_softmax_and_loss_function(shape):
    x = 3 * np.random.randn(*shape)
    y = functions.softmax(x)
    assert_close(y, book1.functions.softmax(x))
    onehot = np.eye(3, dtype=int)[np.random.randint(3, size=shape[:-1])]
    assert_close(functions.cross_entropy_error(y, onehot), book1.functions.cross_entropy_error(y, onehot))


def test_repeat_node():
    D, N = 8, 7
    node = Repeat(N)
    x, dy = np.random.randn(1, D), np.random.randn(N, D)
    y, dx = node.forward(x), node.backward(dy)
    assert (node.params, node.grads) == ([], [])
    np.testing.assert_array_equal(y, np.repeat(x, N, axis=0))
    assert dx.shape == (1, D)
    assert_close(dx, np.sum(dy, axis=0, keepdims=True))


def test_sum_node():
    D, N = 8, 7
    node = Sum()
    x, dy = np.random.randn(N, D), np.random.randn(1, D)
    y, dx = node.forward(x), node.backward(dy)
    assert (node.params, node.grads) == ([], [])
    assert y.shape == (1, D)
    assert_close(y, np.sum(x, axis=0, keepdims=True))
    np.testing.assert_array_equal(dx, np.repeat(dy, N, axis=0))


def test_own_matmul_and_the_library_layer():
    W = np.random.randn(4, 3)
    assert_same_pass(MatMul(W), book2.layers.MatMul(W), 10, 4, shape_out=(10, 3))


def test_own_sigmoid_and_the_library_layer():
    assert_same_pass(Sigmoid(), book2.layers.Sigmoid(), 10, 4, shape_out=(10, 4))


def test_own_affine_and_the_library_layer():
    W, b = np.random.randn(4, 3), np.random.randn(3)
    assert_same_pass(Affine(W, b), book2.layers.Affine(W, b), 10, 4, shape_out=(10, 3))


@pytest.mark.parametrize("leading", [(), (5,), (2, 5), (2, 3, 5)])
def test_affine_takes_one_sample_and_any_number_of_leading_axes(leading):
    W, b = np.random.randn(4, 3), np.random.randn(3)
    ours, own = Affine(W, b), book2.layers.Affine(W, b)
    x, dout = np.random.randn(*leading, 4), np.random.randn(*leading, 3)
    assert ours.forward(x).shape == (*leading, 3)
    assert_close(ours.forward(x).reshape(-1, 3), own.forward(x.reshape(-1, 4)))
    assert ours.backward(dout).shape == x.shape
    assert_close(ours.backward(dout).reshape(-1, 4), own.backward(dout.reshape(-1, 3)))
    for got, want in zip(ours.grads, own.grads, strict=True):
        assert_close(got, want)


@pytest.mark.parametrize("dout", [1, 2.5])
@pytest.mark.parametrize("labels", ["one-hot", "indices"])
def test_own_softmax_with_loss_and_the_library_layer(labels, dout):
    x, t = np.random.randn(10, 3), np.random.randint(3, size=10)
    if labels == "one-hot":
        t = np.eye(3, dtype=int)[t]
    ours, own = SoftmaxWithLoss(), book2.layers.SoftmaxWithLoss()
    loss = ours.forward(x, t)
    assert isinstance(loss, float)
    assert_close(loss, own.forward(x, t))
    assert_close(ours.backward(dout), own.backward(dout))


def test_own_sgd_and_the_library_optimizer_give_the_same_bits():
    start = [np.random.randn(4, 3), np.random.randn(3)]
    grads = [np.random.randn(4, 3), np.random.randn(3)]
    ours, own = [p.copy() for p in start], [p.copy() for p in start]
    arrays = list(ours)
    SGD(lr=0.1).update(ours, grads)
    book2.optimizer.SGD(lr=0.1).update(own, grads)
    for got, array, want, before in zip(ours, arrays, own, start, strict=True):
        assert got is array
        assert not np.array_equal(got, before)
        np.testing.assert_array_equal(got, want)


def own_load_data(seed=1984):
    np.random.seed(seed)
    x, t = np.zeros((300, 2)), np.zeros((300, 3), dtype=int)  # the note's np.int is gone from NumPy
    for j in range(3):
        for i in range(100):
            rate = i / 100
            theta = j * 4.0 + 4.0 * rate + np.random.randn() * 0.2
            x[100 * j + i] = rate * np.sin(theta), rate * np.cos(theta)
            t[100 * j + i, j] = 1
    return x, t


def test_own_spiral_and_the_library_data_set():
    x, t = spiral.load_data()
    drawn_next = np.random.randn(3)
    own_x, own_t = own_load_data()
    assert (x.shape, x.dtype) == ((300, 2), np.float64)
    assert (t.shape, t.dtype) == ((300, 3), np.int32)
    np.testing.assert_allclose(x, own_x, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(t, own_t)
    # The models draw their weights from the same stream, so it must stand at the same place.
    np.testing.assert_array_equal(drawn_next, np.random.randn(3))


def test_the_training_loop_comes_to_the_printed_losses():
    def run(net, sgd):
        x, t = spiral.load_data()
        return notebook.train(net(2, 10, 3), sgd(lr=1.0), x, t, 300, 30, notebook.last_of_ten)

    losses = run(TwoLayerNet, SGD)
    assert two_decimals(losses[:4] + losses[-3:]) == ["1.13", "1.13", "1.12", "1.12", "0.11", "0.11", "0.11"]
    np.testing.assert_allclose(losses, run(PlainNet, book2.optimizer.SGD), rtol=1e-9)


@pytest.mark.parametrize("net", [TwoLayerNet, models.TwoLayerNet])
def test_the_trainer_prints_the_lines_of_the_note(net, capsys):
    x, t = spiral.load_data()
    dtype = {"dtype": np.float64} if net is models.TwoLayerNet else {}
    model = net(input_size=2, hidden_size=10, output_size=3, **dtype)
    trainer = Trainer(model, SGD(lr=1.0), lang="ko")
    trainer.fit(x, t, 300, 30, eval_interval=10)

    lines = at_zero_seconds(capsys.readouterr().out)
    assert len(lines) == 300
    assert lines[:3] == [
        "| 에폭 1 |  반복 1 / 10 | 시간 0[s] | 손실 1.10",
        "| 에폭 2 |  반복 1 / 10 | 시간 0[s] | 손실 1.12",
        "| 에폭 3 |  반복 1 / 10 | 시간 0[s] | 손실 1.13",
    ]
    assert lines[-3:] == [f"| 에폭 {e} |  반복 1 / 10 | 시간 0[s] | 손실 0.11" for e in (298, 299, 300)]
    assert trainer.current_epoch == 300
    assert all(type(loss) is float for loss in trainer.loss_list)
    assert trainer.loss_list[-1] < 0.15

    x, t = spiral.load_data()
    own = notebook.train(PlainNet(2, 10, 3), book2.optimizer.SGD(lr=1.0), x, t, 300, 30, notebook.first_of_ten)
    np.testing.assert_allclose(trainer.loss_list, own, rtol=1e-9)


def test_the_library_net_learns_the_spiral_in_float32():
    x, t = spiral.load_data()
    model = models.TwoLayerNet(2, 10, 3)
    assert {p.dtype for p in model.params} == {np.dtype("f")}
    trainer = Trainer(model, SGD(lr=1.0))
    trainer.fit(x, t, 300, 30, eval_interval=10, verbose=False)
    assert two_decimals(trainer.loss_list[:3]) == ["1.10", "1.12", "1.13"]
    assert trainer.loss_list[-1] < 0.15
    assert model.accuracy(x, t) > 0.9


def test_korean_by_the_environment_and_english_by_default(monkeypatch, capsys):
    def first_line():
        x, t = spiral.load_data()
        Trainer(TwoLayerNet(2, 10, 3), SGD(lr=1.0)).fit(x, t, 1, 30, eval_interval=10)
        return at_zero_seconds(capsys.readouterr().out)

    assert first_line() == ["| epoch 1 |  iter 1 / 10 | time 0[s] | loss 1.10"]
    monkeypatch.setenv("SCRATCHNET_LANG", "ko")
    assert first_line() == ["| 에폭 1 |  반복 1 / 10 | 시간 0[s] | 손실 1.10"]


def test_a_net_that_nests_both_lists_trains_like_a_flat_one():
    def losses(nested):
        x, t = spiral.load_data()
        model = TwoLayerNet(2, 10, 3)
        if nested:
            model.params = [layer.params for layer in model.layers]
            model.grads = [layer.grads for layer in model.layers]
        trainer = Trainer(model, SGD(lr=1.0))
        trainer.fit(x, t, 40, 30, eval_interval=10, verbose=False)
        return trainer.loss_list

    assert losses(nested=True) == losses(nested=False)


def test_the_trainer_draws_its_losses(plt):
    x, t = spiral.load_data()
    trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(lr=1.0))
    trainer.fit(x, t, 5, 30, eval_interval=10, verbose=False)
    axes = trainer.plot(ylim=(0, 1.5))
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), trainer.loss_list)
    assert axes.get_ylim() == (0, 1.5)


@pytest.mark.parametrize("cast", [np.float64, np.float32, "f"])
def test_the_dtype_of_the_parameters_decides(cast):
    W, b = np.random.randn(2, 3).astype(cast), np.random.randn(3).astype(cast)
    assert W.dtype == np.dtype(cast)
    layer, x = Affine(W, b), np.random.randn(10, 2)
    y = layer.forward(x)
    assert {a.dtype for a in (y, layer.backward(y), *layer.grads)} == {np.dtype(cast)}
    np.testing.assert_allclose(y, np.matmul(x, W) + b, rtol=1e-6, atol=1e-6)
