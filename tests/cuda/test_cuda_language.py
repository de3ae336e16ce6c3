"""Book 2's layers for text and its trainer on the GPU, against the CPU: over CuPy or a fake of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import processes
import pytest
from chain_model import Chain
from numpy_books import book2, rnnlm
from processes import PYTHON
from test_time_layers import Model, text

import scratchnet
from scratchnet.base_model import BaseModel
from scratchnet.layers import Dropout, Embedding, SigmoidWithLoss
from scratchnet.optimizer import SGD, Adam
from scratchnet.time_layers import (
    GRU,
    LSTM,
    RNN,
    Simple_TimeSoftmaxWithLoss,
    TimeAffine,
    TimeBiLSTM,
    TimeDropout,
    TimeEmbedding,
    TimeGRU,
    TimeLSTM,
    TimeRNN,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
)
from scratchnet.trainer import RnnlmTrainer
from scratchnet.util import analogy, clip_grads, eval_perplexity, eval_seq2seq, most_similar

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # some steps in float32, sums in another order
N, T, D, H, V = 3, 4, 5, 6, 7


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def weights(gates):
    return [randn(D, gates * H), randn(H, gates * H), randn(gates * H)]


WORDS = np.random.default_rng(0).integers(0, V, (N, T))
IGNORED = np.where(np.arange(N * T).reshape(N, T) % 3 == 1, -1, WORDS)
XS, H0, C0, SCORES = randn(N, T, D), randn(N, H, seed=1), randn(N, H, seed=2), randn(N, T, V)
# (layer of arrays that `upload` has put somewhere, inputs of forward, arguments of backward)
LAYERS = {
    "Embedding": (lambda up: Embedding(up(randn(V, D))), (WORDS[0],), (randn(T, D),)),
    "TimeEmbedding": (lambda up: TimeEmbedding(up(randn(V, D))), (WORDS,), (randn(N, T, D),)),
    "TimeAffine": (lambda up: TimeAffine(up(randn(D, V)), up(randn(V))), (XS,), (randn(N, T, V),)),
    "TimeAffine, tied": (lambda up: TimeAffine(up(randn(V, D)).T, up(randn(V))), (XS,), (randn(N, T, V),)),
    "RNN": (lambda up: RNN(*map(up, weights(1))), (XS[:, 0], H0), (randn(N, H),)),
    "LSTM": (lambda up: LSTM(*map(up, weights(4))), (XS[:, 0], H0, C0), (randn(N, H), randn(N, H, seed=3))),
    "GRU": (lambda up: GRU(*map(up, weights(3))), (XS[:, 0], H0), (randn(N, H),)),
    "TimeRNN": (lambda up: TimeRNN(*map(up, weights(1))), (XS,), (randn(N, T, H),)),
    "TimeLSTM": (lambda up: TimeLSTM(*map(up, weights(4))), (XS,), (randn(N, T, H),)),
    "TimeGRU": (lambda up: TimeGRU(*map(up, weights(3))), (XS,), (randn(N, T, H),)),
    "TimeGRU without a bias": (lambda up: TimeGRU(*map(up, weights(3)[:2])), (XS,), (randn(N, T, H),)),
    "TimeBiLSTM": (
        lambda up: TimeBiLSTM(*map(up, weights(4) + [w * 2 for w in weights(4)])),
        (XS,),
        (randn(N, T, 2 * H),),
    ),
    "TimeSoftmaxWithLoss": (lambda up: TimeSoftmaxWithLoss(), (SCORES, WORDS), ()),
    "TimeSoftmaxWithLoss, some ignored": (lambda up: TimeSoftmaxWithLoss(), (SCORES, IGNORED), (0.5,)),
    "TimeSoftmaxWithLoss, all ignored": (lambda up: TimeSoftmaxWithLoss(), (SCORES, WORDS * 0 - 1), ()),
    "TimeSoftmaxWithLoss, one-hot": (lambda up: TimeSoftmaxWithLoss(), (SCORES, np.eye(V)[WORDS]), ()),
    "Simple_TimeSoftmaxWithLoss": (lambda up: Simple_TimeSoftmaxWithLoss(), (SCORES, WORDS), ()),
    "TimeSigmoidWithLoss": (lambda up: TimeSigmoidWithLoss(), (SCORES[..., 0], WORDS % 2), ()),
    "SigmoidWithLoss": (lambda up: SigmoidWithLoss(), (SCORES[..., 0], WORDS % 2), ()),
    "Dropout": (lambda up: Dropout(0.4), (XS,), (randn(N, T, D),)),
    "TimeDropout": (lambda up: TimeDropout(0.4), (XS,), (randn(N, T, D),)),
}


@pytest.fixture(autouse=True)
def same_masks(request, monkeypatch):
    """CuPy draws from its own stream; here it gets the numbers that NumPy's would give."""
    if "cupy" in request.fixturenames:
        cupy = request.getfixturevalue("cupy")

        def rand(*shape, dtype=float):
            return cupy.asarray(np.random.rand(*shape).astype(dtype))

        monkeypatch.setattr(cupy.random, "rand", rand, raising=False)


