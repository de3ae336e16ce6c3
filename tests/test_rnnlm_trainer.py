"""The trainer of language models, on texts made here: its batches, its lines, and the book's numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy_books import book2, rnnlm
from test_time_layers import CELLS, Model, text

from scratchnet.optimizer import SGD
from scratchnet.time_layers import TimeLSTM
from scratchnet.trainer import RnnlmTrainer

SETTINGS = dict(max_epoch=3, batch_size=5, time_size=6, max_grad=0.25)
cells = pytest.mark.parametrize("step, sequence, books, gates", CELLS.values(), ids=CELLS)


def model_of(sequence, gates, dtype=np.float64):
    return Model(rnnlm.weights(25, 12, 14, gates, dtype, rng=1), sequence)


@cells
@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_losses_are_the_book_s(step, sequence, books, gates, dtype, close):
    corpus = text()
    trainer = RnnlmTrainer(model_of(sequence, gates, dtype), SGD(1.0))
    trainer.fit(corpus[:-1], corpus[1:], **SETTINGS, eval_interval=4, verbose=False)
    theirs = rnnlm.Rnnlm(rnnlm.weights(25, 12, 14, gates, rng=1), books)
    expected = rnnlm.fit(theirs, corpus, lr=1.0, **SETTINGS, eval_interval=4)
    np.testing.assert_allclose(np.log(trainer.ppl_list), np.log(expected), rtol=close)
    assert all(type(p) is float for p in trainer.ppl_list) and trainer.current_epoch == 3


def test_batches_go_on_where_the_ones_before_ended():
    corpus, trainer = text(), RnnlmTrainer(model_of(TimeLSTM, 4), SGD())
    for (xs, ts), _ in zip(book2.trainer.batches(corpus, 7, 9), range(20), strict=False):
        mine = trainer.get_batch(corpus[:-1], corpus[1:], 7, 9)
        np.testing.assert_array_equal(mine[0], xs)
        np.testing.assert_array_equal(mine[1], ts)
    assert trainer.time_idx == 180


@pytest.mark.parametrize(
    "lang, pattern",
    [
        ("en", r"\| epoch (\d+) \|  iter (\d+) / 20 \| time \d+\[s\] \| perplexity \d+\.\d\d"),
        ("ko", r"\| 에폭 (\d+) \|  반복 (\d+) / 20 \| 시간 \d+\[s\] \| 퍼플렉서티 \d+\.\d\d"),
    ],
)
def test_the_lines_are_the_book_s(lang, pattern, capsys):
    corpus = text()
    trainer = RnnlmTrainer(model_of(TimeLSTM, 4), SGD(), lang=lang)
    trainer.fit(corpus[:-1], corpus[1:], 2, 5, 6, eval_interval=8)
    matches = [re.fullmatch(pattern, line) for line in capsys.readouterr().out.splitlines()]
    assert [(int(m[1]), int(m[2])) for m in matches] == [(e, i) for e in (1, 2) for i in (1, 9, 17)]
    trainer.fit(corpus[:-1], corpus[1:], 1, 5, 6, eval_interval=None)
    assert trainer.current_epoch == 3 and trainer.ppl_list == [] and capsys.readouterr().out == ""


def test_tied_weights_are_trained_once():
    """The book's better model: the embedding's matrix, transposed, is the last layer's."""
    weights = rnnlm.weights(25, 14, 14, rng=1)
    weights[4] = weights[0].T
    theirs = [w.copy() for w in weights[:4]]
    theirs += [theirs[0].T, weights[5].copy()]
    mine, other, corpus = Model(weights, TimeLSTM), rnnlm.Rnnlm(theirs), text()
    trainer = RnnlmTrainer(mine, SGD(0.5))
    trainer.fit(corpus[:-1], corpus[1:], 1, 5, 6, verbose=False)
    for (xs, ts), _ in zip(book2.trainer.batches(corpus, 5, 6), range(20), strict=False):
        other.forward(xs, ts)
        other.backward()
        other.grads[0] += other.grads[4].T
        for i in (0, 1, 2, 3, 5):
            other.params[i] -= 0.5 * other.grads[i]
    for p, q in zip(mine.params, other.params, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)


def test_what_makes_no_sense_is_refused():
    corpus, trainer = text(), RnnlmTrainer(model_of(TimeLSTM, 4), SGD())
    for arguments, words in (
        ((corpus[:-1], corpus[2:]), "xs has shape"),
        ((corpus[:50], corpus[1:51]), r"the text has 50 words, expected at least batch_size \* time_size, 700"),
        ((corpus[:-1], corpus[1:], -1), "max_epoch must be a non-negative integer"),
        ((corpus[:-1], corpus[1:], 1, 5, 0), "time_size must be a positive integer"),
        ((corpus[:-1], corpus[1:], 1, 5, 6, 0), "max_grad must be a positive number"),
    ):
        with pytest.raises(ValueError, match=words):
            trainer.fit(*arguments)
    with pytest.raises(ValueError, match="RnnlmTrainer: the optimizer has no update"):
        RnnlmTrainer(trainer.model, 1)
    with pytest.raises(ValueError, match=r"RnnlmTrainer: lang .* must be one of 'en', 'ko', got 'fr'"):
        RnnlmTrainer(trainer.model, SGD(), lang="fr")


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    corpus, trainer = text(), RnnlmTrainer(model_of(TimeLSTM, 4), SGD())
    with pytest.raises(ValueError, match="there is no perplexity to plot yet"):
        trainer.plot()
    trainer.fit(corpus[:-1], corpus[1:], 1, 5, 6, eval_interval=5, verbose=False)
    figure, ax = pyplot.subplots()
    assert trainer.plot(ylim=(0, 500), ax=ax) is ax
    assert ax.get_ylabel() == "Perplexity" and ax.get_xlabel() == "Iterations (x5)" and ax.get_ylim() == (0, 500)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), trainer.ppl_list)
    pyplot.close(figure)
