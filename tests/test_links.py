"""What holds the same arrays, or views of one memory, still does after it was pickled or copied by any library."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from chain_model import Chain

from scratchnet import models, optimizer
from scratchnet.base_model import BaseModel
from scratchnet.book1 import layers as book1_layers
from scratchnet.book1 import optimizer as book1_optimizer
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.multi_layer_net_extend import MultiLayerNetExtend
from scratchnet.layers import Affine, SoftmaxWithLoss
from scratchnet.plan import coalesce
from scratchnet.time_layers import TimeAffine, TimeBiLSTM, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss
from scratchnet.trainer import Trainer


def array_of(content, dtype, shape):
    return np.frombuffer(bytearray(content), dtype).reshape(shape)


class OneByOne(pickle._Pickler):
    """Writes each reference to an array as an array of its own, as joblib does."""

    def save(self, obj, *rest, **settings):
        if type(obj) is np.ndarray:
            self.save_reduce(array_of, (obj.tobytes(), obj.dtype, obj.shape))
        else:
            super().save(obj, *rest, **settings)


def one_by_one(value):
    file = io.BytesIO()
    OneByOne(file, 4).dump(value)
    return pickle.loads(file.getvalue())


def in_files(value, folder):
    """Reads each array into a file of its own, as joblib.load(..., mmap_mode="c") finds them."""
    files = iter(range(1000))

    class InFiles(pickle.Unpickler):
        def find_class(self, module, name):
            return mapped if name == "array_of" else super().find_class(module, name)

    def mapped(content, dtype, shape):
        path = folder / str(next(files))
        path.write_bytes(content)
        return np.memmap(path, dtype, "c", shape=shape)

    file = io.BytesIO()
    OneByOne(file, 4).dump(value)
    return InFiles(io.BytesIO(file.getvalue())).load()


WAYS = {
    **{f"pickle {p}": lambda v, p=p: pickle.loads(pickle.dumps(v, p)) for p in (0, 2, 5)},
    "deepcopy": copy.deepcopy,
    "one by one": one_by_one,
    "twice": lambda v: one_by_one(pickle.loads(pickle.dumps(one_by_one(v)))),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def same(ours, theirs):
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


# scratchnet's own networks


def trained(model, opt, epochs=3):
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(24, 2)), rng.integers(0, 3, 24)
    trainer = Trainer(model, opt)
    trainer.fit(x, t, epochs, 8, verbose=False, rng=2)
    return [p.copy() for p in model.params], [entry["loss"] for entry in trainer.history], trainer.engine


NETWORKS = {
    "two layers": lambda: models.TwoLayerNet(2, 5, 3, rng=0),
    "many layers": lambda: models.MultiLayerNet(2, [4, 3], 3, "relu", "he", dtype=np.float64, rng=0),
}


@EVERY_WAY
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("fitted", [False, True])
def test_a_network_trains_as_before_in_whole_steps_over_one_buffer(make, fitted, way):
    model, opt = make(), optimizer.Adam()
    if fitted:
        trained(model, opt)
    other, other_opt = way((model, opt))
    affine = [layer for layer in other.layers if layer.params]
    assert same(other.params, [p for layer in affine for p in layer.params])
    assert same(other.grads, [g for layer in affine for g in layer.grads])
    expected, got = trained(model, opt), trained(other, other_opt)
    assert got[2] == "plan" and got[1:] == expected[1:]
    for a, b in zip(got[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(coalesce(other.params, other.grads, [other_opt.m, other_opt.v])) == 1


def test_a_network_whose_arrays_lie_in_files_trains(tmp_path):
    model, opt = models.TwoLayerNet(2, 5, 3, rng=0), optimizer.SGD()
    other = in_files(model, tmp_path)
    assert type(other.params[0]) is np.memmap
    assert same(other.params, [p for layer in other.layers for p in layer.params])
    expected, got = trained(model, opt), trained(other, opt)
    for a, b in zip(got[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    (tmp_path / "tied").mkdir()
    tied = in_files(Tied(), tmp_path / "tied")
    assert np.shares_memory(tied.params[0], tied.params[4]) and tied.params[4] is tied.layers[2].params[0]


def test_the_same_network_gives_the_same_pickle():
    """So joblib.Memory knows it again."""
    first, second = (pickle.dumps([models.TwoLayerNet(2, 5, 3, rng=0), Tied()]) for _ in range(2))
    assert first == second


def test_a_state_side_by_side_stays_so_when_it_is_copied():
    model, opt = models.TwoLayerNet(2, 5, 3, rng=0), optimizer.Momentum()
    opt.update(model.params, model.grads)
    for way in WAYS.values():
        v = way(opt).v
        assert all(s.base is v[0].base is not None for s in v)


def test_a_shallow_copy_holds_the_same_arrays():
    model = models.TwoLayerNet(2, 5, 3, rng=0)
    params, lists = list(model.params), model.params
    other = copy.copy(model)
    assert other.params is lists and same(model.params, params) and other.layers is model.layers
    layer = copy.copy(model.layers[0])
    assert layer.params is model.layers[0].params and same(layer.params, params[:2])


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy, one_by_one])
def test_the_original_is_not_changed(way):
    model = models.TwoLayerNet(2, 5, 3, rng=0)
    before = {name: id(value) for name, value in vars(model).items()}
    arrays = [id(a) for a in (*model.params, *model.grads, *model.layers[0].params)]
    way(model)
    assert {name: id(value) for name, value in vars(model).items()} == before
    assert [id(a) for a in (*model.params, *model.grads, *model.layers[0].params)] == arrays


class Two:
    """A reader's class, no model of ours, that keeps lists of its own."""

    def __init__(self):
        self.nets = [models.TwoLayerNet(2, 3, 2, rng=0), models.TwoLayerNet(2, 3, 2, rng=1)]
        self.params = self.nets[0].params + self.nets[1].params