def run(layer, inputs, douts):
    """The results of forward and backward and the gradients, in one list."""
    np.random.seed(7)
    out = layer.forward(*inputs)
    back = layer.backward(*douts)
    return [
        a
        for part in (out, back, layer.grads)
        for a in (part if isinstance(part, tuple | list) else [part])
        if a is not None
    ]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_what_it_gives_on_the_cpu(cupy, name):
    make, inputs, douts = LAYERS[name]
    expected = run(make(np.copy), inputs, douts)
    there = [a if isinstance(a, float) else cupy.asarray(a) for a in douts]
    got = run(make(cupy.asarray), [cupy.asarray(a) for a in inputs], there)
    assert len(got) == len(expected) and all(isinstance(a, cupy.ndarray) for a in got)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(a), b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("labels", [WORDS, IGNORED, WORDS * 0 - 1, IGNORED.astype(np.int32)])
def test_words_and_labels_may_stay_on_the_cpu(cupy, labels):
    W, scores = randn(V, D), cupy.asarray(SCORES)
    here, there = TimeSoftmaxWithLoss(), TimeSoftmaxWithLoss()
    np.testing.assert_allclose(float(there.forward(scores, labels)), here.forward(SCORES, labels), rtol=1e-5)
    np.testing.assert_allclose(cupy.asnumpy(there.backward()), here.backward(), **CLOSE)
    out = Embedding(cupy.asarray(W)).forward(labels)
    np.testing.assert_array_equal(cupy.asnumpy(out), W[labels])


def test_words_and_labels_out_of_range(cupy):
    """Those of the CPU are refused; of those on the GPU nobody is told, but the result."""
    there, wrong = Embedding(cupy.asarray(randn(V, D))), np.array([[0, V, 1]])
    with pytest.raises(IndexError, match=rf"Embedding: idx\[1\] is {V}"):
        there.forward(wrong)
    out = cupy.asnumpy(there.forward(cupy.asarray(wrong)))
    assert np.isnan(out[0, 1]).all() and not np.isnan(out[0, [0, 2]]).any()
    there.backward(cupy.ones((1, 3, D), np.float32))
    assert cupy.asnumpy(there.grads[0]).sum() == 2 * D
    scores, labels = cupy.asarray(SCORES[:1, :3]), np.array([[0, -1, V]])
    with pytest.raises(IndexError, match=rf"TimeSoftmaxWithLoss: ts\[2\] is {V}"):
        TimeSoftmaxWithLoss().forward(scores, labels)
    assert np.isnan(float(TimeSoftmaxWithLoss().forward(scores, cupy.asarray(labels))))
    with pytest.raises(IndexError, match="idx must contain integers, got dtype float32"):
        there.forward(cupy.ones(3, np.float32))


