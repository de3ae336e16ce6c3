"""Training that goes wrong does not go on without a word: lost links, unwritten gradients, losses of NaN."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from chain_model import Chain

import scratchnet
from scratchnet import SGD, Affine, Embedding, RnnlmTrainer, Sigmoid, SoftmaxWithLoss, Trainer, TwoLayerNet
from scratchnet.book1 import layers as book1_layers
from scratchnet.book1.multi_layer_net import MultiLayerNet as Book1Net
from scratchnet.book1.trainer import Trainer as Book1Trainer
from scratchnet.time_layers import TimeAffine, TimeEmbedding, TimeSoftmaxWithLoss

X, T = scratchnet.dataset.spiral.load_data()
LABELS = T.argmax(axis=1)


def affine(D, M, seed=0):
    rng = np.random.default_rng(seed)
    return Affine(rng.standard_normal((D, M)), np.zeros(M))


def chain():
    return Chain([affine(2, 10), Sigmoid(), affine(10, 3, 1)], SoftmaxWithLoss())


# Links between a model and its layers


def test_a_reader_s_model_whose_params_are_copies_is_refused():
    model = chain()
    model.params = [p.copy() for p in model.params]  # as a copy by joblib is
    with pytest.raises(ValueError, match=r"params\[0\] of Chain is a copy of an array"):
        Trainer(model, SGD()).fit(X, LABELS, verbose=False)
    for fine in (copy.deepcopy(chain()), pickle.loads(pickle.dumps(chain()))):
        Trainer(fine, SGD()).fit(X, LABELS, 1, verbose=False)


class Direct:
    """Computes with its list itself, beside a layer that is not trained: with the same numbers in it."""

    def __init__(self):
        self.frozen, self.loss_layer = Affine(np.eye(2), np.zeros(2)), SoftmaxWithLoss()
        self.b = np.zeros(3)
        self.params, self.grads = [np.ones((2, 3)), self.b], [np.zeros((2, 3)), np.zeros(3)]

    def forward(self, x, t):
        self.h = self.frozen.forward(x)
        return self.loss_layer.forward(self.h @ self.params[0] + self.params[1], t)

    def backward(self):
        dout = self.loss_layer.backward()
        self.grads[0][...], self.grads[1][...] = self.h.T @ dout, dout.sum(axis=0)


def test_parameters_without_a_layer_and_layers_that_are_not_trained_are_legal():
    model = Direct()
    Trainer(model, SGD(1.0)).fit(X, LABELS, 2, verbose=False)
    assert (np.eye(2) == model.frozen.W).all() and model.b.any()


# Gradients that backward does not write


class OnePass(Chain):
    """Of book 1's layers, which keep dW and db, under book 2's Trainer."""

    def __init__(self):
        rng = np.random.default_rng(0)
        layers = [book1_layers.Affine(rng.normal(size=(2, 3)), np.zeros(3))]
        self.layers, self.loss_layer = layers, book1_layers.SoftmaxWithLoss()
        self.params = [layers[0].W, layers[0].b]
        self.grads = [np.zeros((2, 3)), np.zeros(3)]


class OwnConvolution:
    """A reader's own layer of book 1's kind: weights in W, gradients in dW, no lists."""

    def __init__(self):
        self.W, self.b, self.dW, self.db = np.ones((2, 1, 1, 2)), np.zeros(2), None, None

    def forward(self, x):
        return x

    def backward(self, dout):
        self.dW, self.db = self.W * 0.5, self.b * 0.5
        return dout


@pytest.mark.parametrize("listed", [False, True])
def test_book_1_s_layers_without_a_list_are_named(listed):
    model, convolution = chain(), OwnConvolution()
    model.layers.append(convolution)
    if listed:  # by hand, in the arrays' places; backward replaces dW, which the Trainer sees too
        model.params += [convolution.W, convolution.b]
        model.grads += [np.zeros_like(convolution.W), np.zeros_like(convolution.b)]
    message = r"did not write grads\[4\]" if listed else "OwnConvolution .* keeps its weights in W, as book 1's"
    with pytest.raises(ValueError, match=message):
        Trainer(model, SGD()).fit(X, LABELS, verbose=False)


@pytest.mark.parametrize("build_first", [True, False])
def test_book_1_s_own_layers_are_trained_as_scratchnet_s(build_first):
    """Their lists are those of W and b, and of gradients that stay the same arrays."""
    trained = []
    for layers in (scratchnet.layers, book1_layers):
        W, b = np.random.default_rng(3).standard_normal((2, 3)), np.zeros(3)
        model = Chain([layers.Affine(W, b)], SoftmaxWithLoss())
        before = model.layers[0].grads if build_first else None
        Trainer(model, SGD(1.0), compile=False).fit(X, LABELS, 2, verbose=False, rng=0)
        assert before is None or before is model.layers[0].grads
        assert model.params[0] is W and (model.grads[0] == getattr(model.layers[0], "dW", model.grads[0])).all()
        trained.append((W.tobytes(), b.tobytes()))
    assert trained[0] == trained[1]


class Forgets(Chain):
    def backward(self, dout=1):
        kept = [g.copy() for g in self.grads]
        super().backward(dout)
        self.grads[2][...] = kept[2]


def test_a_gradient_that_backward_does_not_write_is_named():
    for model, place in ((OnePass(), 0), (Forgets(chain().layers, SoftmaxWithLoss()), 2)):
        before = [p.copy() for p in model.params]
        with pytest.raises(ValueError, match=rf"fit: backward did not write grads\[{place}\]"):
            Trainer(model, SGD(1.0)).fit(X, LABELS, verbose=False)
        assert all((p == q).all() for p, q in zip(model.params, before, strict=True))
        assert all(np.isfinite(g).all() for g in model.grads)


class Zero(Chain):
    """Its gradient is 0, and it says so."""

    calls = 0

    def backward(self, dout=1):
        self.calls += 1
        for g in self.grads:
            g[...] = 0


class Adds(Chain):
    """Its gradients are 0 again in forward, and backward adds to them."""

    def forward(self, x, t):
        for g in self.grads:
            g[...] = 0
        return super().forward(x, t)

    def backward(self, dout=1):
        kept = [g.copy() for g in self.grads]
        super().backward(dout)
        for g, before in zip(self.grads, kept, strict=True):
            g += before


def test_gradients_of_zero_and_gradients_that_are_added_to_are_written():
    zero = Zero(chain().layers, SoftmaxWithLoss())
    Trainer(zero, SGD(1.0)).fit(X, LABELS, 1, 30, verbose=False)
    assert zero.calls == 11  # ten steps, and once more after the first to see that it writes
    adds, plain = Adds(chain().layers, SoftmaxWithLoss()), chain()
    for model in (adds, plain):
        Trainer(model, SGD(1.0), compile=False).fit(X, LABELS, 2, verbose=False, rng=0)
    assert all((p == q).all() for p, q in zip(adds.params, plain.params, strict=True))


class Late(Chain):
    """Its gradients are there after backward only, and every time others."""

    def __init__(self, grads):
        super().__init__([affine(2, 10), Sigmoid(), affine(10, 3, 1)], SoftmaxWithLoss())
        if grads == "missing":
            del self.grads
        else:
            self.grads = grads

    def backward(self, dout=1):
        super().backward(dout)
        self.grads = [g.copy() for layer in self.layers for g in layer.grads]


@pytest.mark.parametrize("grads", ["missing", None, []], ids=str)
def test_gradients_may_appear_in_backward(grads):
    late, plain = Late(grads), chain()
    for model in (late, plain):
        Trainer(model, SGD(1.0)).fit(X, LABELS, 2, verbose=False, rng=0)
    assert all((p == q).all() for p, q in zip(late.params, plain.params, strict=True))


def test_gradients_that_never_appear_are_refused():
    class Never(Late):
        backward = Chain.backward

    for grads in ("missing", None):
        with pytest.raises(ValueError, match="no grads after backward"):
            Trainer(Never(grads), SGD()).fit(X, LABELS, verbose=False)


class Words(Chain):
    """A language model without a memory."""

    def __init__(self):
        rng = np.random.default_rng(0)
        layers = [TimeEmbedding(rng.normal(size=(5, 4))), TimeAffine(rng.normal(size=(4, 5)), np.zeros(5))]
        super().__init__(layers, TimeSoftmaxWithLoss())


def test_the_trainer_of_language_models_watches_too():
    words = np.arange(100) % 5
    model = Words()
    model.params = [p.copy() for p in model.params]
    with pytest.raises(ValueError, match="is a copy of an array"):
        RnnlmTrainer(model, SGD()).fit(words, words, 1, 2, 5, verbose=False)
    model = Words()
    model.backward = lambda dout=1: None
    with pytest.raises(ValueError, match=r"did not write grads\[0\]"):
        RnnlmTrainer(model, SGD()).fit(words, words, 1, 2, 5, verbose=False)


# Losses that are no numbers


def broken_data():
    x = X.copy()
    x[17, 1] = np.nan
    return x


@pytest.mark.parametrize("compile", [None, False])
@pytest.mark.parametrize("make", [lambda: TwoLayerNet(2, 5, 3, rng=0), chain])
def test_nan_in_the_data_is_said_once_with_its_step_and_row(make, compile):
    order = np.random.default_rng(3).permutation(len(X))
    step = int(np.flatnonzero(order == 17)[0]) // 30 + 1
    with pytest.warns(RuntimeWarning) as said:
        Trainer(make(), SGD(0.1), compile=compile).fit(broken_data(), LABELS, 3, 30, rng=3, verbose=False)
    (warning,) = said
    assert (
        f"the loss is nan in epoch 1, step {step} of 10; x has values that are not finite, for example in row 17"
        in str(warning.message)
    )
    assert warning.filename == __file__


def test_a_learning_rate_that_is_too_large_is_said_where_the_loss_ends():
    model = TwoLayerNet(2, 5, 3, 1.0, activation="relu", rng=0)
    with pytest.warns(RuntimeWarning, match=r"is nan in epoch \d+, step \d+ of 10; a smaller learning rate"):
        Trainer(model, SGD(1e30)).fit(X, LABELS, 5, 30, verbose=False, callbacks=[lambda tr: None])


def test_a_large_sum_of_losses_is_no_loss_that_is_too_large():
    class Large(Chain):
        def forward(self, x, t):
            super().forward(x, t)
            return 1e308

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(Large(chain().layers, SoftmaxWithLoss()), SGD()).fit(X, LABELS, 2, verbose=False)


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
def test_the_other_trainers_say_it_too():
    words = np.arange(100) % 5
    model = Words()
    model.params[0][2] = np.nan
    with pytest.warns(RuntimeWarning, match="the loss is nan in epoch 1, step 1 of 10"):
        RnnlmTrainer(model, SGD()).fit(words, words, 2, 2, 5, verbose=False)
    np.random.seed(0)
    network = Book1Net(2, [5], 3)
    trainer = Book1Trainer(network, broken_data(), LABELS, X, LABELS, 2, 300, verbose=False)
    with pytest.warns(RuntimeWarning, match=r"Trainer: the loss is nan in epoch \d, step 1 of 1; x has") as said:
        trainer.train()
    assert len(said) == 1


def test_what_stays_finite_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(Chain([affine(2, 3)], SoftmaxWithLoss()), SGD()).fit(X, LABELS, 1, verbose=False)
        assert Embedding(np.ones((2, 2))).forward([0]).shape == (1, 2)


# Options of book 1's Trainer


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"mini_batch_size": 0}, "mini_batch_size"),
        ({"mini_batch_size": 2.5}, "mini_batch_size"),
        ({"epochs": -1}, "epochs"),
        ({"epochs": "2"}, "epochs"),
        ({"optimizer": 5}, "optimizer must be"),
        ({"evaluate_sample_num_per_epoch": 0}, "evaluate_sample_num_per_epoch"),
        ({"x_train": X[:5]}, "x_train has shape"),
        ({"t_test": LABELS[:5]}, "x_test has shape"),
        ({"x_test": X[:0], "t_test": LABELS[:0]}, "x_test has shape"),
    ],
)
def test_book_1_s_trainer_refuses_what_makes_no_sense(wrong, named):
    given = {"x_train": X, "t_train": LABELS, "x_test": X, "t_test": LABELS, **wrong}
    with pytest.raises(ValueError, match=named):
        Book1Trainer(Book1Net(2, [5], 3), **given)
