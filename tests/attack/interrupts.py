"""Ctrl-C at a random moment of a fit of any kind: it is seen, once, and all can be used after it."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from attacks_trainers import LanguageModel
from chain_model import Chain
from numpy_books import rnnlm

from scratchnet import SGD, Adam, RnnlmTrainer, Trainer, TwoLayerNet
from scratchnet.layers import Affine, Sigmoid, SoftmaxWithLoss

X = np.random.default_rng(0).standard_normal((30, 2))
T = np.arange(30) % 3
WORDS = np.random.default_rng(0).integers(0, 5, 40)


def net() -> TwoLayerNet:
    return TwoLayerNet(2, 4, 3, 0.5, rng=0)


def chain() -> Chain:
    """A reader's own class."""
    draw = np.random.default_rng(0).standard_normal
    return Chain(
        [Affine(draw((2, 4)), np.zeros(4)), Sigmoid(), Affine(draw((4, 3)), np.zeros(3))], SoftmaxWithLoss()
    )


Kind = tuple[Callable[[], Any], Callable[[Any], None]]


def fitting(epochs: int, batch_size: int, model: Callable[[], Any] = net, compile: bool | None = None,
            optimizer: Callable[[], Any] = Adam, **options: Any) -> Kind:  # fmt: skip
    """A trainer, and its fit."""
    given = {"verbose": False, **options}
    return (
        lambda: Trainer(model(), optimizer(), compile=compile),
        lambda trainer: trainer.fit(X, T, epochs, batch_size, **given),
    )


def a_fit_within(trainer: Any) -> None:
    Trainer(net(), SGD(0.1)).fit(X, T, 2, 10, verbose=False)


KINDS: dict[str, Kind] = {
    "one step": fitting(1, 30),
    "one step, layers": fitting(1, 30, compile=False),
    "plan": fitting(20, 10),
    "plan, long": fitting(3000, 10),
    "layers": fitting(5, 10, compile=False),
    "a reader's class": fitting(3, 10, chain),
    "a reader's class, compiled": fitting(3, 10, chain, True),
    "callbacks": fitting(10, 10, callbacks=[lambda tr: None]),
    "a fit in a callback": fitting(3, 10, callbacks=[a_fit_within]),
    "checkpoints": fitting(5, 10, checkpoint="run"),
    "validation": fitting(3, 10, validation=(X, T)),
    "lines": fitting(20, 10, verbose=True, eval_interval=1),
    "nothing": fitting(0, 30),
    "words": (
        lambda: RnnlmTrainer(LanguageModel(rnnlm.weights(5, 2, 3, gates=1, rng=0)), SGD(0.1)),
        lambda trainer: trainer.fit(WORDS[:-1], WORDS[1:], 2, 2, 5, verbose=False),
    ),
}


class Presser:
    """A process beside this one that sends it the signal: not when Python finds time, but at any instruction."""

    def __init__(self) -> None:
        self.sent = mmap.mmap(-1, 4096)
        reading, self.orders = os.pipe()
        parent = os.getpid()
        if os.fork() == 0:
            os.close(self.orders)
            self.serve(reading, parent)
        os.close(reading)
        self.count = 0

    def serve(self, reading: int, parent: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        count = 0
        try:
            while order := os.read(reading, 8):
                until = time.perf_counter() + np.frombuffer(order)[0]
                while time.perf_counter() < until:
                    pass
                os.kill(parent, signal.SIGINT)
                count += 1
                self.sent[:8] = count.to_bytes(8, "little")
        finally:
            os._exit(0)

    def press(self, after: float) -> None:
        self.count += 1
        os.write(self.orders, np.float64(after).tobytes())

    def wait(self) -> None:
        """Until the signal has been sent."""
        while int.from_bytes(self.sent[:8], "little") < self.count:
            time.sleep(1e-4)


def length(kind: Kind) -> float:
    """How long a fit of a kind takes, in seconds."""
    make, fit = kind
    times = []
    for _ in range(3):
        trainer = make()
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            fit(trainer)
        times.append(time.perf_counter() - start)
    return min(times)


def prepare(seed: int, count: int) -> Callable[[int], str | None]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lengths = {name: length(kind) for name, kind in KINDS.items()}
    presser, names = Presser(), sorted(KINDS)
    names += 2 * [name for name in names if name.startswith(("one", "nothing"))]
    unraisable: list[str] = []
    sys.unraisablehook = lambda args: unraisable.append(f"{args.exc_type.__name__} in {args.object!r}")

    def trial(k: int) -> str | None:
        name = names[k % len(names)]
        make, fit = KINDS[name]
        trainer = make()
        rng = np.random.default_rng([seed, k])
        # Half of them at any moment, half near the end, where the handler is put back.
        when = 1.2 * rng.random() if rng.random() < 0.5 else 1 + 0.05 * rng.standard_normal()
        delay = abs(when) * lengths[name]
        unraisable.clear()
        seen = False
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                presser.press(delay)
                fit(trainer)
            presser.wait()
            time.sleep(1e-4)  # the handler runs at the latest now
        except KeyboardInterrupt:
            seen = True
        presser.wait()
        where = f"{name}, after {delay * 1e6:.0f} of {lengths[name] * 1e6:.0f} us"
        if not seen:
            return f"{where}: the signal was lost"
        if unraisable:
            return f"{where}: {unraisable}"
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return f"{where}: the handler was not put back"
        epochs = trainer.current_epoch
        if hasattr(trainer, "history") and len(trainer.history) != epochs:
            return f"{where}: {len(trainer.history)} entries of history after {epochs} epochs"
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            fit(trainer)
        lengths[name] += 0.2 * (time.perf_counter() - start - lengths[name])  # others use the machine too
        if name != "nothing" and trainer.current_epoch <= epochs:
            return f"{where}: no epoch more in the next fit"
        if not all(np.isfinite(p).all() for p in trainer.model.params):
            return f"{where}: parameters that are no numbers"
        return None

    return trial
