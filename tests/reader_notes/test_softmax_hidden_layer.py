"""The note '1장 신경망 복습', a notebook: its hidden layer is Softmax, and it prints its losses line by line.

The cells run once, in the notebook's order, in float64. Each reads the data anew, which seeds the stream.
"""

import contextlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from chain_model import Chain
from numpy_books import book1, book2
from reader_notes import notebook
from reader_notes.notebook import assert_close, assert_same_pass, at_zero_seconds, two_decimals

from scratchnet import functions, layers, plotting
from scratchnet.dataset import spiral
from scratchnet.optimizer import SGD
from scratchnet.trainer import Trainer

# Epochs 1 to 42 of the loop's cell, where the note's page breaks off.
LOOP = """
1.10 1.11 1.10 1.10 1.10 1.11 1.11 1.10 1.11 1.11 1.11 1.11 1.11 1.10 1.11 1.11 1.10 1.10 1.11 1.11 1.11
1.10 1.10 1.10 1.10 1.09 1.08 1.08 1.08 1.06 1.06 1.03 1.00 0.96 0.94 0.92 0.91 0.90 0.89 0.90 0.90 0.89
"""

# The Trainer's cell: epochs 1 to 24, and 243 to 265 beyond the gap in the page; lines 25 and 266 are cut
# before their loss.
TRAINER_HEAD = """
1.10 1.10 1.11 1.10 1.10 1.10 1.11 1.11 1.10 1.11 1.11 1.11
1.10 1.11 1.10 1.11 1.11 1.10 1.10 1.11 1.11 1.11 1.10 1.10
"""
TRAINER_TAIL = """
0.49 0.45 0.44 0.46 0.47 0.47 0.45 0.46 0.51 0.51 0.46 0.46
0.51 0.44 0.48 0.44 0.45 0.48 0.45 0.47 0.48 0.43 0.48
"""


class TwoLayerNet(Chain):
    kit = layers

    def __init__(self, input_size, hidden_size, out_size):
        D, H, C = input_size, hidden_size, out_size
        W1 = 0.01 * np.random.randn(D, H)
        b1 = np.zeros(H)
        W2 = 0.02 * np.random.randn(H, C)
        b2 = np.zeros(C)

        # The note never imports Softmax; the figures that it prints show that it was there.
        chain = [self.kit.Affine(W1, b1), self.kit.Softmax(), self.kit.Affine(W2, b2)]
        super().__init__(chain, self.kit.SoftmaxWithLoss())


class PlainNet(TwoLayerNet):
    """The same class over the layers that the reader wrote himself."""

    kit = book2.layers


def grid_over(x, h):
    (x_min, y_min), (x_max, y_max) = x.min(axis=0) - 0.1, x.max(axis=0) + 0.1
    return np.meshgrid(np.arange(x_min, x_max, h), np.arange(y_min, y_max, h))


@pytest.fixture(scope="module")
def cells():
    x, t = spiral.load_data()
    model = TwoLayerNet(2, 10, 3)
    loop = notebook.train(model, SGD(lr=1.0), x, t, 300, 30, notebook.last_of_ten)

    xx, yy = grid_over(x, h=0.02)  # the note's 0.001 asks for 4.9 million points
    points = np.c_[xx.ravel(), yy.ravel()]
    scores = model.predict(points)

    x, t = spiral.load_data()
    second = TwoLayerNet(2, 10, 3)
    trainer = Trainer(second, SGD(lr=1.0), lang="ko")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        trainer.fit(x, t, 300, 30, eval_interval=10)
    lines = at_zero_seconds(printed.getvalue())
    boundary = SimpleNamespace(xx=xx, yy=yy, points=points, scores=scores)
    return SimpleNamespace(x=x, t=t, model=model, loop=loop, boundary=boundary, trainer=trainer, lines=lines)


def test_dot_and_matmul_cells():
    a, b = np.array([1, 2, 3]), np.array([4, 5, 6])
    assert layers.MatMul(b.reshape(3, 1).astype(float)).forward(a) == np.dot(a, b) == 32
    A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert layers.MatMul(B.astype(float)).forward(A).tolist() == [[19, 22], [43, 50]]


