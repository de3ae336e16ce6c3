"""What `make demo` runs: train book 2's network for the spiral, write what it learned, time it beside NumPy."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from scratchnet.dataset import spiral
from scratchnet.models import TwoLayerNet
from scratchnet.optimizer import SGD
from scratchnet.plotting import plot_decision_boundary, plot_loss
from scratchnet.trainer import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from chain_model import dense_chain
from numpy_books import book2

EPOCHS, BATCH, EVERY = 300, 30, 30
SECONDS = 2.0  # for the comparison
SHORT = 100  # epochs of one turn in it


def show(trainer: Trainer) -> None:
    """Print a line every 30 epochs: a callback."""
    if trainer.current_epoch % EVERY == 0:
        print(f"epoch {trainer.current_epoch:3d} of {EPOCHS}, loss {trainer.history[-1]['loss']:.3f}", flush=True)


def draw(trainer: Trainer, x: np.ndarray, t: np.ndarray, folder: Path) -> list[Path]:
    """Write the pictures; return their paths. Without matplotlib there are none."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    drawings = {
        "loss.png": lambda ax: plot_loss(trainer, ax=ax),
        "decision_boundary.png": lambda ax: plot_decision_boundary(trainer.model, x, t, ax=ax),
    }
    for name, drawing in drawings.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        drawing(figure.add_subplot())
        figure.savefig(folder / name, dpi=120)
    return [folder / name for name in drawings]


def times_as_fast(x: np.ndarray, t: np.ndarray) -> float:
    """How many times as long the book's code in NumPy takes: the same network, in turns, for two seconds."""
    ours = TwoLayerNet(2, 10, 3)
    theirs = dense_chain(book2.layers, [p.copy() for p in ours.params], "Sigmoid")
    trainers = Trainer(ours, SGD(lr=1.0)), book2.trainer.Trainer(theirs, book2.optimizer.SGD(lr=1.0))
    ratios, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or not ratios:
        taken = []
        for trainer in trainers:
            start = time.perf_counter()
            trainer.fit(x, t, SHORT, BATCH, eval_interval=10, verbose=False)
            taken.append(time.perf_counter() - start)
        ratios.append(taken[1] / taken[0])
    return median(ratios)


def main() -> None:
    """Train, write, time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the weights and the pictures")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)

    print("The spiral of book 2: 300 points, 2-10-3 neurons, batches of 30, SGD.")
    x, t = spiral.load_data()
    trainer = Trainer(TwoLayerNet(2, 10, 3), SGD(lr=1.0))
    start = time.perf_counter()
    trainer.fit(x, t, EPOCHS, BATCH, eval_interval=10, verbose=False, callbacks=show)
    seconds = time.perf_counter() - start
    print(f"accuracy {trainer.model.accuracy(x, t):.3f} after {seconds:.2f} s")

    for path in (trainer.model.save_params(folder / "weights.npz"), *draw(trainer, x, t, folder)):
        print(path)
    print(f"{times_as_fast(x, t):.0f} times as fast as the book's NumPy code on this machine (measured in 2 s)")


if __name__ == "__main__":
    main()
