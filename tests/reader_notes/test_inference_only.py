"""The note '[Study][밑바닥딥러닝2] Ⅰ. Chapter 1 신경망 복습': arrays and inference, where it breaks off."""

import numpy as np
import pytest
from reader_notes.notebook import assert_close

from scratchnet import functions, layers, models


class OwnSigmoid:
    def __init__(self) -> None:
        self.params = []

    def forward(self, x):
        return 1 / (1 + np.exp(-x))


class OwnAffine:
    def __init__(self, W, b) -> None:
        self.params = [W, b]

    def forward(self, x):
        W, b = self.params
        return np.matmul(x, W) + b


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, affine, sigmoid) -> None:
        D, H, C = input_size, hidden_size, output_size
        W1, b1 = np.random.randn(D, H), np.random.randn(H)
        W2, b2 = np.random.randn(H, C), np.random.randn(C)
        self.layers = [affine(W1, b1), sigmoid(), affine(W2, b2)]

        self.params = []
        for layer in self.layers:
            self.params += layer.params

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x


def test_broadcast_products_of_the_note():
    A = np.array([[1, 2], [3, 4]])  # the note has np.array([1,2],[3,4]), which is no array
    B = np.array([10, 20])
    by_ten, by_row = layers.MatMul(10.0 * np.eye(2)), layers.MatMul(np.diag(B).astype(float))
    assert by_ten.forward(A).tolist() == (A * 10).tolist() == [[10, 20], [30, 40]]
    assert by_row.forward(A).tolist() == (A * B).tolist() == [[10, 40], [30, 80]]


def test_dot_is_32_and_matmul_is_19_22_43_50():
    a, b = np.array([1, 2, 3]), np.array([4, 5, 6])
    assert layers.MatMul(b.reshape(3, 1).astype(float)).forward(a) == np.dot(a, b) == 32
    A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert layers.MatMul(B.astype(float)).forward(A).tolist() == [[19, 22], [43, 50]]


def test_shapes_that_do_not_fit_are_named():
    x, W = np.random.randn(10, 2), np.random.randn(3, 4)
    with pytest.raises(ValueError, match=r"x has shape \(10, 2\).*\(3, 4\)"):
        layers.MatMul(W).forward(x)


def test_inference_over_the_whole_picture():
    x = np.random.randn(10, 2)
    W1, b1 = np.random.randn(2, 4), np.random.randn(4)
    W2, b2 = np.random.randn(4, 3), np.random.randn(3)
    a = functions.sigmoid(np.matmul(x, W1) + b1)
    s = np.matmul(a, W2) + b2
    assert s.shape == (10, 3)
    assert_close(a, layers.Sigmoid().forward(layers.Affine(W1, b1).forward(x)))
    assert_close(s, layers.Affine(W2, b2).forward(a))


def test_own_forward_only_classes_mix_with_the_library_layers():
    x = np.random.randn(10, 2)  # the note assigns model.predict without calling it
    scores = []
    for affine in (OwnAffine, layers.Affine):
        for sigmoid in (OwnSigmoid, layers.Sigmoid):
            np.random.seed(1)
            scores.append(TwoLayerNet(2, 4, 3, affine, sigmoid).predict(x))
    assert scores[0].shape == (10, 3)
    for s in scores[1:]:
        assert_close(s, scores[0])
        np.testing.assert_array_equal(s.argmax(axis=1), scores[0].argmax(axis=1))


def test_a_net_of_own_classes_only_is_saved_and_read_back(tmp_path):
    x = np.random.randn(10, 2)
    model, other = (TwoLayerNet(2, 4, 3, OwnAffine, OwnSigmoid) for _ in range(2))
    assert not np.allclose(model.predict(x), other.predict(x))
    models.save_params(model, tmp_path / "net.npz")
    models.load_params(other, tmp_path / "net.npz")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