def test_sides_are_not_mixed_silently(cupy):
    with pytest.raises(ValueError, match=r"Embedding: idx is on the GPU, W is on the CPU; scratchnet.to_cpu"):
        Embedding(randn(V, D)).forward(cupy.asarray(WORDS))
    with pytest.raises(ValueError, match="TimeSoftmaxWithLoss: ts is on the GPU, the scores are on the CPU"):
        TimeSoftmaxWithLoss().forward(SCORES, cupy.asarray(WORDS))
    with pytest.raises(ValueError, match="TimeLSTM: xs is on the CPU, the parameters are on the GPU"):
        TimeLSTM(*map(cupy.asarray, weights(4))).forward(XS)
    with pytest.raises(ValueError, match="is on the CPU, the parameters are on the GPU"):
        layer = TimeLSTM(*map(cupy.asarray, weights(4)), stateful=True)
        layer.set_state(H0)
        layer.forward(cupy.asarray(XS))


@pytest.mark.parametrize("kind, gates", [(TimeRNN, 1), (TimeLSTM, 4), (TimeGRU, 3)])
def test_a_state_is_kept_on_the_gpu(cupy, kind, gates):
    here, there = kind(*weights(gates), stateful=True), kind(*map(cupy.asarray, weights(gates)), stateful=True)
    for layer, up in ((here, np.copy), (there, cupy.asarray)):
        layer.set_state(up(H0))
        layer.forward(up(XS))
        assert type(layer.h) is type(up(H0))
    np.testing.assert_allclose(cupy.asnumpy(there.forward(cupy.asarray(XS))), here.forward(XS), **CLOSE)
    there.reset_state()
    assert there.h is None


def test_nothing_waits_for_the_gpu(cupy):
    """Neither forward nor backward reads anything back; labels over time on the GPU are the exception."""
    if cupy.__name__ != "fake_cupy":
        pytest.skip("the fake CuPy says what waits")
    for name, (make, inputs, douts) in LAYERS.items():
        layer = make(cupy.asarray)
        there = [cupy.asarray(a) for a in inputs]
        if name.startswith("TimeSoftmax"):
            there = [cupy.asarray(inputs[0]), inputs[1]]
        douts = [a if isinstance(a, float) else cupy.asarray(a) for a in douts]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cupy.ndarray, "get", lambda *_, name=name: pytest.fail(f"{name} waits"))
            run(layer, there, douts)


# Whole models


def moved(model, upload):
    """A model whose layers have the parameters of another, where `upload` puts them."""
    for layer in model.layers:
        layer.params = [upload(p) for p in layer.params]
        layer.grads = [upload(g) for g in layer.grads]
    model.params = [p for layer in model.layers for p in layer.params]
    model.grads = [g for layer in model.layers for g in layer.grads]
    return model


def language_model(sequence, gates, upload=np.copy):
    return moved(Model(rnnlm.weights(25, 12, 14, gates, np.float32, rng=1), sequence), upload)


@pytest.mark.parametrize("sequence, gates", [(TimeRNN, 1), (TimeLSTM, 4), (TimeGRU, 3)])
@pytest.mark.parametrize("side", ["cpu", "gpu"])
def test_the_trainer_trains_as_on_the_cpu(cupy, sequence, gates, side):
    corpus, results = text(length=151), []
    for upload, words in ((np.copy, corpus), (cupy.asarray, corpus if side == "cpu" else cupy.asarray(corpus))):
        model = language_model(sequence, gates, upload)
        trainer = RnnlmTrainer(model, SGD(1.0))
        trainer.fit(words[:-1], words[1:], 2, 5, 6, max_grad=0.25, eval_interval=2, verbose=False)
        assert all(type(p) is float for p in trainer.ppl_list) and len(trainer.ppl_list) == 6
        model.reset_state()
        results.append([trainer.ppl_list, eval_perplexity(model, words, 5, 6)])
    np.testing.assert_allclose(results[1][0], results[0][0], **CLOSE)
    np.testing.assert_allclose(results[1][1], results[0][1], **CLOSE)
    assert results[1][0][-1] < results[1][0][0]


def test_batches_lie_where_the_words_do(cupy):
    corpus, trainer = text(), RnnlmTrainer(language_model(TimeLSTM, 4), SGD())
    for (xs, ts), _ in zip(book2.trainer.batches(corpus, 7, 9), range(12), strict=False):
        there = trainer.get_batch(cupy.asarray(corpus[:-1]), cupy.asarray(corpus[1:]), 7, 9)
        for a, b in zip(there, (xs, ts), strict=True):
            assert isinstance(a, cupy.ndarray)
            np.testing.assert_array_equal(cupy.asnumpy(a), b)