@pytest.mark.parametrize("first", ["nets", "params"])
@pytest.mark.parametrize("way", [way for name, way in WAYS.items() if name not in ("one by one", "twice")])
def test_arrays_that_somebody_else_holds_too_stay_the_same_ones(way, first):
    two = Two()
    vars(two)[first] = vars(two).pop(first)
    other = way(two)
    assert same(other.params, other.nets[0].params + other.nets[1].params)
    assert all(same(net.params[:2], net.layers[0].params) for net in other.nets)


def test_a_network_whose_layer_got_other_weights_keeps_them():
    model = models.TwoLayerNet(2, 3, 2, rng=0)
    model.layers[0].W = np.ones((2, 3), np.float32)
    for way in WAYS.values():
        other = way(model)
        assert other.params[0] is not other.layers[0].params[0] and (other.layers[0].W == 1).all()
        assert other.params[1] is other.layers[0].params[1]


def test_a_network_loads_and_moves_after_it_was_read(tmp_path):
    model = models.TwoLayerNet(2, 3, 2, rng=0)
    path = model.save_params(tmp_path / "weights")
    other = one_by_one(models.TwoLayerNet(2, 3, 2, rng=1))
    other.load_params(path)
    assert (other.layers[0].W == model.layers[0].W).all() and other.to("cpu") is other
    assert same(other.params[:2], other.layers[0].params)


# Models of readers, that extend the books' base


class Tied(Chain, BaseModel):
    """Chapter 6's language model in small: the words' vectors are the last weights too, transposed."""

    def __init__(self):
        rng = np.random.default_rng(0)
        E, Wx, Wh = (rng.normal(size=s).astype("f") for s in ((7, 3), (3, 12), (3, 12)))
        lstm = TimeLSTM(Wx, Wh, np.zeros(12, "f"), stateful=True)
        super().__init__([TimeEmbedding(E), lstm, TimeAffine(E.T, np.zeros(7, "f"))], TimeSoftmaxWithLoss())
        self.lstm_layers = {"first": lstm}


@EVERY_WAY
def test_tied_weights_stay_tied(way):
    words = np.random.default_rng(3).integers(0, 7, (4, 5))
    model, opt = Tied(), optimizer.SGD(0.5)
    model.forward(words[:2], words[:2, ::-1])  # leaves activations and a state behind
    other, other_opt = way((model, opt))
    assert np.shares_memory(other.params[0], other.params[4]) and other.lstm_layers["first"] is other.layers[1]
    assert same(other.params, [p for layer in other.layers for p in layer.params])
    assert same(other.grads, [g for layer in other.layers for g in layer.grads])
    losses = []
    for net, sgd in ((model, opt), (other, other_opt)):
        trainer = Trainer(net, sgd)
        trainer.fit(words, words[:, ::-1], 3, 2, verbose=False, rng=0)
        losses.append([entry["loss"] for entry in trainer.history])
    assert losses[0] == losses[1] and losses[0][0] > losses[0][-1]


