"""Fits that tests/test_resume.py kills and starts again, and everything that they end with."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from chain_model import Chain
from numpy_books import rnnlm

from scratchnet import optimizer
from scratchnet._streams import state_of
from scratchnet.callbacks import CSVLog, EarlyStopping, LearningRateSchedule
from scratchnet.dataset import spiral
from scratchnet.layers import Affine, Dropout, Relu, SoftmaxWithLoss
from scratchnet.models import TwoLayerNet
from scratchnet.time_layers import TimeAffine, TimeDropout, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss
from scratchnet.trainer import RnnlmTrainer, Trainer
from scratchnet.util import preprocess

X, T = spiral.load_data()


def net() -> Any:
    return TwoLayerNet(2, 10, 3)


def dropout() -> Any:
    """A reader's own class, whose masks come from NumPy's global stream."""
    W1, W2 = 0.5 * np.random.randn(2, 10), 0.5 * np.random.randn(10, 3)
    layers = [Affine(W1, np.zeros(10)), Relu(), Dropout(0.2), Affine(W2, np.zeros(3))]
    return Chain(layers, SoftmaxWithLoss())


def language_model() -> Any:
    """Layers that keep their state, and masks between them."""
    embed, Wx, Wh, b, W, c = rnnlm.weights(8, 4, 5, gates=4, rng=0)
    layers = [TimeEmbedding(embed), TimeDropout(0.2), TimeLSTM(Wx, Wh, b, stateful=True), TimeAffine(W, c)]
    return Chain(layers, TimeSoftmaxWithLoss())


def watched(folder: Path) -> dict[str, Any]:
    """Options that leave something behind after each epoch."""
    return {
        "validation": (X[::3], T[::3]),
        "metric": lambda model, x, t: model.predict(x).sum(),
        "callbacks": [
            LearningRateSchedule(lambda epoch: 0.5 / (1 + epoch)),
            EarlyStopping("loss", patience=10**6),
            CSVLog(folder / "log.csv"),
        ],
    }


# Model, optimizer, compile and rng of a Trainer, and whether options of `watched` are given
CASES: dict[str, tuple[Any, ...]] = {
    "SGD": (net, "SGD", None, None, False),
    "Momentum": (net, "Momentum", None, lambda: 5, False),
    "Nesterov, layers": (net, "Nesterov", False, None, False),
    "AdaGrad, layers": (net, "AdaGrad", False, lambda: np.random.Generator(np.random.Philox(5)), False),
    "RMSprop, callbacks": (net, "RMSprop", None, None, True),
    "Adam": (net, "Adam", None, None, False),
    "Adam, callbacks": (net, "Adam", None, lambda: np.random.default_rng(5), True),
    "Adam, layers, callbacks": (net, "Adam", False, lambda: np.random.RandomState(5), True),
    "dropout": (dropout, "Momentum", None, None, True),
    "language model": (language_model, "Adam", None, None, False),
}


def fit(case: str, epochs: int, folder: Path, **checkpoint: Any) -> dict[str, str]:
    """Run a fit; return all that it leaves behind, as short texts."""
    model, name, compile, rng, is_watched = CASES[case]
    np.random.seed(1)
    trainer: Any
    if model is language_model:
        corpus, _, _ = preprocess("you say goodbye and i say hello . " * 4)
        trainer = RnnlmTrainer(model(), getattr(optimizer, name)(0.01))
        trainer.fit(corpus[:-1], corpus[1:], epochs, 3, 2, 0.5, 2, verbose=False, **checkpoint)
        lists = [trainer.ppl_list, trainer.time_idx]
    else:
        trainer = Trainer(model(), getattr(optimizer, name)(0.01), compile=compile)
        options = watched(folder) if is_watched else {}
        given = None if rng is None else rng()
        trainer.fit(X, T, epochs, 30, eval_interval=4, verbose=False, rng=given, **options, **checkpoint)
        lists = [trainer.loss_list, trainer.history]
    state = trainer._fit_state
    log = folder / "log.csv"
    left = {
        "parameters": trainer.model.params,
        "optimizer": trainer.optimizer.state_dict(),
        "lists": [*lists, trainer.current_epoch],
        "order": state.order,
        "streams": [state_of(None), state.own_stream],
        "the rest": [state.epochs, state.window, state.callbacks],
        "log": log.read_text() if log.exists() else None,
    }
    return {name: digest(value) for name, value in left.items()}


def digest(value: Any) -> str:
    def text(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
        if isinstance(value, dict):
            return str({key: text(entry) for key, entry in value.items()})
        return str([text(entry) for entry in value]) if isinstance(value, list | tuple) else repr(value)

    return hashlib.sha256(text(value).encode()).hexdigest()[:12]


if __name__ == "__main__":
    _, case, epochs, folder = sys.argv
    print("begins", flush=True)
    print(fit(case, int(epochs), Path(folder), checkpoint=Path(folder) / "run.npz", resume=True), flush=True)