def test_losses_wait_on_the_gpu_for_the_next_line(cupy, monkeypatch):
    if cupy.__name__ != "fake_cupy":
        pytest.skip("the fake CuPy says what waits")
    model, corpus, reads = language_model(TimeLSTM, 4, cupy.asarray), text(length=151), []
    get = cupy.ndarray.get
    monkeypatch.setattr(cupy.ndarray, "get", lambda array, *rest: reads.append(array.shape) or get(array, *rest))
    RnnlmTrainer(model, SGD(1.0)).fit(corpus[:-1], corpus[1:], 1, 5, 6, eval_interval=3, verbose=False)
    assert reads == [(), (), ()]  # of five steps the first and the fourth have a line; the last's sum is kept


def test_tied_weights_are_trained_once(cupy):
    """The book's better model: the embedding's matrix, transposed, is the last layer's; dropout between."""
    corpus, results = text(length=151), []

    class Tied(Chain):
        def __init__(self, upload):
            embed_W, Wx, Wh, b, _, affine_b = map(upload, rnnlm.weights(25, 14, 14, 4, np.float32, rng=1))
            layers = [
                TimeEmbedding(embed_W),
                TimeDropout(0.3),
                TimeLSTM(Wx, Wh, b, stateful=True),
                TimeAffine(embed_W.T, affine_b),
            ]
            super().__init__(layers, TimeSoftmaxWithLoss())

        def forward(self, xs, ts, train_flg=True):
            self.layers[1].train_flg = train_flg
            return super().forward(xs, ts)

    for upload in (np.copy, cupy.asarray):
        np.random.seed(5)
        model = Tied(upload)
        trainer = RnnlmTrainer(model, Adam(0.01))
        trainer.fit(corpus[:-1], corpus[1:], 1, 5, 6, max_grad=5.0, eval_interval=1, verbose=False)
        assert model.layers[3].params[0] is model.params[4]
        np.testing.assert_array_equal(scratchnet.to_cpu(model.params[0]).T, scratchnet.to_cpu(model.params[4]))
        model.layers[2].reset_state()
        results.append([*trainer.ppl_list, eval_perplexity(model, corpus, 5, 6)])
    np.testing.assert_allclose(results[1], results[0], **CLOSE)