def test_inference_cells_give_ten_rows_of_three_scores():
    x = np.random.randn(10, 2)
    W1, b1 = np.random.randn(2, 4), np.random.randn(4)
    W2, b2 = np.random.randn(4, 3), np.random.randn(3)
    s = np.matmul(functions.sigmoid(np.matmul(x, W1) + b1), W2) + b2

    for layer in (layers.Affine(W1, b1), layers.Sigmoid(), layers.Affine(W2, b2)):
        x = layer.forward(x)
    assert x.shape == (10, 3)
    assert_close(x, s)


def test_repeat_and_sum_cells():
    D, N = 8, 7
    repeat, total = layers.Repeat(N), layers.Sum()
    x, dy = np.random.randn(1, D), np.random.randn(N, D)
    np.testing.assert_array_equal(repeat.forward(x), np.repeat(x, N, axis=0))
    assert_close(repeat.backward(dy), np.sum(dy, axis=0, keepdims=True))

    x, dy = np.random.randn(N, D), np.random.randn(1, D)
    assert_close(total.forward(x), np.sum(x, axis=0, keepdims=True))
    np.testing.assert_array_equal(total.backward(dy), np.repeat(dy, N, axis=0))


def test_layer_cells_and_the_library_layers():
    W, b = np.random.randn(4, 3), np.random.randn(3)
    assert_same_pass(layers.MatMul(W), book2.layers.MatMul(W), 10, 4, shape_out=(10, 3))
    assert_same_pass(layers.Affine(W, b), book2.layers.Affine(W, b), 10, 4, shape_out=(10, 3))
    assert_same_pass(layers.Sigmoid(), book2.layers.Sigmoid(), 10, 4, shape_out=(10, 4))
    assert_same_pass(layers.Softmax(), book2.layers.Softmax(), 10, 4, shape_out=(10, 4))


def test_the_loop_cell_prints_every_loss_of_the_note(cells):
    assert two_decimals(cells.loop[:42]) == LOOP.split()


def test_the_trainer_cell_prints_every_line_of_the_note(cells):
    shown = zip([*range(1, 25), *range(243, 266)], (TRAINER_HEAD + TRAINER_TAIL).split(), strict=True)
    wanted = [f"| 에폭 {epoch} |  반복 1 / 10 | 시간 0[s] | 손실 {loss}" for epoch, loss in shown]
    assert cells.lines[:24] + cells.lines[242:265] == wanted
    assert len(cells.lines) == cells.trainer.current_epoch == 300


def test_the_plain_classes_of_the_notebook_come_to_the_same_losses(cells):
    x, t = spiral.load_data()
    own = notebook.train(PlainNet(2, 10, 3), book2.optimizer.SGD(lr=1.0), x, t, 300, 30, notebook.first_of_ten)
    np.testing.assert_allclose(cells.trainer.loss_list, own, rtol=1e-9)


def test_the_decision_boundary_cell_sees_three_classes(cells, plt):
    W1, b1, W2, b2 = cells.model.params
    boundary = cells.boundary
    own = np.matmul(book1.functions.softmax(np.matmul(boundary.points, W1) + b1), W2) + b2
    assert_close(boundary.scores, own)

    Z = np.argmax(boundary.scores, axis=1).reshape(boundary.xx.shape)
    assert np.unique(Z).tolist() == [0, 1, 2]
    plt.figure()
    plt.contourf(boundary.xx, boundary.yy, Z)
    plt.axis("off")
    for i, marker in enumerate(["o", "x", "^"]):
        plt.scatter(*cells.x[i * 100 : (i + 1) * 100].T, s=40, marker=marker)
    assert len(plt.gca().collections) > 3


def test_the_boundary_drawn_by_the_library_leaves_the_stream_where_it_is(cells, plt):
    plt.figure()
    before = np.random.get_state()
    axes = plotting.plot_decision_boundary(cells.model, cells.x, cells.t)
    after = np.random.get_state()
    assert before[2] == after[2]
    np.testing.assert_array_equal(before[1], after[1])

    assert axes is plt.gca()
    drawn = np.concatenate([c.get_offsets() for c in axes.collections if len(c.get_offsets()) > 1])
    np.testing.assert_array_equal(np.unique(drawn, axis=0), np.unique(cells.x, axis=0))


def test_the_spiral_and_the_loss_curve_are_drawn_into_the_figure_that_is_open(cells, plt):
    figure = plt.figure()
    axes = cells.trainer.plot()
    assert plt.get_fignums() == [figure.number]
    assert axes.figure is figure
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), cells.trainer.loss_list)
