"""The bar of `fit(progress=True)`: the log's lines are its text, and do not break it."""

from __future__ import annotations

import re
import sys
import warnings
from types import ModuleType

import pytest

from scratchnet import SGD, Trainer, TwoLayerNet
from scratchnet.dataset import spiral

pytest.importorskip("tqdm")

X, T = spiral.load_data()


def fitted(lang="en", max_epoch=2, **options):
    trainer = Trainer(TwoLayerNet(2, 10, 3, rng=0), SGD(1.0), lang=lang)
    trainer.fit(X, T, max_epoch, 30, eval_interval=4, progress=True, rng=0, **options)
    return trainer


@pytest.mark.parametrize(("lang", "words"), [("en", "epoch 2, loss {:.2f}"), ("ko", "에폭 2, 손실 {:.2f}")])
def test_the_bar_has_the_lines_place_and_says_epoch_and_loss(capfd, lang, words):
    trainer = fitted(lang)
    out, err = capfd.readouterr()
    assert out == "" and len(trainer.loss_list) == 6
    *_, last = re.split(r"[\r\n]+", err.rstrip())
    assert last.startswith("100%|") and "20/20" in last and words.format(trainer.loss_list[-1]) in last


def test_without_lines_the_bar_has_no_text(capfd):
    fitted(verbose=False)
    out, err = capfd.readouterr()
    assert out == "" and "20/20" in err and "loss" not in err


def test_no_epochs(capfd):
    fitted(max_epoch=0)
    assert capfd.readouterr().out == ""


def test_a_notebook_without_widgets_gets_no_warning(capfd, monkeypatch):
    """tqdm.auto warns there when it is imported. How it knows a notebook has changed with its versions."""
    for name in [name for name in sys.modules if name.startswith("tqdm.")]:
        if name.startswith(("tqdm.auto", "tqdm.notebook")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("QT_API", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", ModuleType("ipykernel.zmqshell"))
    ipython = type("IPython", (), {"config": {"IPKernelApp": {}}})
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(ipython, "get_ipython", lambda: ipython, raising=False)
    with warnings.catch_warnings(record=True) as caught:  # as an error, tqdm would catch it itself
        warnings.simplefilter("always")
        fitted()
    assert "20/20" in capfd.readouterr().err and caught == []