def test_negative_sampling_as_the_book_builds_it(cupy):
    """Chapter 4: rows of an embedding times the middle layer, and yes-or-no losses."""
    results = []
    for upload, xp in ((np.copy, np), (cupy.asarray, cupy)):
        embedding, loss = Embedding(upload(randn(V, D))), SigmoidWithLoss()
        h, targets = upload(randn(N, D)), upload(np.array([1, 4, 1]))
        rows = embedding.forward(targets)
        losses = loss.forward(xp.sum(rows * h, axis=1), upload(np.array([1, 0, 1])))
        dout = loss.backward().reshape(N, 1)
        embedding.backward(dout * h)
        clip_grads(embedding.grads, 0.1)
        results.append([float(losses), scratchnet.to_cpu(dout * rows), scratchnet.to_cpu(embedding.grads[0])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, **CLOSE)


def test_weights_are_saved_on_one_side_and_loaded_on_the_other(cupy, tmp_path):
    class Net(BaseModel):
        def __init__(self, upload):
            self.params = [upload(randn(4, 3)), upload(randn(3))]

    there, here = Net(cupy.asarray), Net(lambda a: np.zeros_like(a))
    there.save_params(tmp_path / "net.pkl")
    here.load_params(tmp_path / "net.pkl")
    for a, b in zip(here.params, there.params, strict=True):
        np.testing.assert_allclose(a, cupy.asnumpy(b), rtol=1e-3)
    params = list(there.params)
    here.save_params(tmp_path / "net.pkl")
    there.params[0][...] = 0
    there.load_params(tmp_path / "net.pkl")
    assert all(a is b for a, b in zip(there.params, params, strict=True))
    np.testing.assert_array_equal(cupy.asnumpy(there.params[0]), here.params[0])


def test_words_are_compared_wherever_their_vectors_lie(cupy, capsys):
    words = dict(zip("abcdefg", range(V), strict=True))
    names = {i: word for word, i in words.items()}

    def printed(matrix):
        most_similar("c", words, names, matrix, 3)
        analogy("a", "b", "c", words, names, matrix, 3, answer="d")
        return capsys.readouterr().out

    assert printed(cupy.asarray(randn(V, D))) == printed(randn(V, D)) != ""


def test_an_answer_is_judged_wherever_it_lies(cupy, capsys):
    class Knows:
        def generate(self, question, start, length):
            assert start == 5 and length == 2
            return [1, 2]

    names = dict(enumerate("abcdef"))
    question, correct = cupy.asarray(np.array([[3, 4]])), cupy.asarray(np.array([[5, 1, 2]]))
    assert eval_seq2seq(Knows(), question, correct, names, True) == 1
    assert capsys.readouterr().out.splitlines()[:2] == ["Q de", "T bc"]


# A reader's script, with the books' switch in its first lines

SCRIPT = """
from common import config
config.GPU = {gpu}
from common.np import *
from common.time_layers import *
from common.base_model import BaseModel
from common.optimizer import SGD
from common.trainer import RnnlmTrainer
from common.util import eval_perplexity, to_cpu, to_gpu

print("GPU", GPU, np.__name__)

class Net(BaseModel):
    def __init__(self, words, D, H):
        rn = np.random.randn
        W = (rn(words, D) / 10).astype("f")
        weights = [(rn(D, 4 * H) / 3).astype("f"), (rn(H, 4 * H) / 3).astype("f"), np.zeros(4 * H).astype("f")]
        out = (rn(H, words) / 3).astype("f"), np.zeros(words).astype("f")
        self.layers = [TimeEmbedding(W), TimeLSTM(*weights, stateful=True), TimeAffine(*out)]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, ts):
        for layer in self.layers:
            xs = layer.forward(xs)
        return self.loss_layer.forward(xs, ts)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)

    def reset_state(self):
        self.layers[1].reset_state()

np.random.seed(0)
corpus = np.arange(91) ** 2 % 11
if config.GPU:
    corpus = to_gpu(corpus)
model = Net(11, 6, 7)
trainer = RnnlmTrainer(model, SGD(2.0))
trainer.fit(corpus[:-1], corpus[1:], max_epoch=2, batch_size=3, time_size=6, max_grad=0.25, eval_interval=2)
model.reset_state()
print("perplexity %.2f" % eval_perplexity(model, corpus, 3, 6))
model.save_params("net.pkl")
model.load_params("net.pkl")
print(type(model.params[0]).__module__, type(to_cpu(model.params[0])).__module__)
"""


@pytest.mark.parametrize("package", ["common", "scratchnet.book2"])
def test_a_reader_s_script_with_the_books_switch(cupy, package, tmp_path):
    """In real processes: on the CPU, and over the fake CuPy, which draws NumPy's random numbers."""
    if cupy.__name__ != "fake_cupy":
        pytest.skip("CuPy draws other numbers than NumPy")
    start = dedent("""
        import sys, fake_cupy
        from scratchnet.dropin import run_script
        with fake_cupy.install():
            run_script(sys.argv[1], book=2)
    """)
    printed = {}
    for gpu in (False, True):
        script = tmp_path / f"script{gpu}.py"
        script.write_text(SCRIPT.format(gpu=gpu).replace("from common", f"from {package}"))
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        said = processes.run(*PYTHON, "-c", start, script, cwd=tmp_path, PYTHONPATH=paths).stdout
        printed[gpu] = re.sub(r"time \d+", "time", said).splitlines()
    assert printed[False][0] == "GPU False numpy" and printed[True][0] == "GPU True fake_cupy"
    assert printed[False][-1] == "numpy numpy" and printed[True][-1] == "fake_cupy numpy"
    assert printed[True][1:-1] == printed[False][1:-1] and len(printed[True]) > 8