class Slots(BaseModel):
    __slots__ = ("note",)

    def __init__(self):
        W, b = np.ones((2, 2)), np.zeros(2)
        self.layer = Affine(W, b)
        self.W = W
        self.params, self.grads, self.note = [W, b], self.layer.grads, "mine"


class OwnState(Slots):
    """Leaves something out, and adds to its state as Python's manual shows it."""

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["W"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.W = self.params[0]


@pytest.mark.parametrize("Class", [Slots, OwnState])
@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_reader_s_class_may_have_slots_and_a_state_of_its_own(Class, way):
    other = way(Class())
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert other.W is other.params[0] is other.layer.params[0] and other.grads is other.layer.grads
    assert getattr(other, "note", "mine") == "mine" and "_scratchnet_links" not in vars(other)


def test_a_state_without_links_is_read_too():
    model = BaseModel.__new__(BaseModel)
    model.__setstate__({"params": [1], "grads": [2]})
    assert model.params == [1] and model.grads == [2]


# Book 1


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@EVERY_WAY
@pytest.mark.parametrize(
    "make",
    [
        lambda: MultiLayerNet(4, [5, 3], 2),
        lambda: MultiLayerNetExtend(4, [5, 3], 2, use_dropout=True, use_batchnorm=True),
    ],
    ids=["plain", "extended"],
)
def test_book_1_s_networks_train_as_before(make, way):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(10, 4)), rng.integers(0, 2, 10)
    model, opt = make(), book1_optimizer.Adam(lr=0.1)
    opt.update(model.params, model.gradient(x, t))
    other, other_opt = way((model, opt))
    assert all(other.layers[f"Affine{i}"].params[0] is other.params[f"W{i}"] for i in (1, 2, 3))
    losses = []
    for net, adam in ((model, opt), (other, other_opt)):
        np.random.seed(4)
        for _ in range(3):
            adam.update(net.params, net.gradient(x, t))
        losses.append(net.loss(x, t))
    assert losses[0] == losses[1]


# Layers by themselves


@EVERY_WAY
def test_layers_keep_what_they_share(way):
    rng = np.random.default_rng(0)
    lstm = TimeBiLSTM(*(rng.normal(size=s) for s in ((3, 8), (2, 8), (8,)) * 2))
    affine, loss = way((Affine(np.ones((2, 3)), np.zeros(3)), SoftmaxWithLoss()))
    assert affine.W is affine.params[0] and loss.params == []
    other = way(lstm)
    xs, dhs = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 4))
    for each in (lstm, other):
        each.forward(xs)
        each.backward(dhs)
    for a, b in zip(lstm.grads, other.grads, strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_array_equal(a, b)


def test_batch_normalization_of_book_1_keeps_its_running_mean():
    layer = book1_layers.BatchNormalization(np.ones(2), np.zeros(2))
    layer.forward(np.arange(6.0).reshape(3, 2))
    for way in WAYS.values():
        np.testing.assert_array_equal(way(layer).running_mean, layer.running_mean)


@pytest.mark.parametrize("library", ["joblib", "cloudpickle"])
def test_the_libraries_that_are_installed(library, tmp_path):
    module = pytest.importorskip(library)
    model, opt = models.TwoLayerNet(2, 5, 3, rng=0), optimizer.Adam()
    trained(model, opt)
    if library == "joblib":
        module.dump((model, opt, Tied()), tmp_path / "all.joblib")
        other, other_opt, tied = module.load(tmp_path / "all.joblib")
    else:
        other, other_opt, tied = pickle.loads(module.dumps((model, opt, Tied())))
    assert same(other.params[:2], other.layers[0].params)
    assert np.shares_memory(tied.params[0], tied.params[4]) and same(tied.params[:1], tied.layers[0].params)
    expected, got = trained(model, opt), trained(other, other_opt)
    assert got[1:] == expected[1:] and len(coalesce(other.params, other.grads, [other_opt.m])) == 1
