"""The command line: `scratchnet train spiral`, `predict`, `info`; also `python -m scratchnet`."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, show_config
from .dataset import mnist, spiral
from .functions import softmax
from .models import MultiLayerNet, Network, accuracy
from .optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from .trainer import Trainer
from .util import NoGPUError
from .weights import load_params, read_weights

Array = np.ndarray[Any, np.dtype[Any]]
Data = tuple[Array, Array, Array, Array]  # x and t for training, x and t for the test

OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
}
# The books' settings: book 2, ch. 1.4.3 (spiral); book 1, ch. 4.5 and 5.7 (MNIST).
DEFAULTS: dict[str, dict[str, Any]] = {
    "spiral": {"hidden": [10], "epochs": 300, "batch_size": 30, "lr": 1.0, "eval_interval": 10, "seed": None},
    "mnist": {"hidden": [50], "epochs": 16, "batch_size": 100, "lr": 0.1, "eval_interval": 100, "seed": 1984},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    options = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Korean letters is no reason to stop
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (ValueError, IndexError, OSError, ImportError, MemoryError, NoGPUError) as error:
        print(f"scratchnet: error: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:  # what CuPy says when a GPU fails
        if getattr(options, "device", "cpu") != "cuda":
            raise
        print(f"scratchnet: error: the GPU failed: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scratchnet", description="The books' networks on compiled kernels.")
    parser.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network and write its weights and pictures")
    datasets = train.add_subparsers(title="data sets", required=True, metavar="DATA")
    for name, text in (("spiral", "the book's 300 points"), ("mnist", "the handwritten digits")):
        default = DEFAULTS[name]
        run = datasets.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        add = run.add_argument
        add("--hidden", type=_sizes, default=default["hidden"], metavar="N,...", help="units of the hidden layers")
        add("--activation", choices=("sigmoid", "relu"), default="sigmoid", help="of the hidden layers")
        add("--init", type=_init, default=0.01, metavar="STD", help="std of the first weights, or he, or xavier")
        add("--epochs", type=int, default=default["epochs"], help="times through the data")
        add("--batch-size", type=int, default=default["batch_size"], help="samples in a step")
        add("--lr", type=float, default=default["lr"], help="learning rate")
        add("--optimizer", choices=OPTIMIZERS, default="sgd", help="how gradients change the weights")
        add("--max-grad", type=float, default=None, help="largest norm of the gradients")
        add("--seed", type=int, default=default["seed"], help="of the random numbers; None: the book's stream")
        add("--device", choices=("cpu", "cuda"), default="cpu", help="where to train; cuda is an NVIDIA GPU")
        add("--dtype", choices=("float32", "float64"), default="float32", help="of the weights")
        add("--eval-interval", type=int, default=default["eval_interval"], help="steps from one line to the next")
        add("--quiet", action="store_true", help="print only the result")
        add("--out", type=Path, default=Path(f"scratchnet-{name}"), metavar="FOLDER", help="where the files go")
        run.set_defaults(run=_train, data=name)

    predict = commands.add_parser("predict", help="classify with the weights that train wrote")
    predict.add_argument("weights", type=Path, help="weights.npz")
    predict.add_argument("data", help="spiral, mnist (test images), or a .npy or .csv file, a sample a row")
    predict.add_argument("--probabilities", action="store_true", help="print each class's probability as well")
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="show versions, instruction set, GPU and optional packages")
    info.set_defaults(run=_info)
    return parser


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",") if size]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers and commas, got {text!r}") from None


def _init(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _load(name: str) -> Data:
    if name == "spiral":
        x, t = spiral.load_data()
        return x, t, x, t
    (x_train, t_train), (x_test, t_test) = mnist.load_mnist()
    return x_train, t_train, x_test, t_test


def _train(options: argparse.Namespace) -> int:
    x, t, x_test, t_test = _load(options.data)
    if options.seed is not None:  # else the spiral's own seed goes on, as in the book
        np.random.seed(options.seed)
    classes = t.shape[1] if t.ndim == 2 else int(t.max()) + 1
    model = MultiLayerNet(
        x.shape[1], options.hidden, classes, options.activation, options.init, dtype=np.dtype(options.dtype)
    )
    model.to(options.device)
    trainer = Trainer(model, OPTIMIZERS[options.optimizer](options.lr))
    separate_test = x_test is not x

    def report(trainer: Trainer) -> None:
        last = trainer.history[-1]
        print(f"train acc, test acc | {last['accuracy']:.4f}, {last['val_accuracy']:.4f}")

    code = 0
    start = time.perf_counter()
    try:
        trainer.fit(
            x,
            t,
            options.epochs,
            options.batch_size,
            options.max_grad,
            options.eval_interval,
            validation=(x_test, t_test) if separate_test else None,
            callbacks=[report] if separate_test and not options.quiet else [],
            verbose=not options.quiet,
            progress=sys.stderr.isatty() and not options.quiet and find_spec("tqdm") is not None,
        )
    except KeyboardInterrupt:
        print(f"\nCtrl-C after {trainer.current_epoch} epochs; what was learned is kept", file=sys.stderr)
        code = 130
    seconds = time.perf_counter() - start
    shares = {"training data": accuracy(model, x, t)}
    if separate_test:
        shares["test data"] = accuracy(model, x_test, t_test)
    print(", ".join(f"accuracy {share:.4f} on the {name}" for name, share in shares.items()))
    print(f"{trainer.current_epoch} epochs in {seconds:.2f} s, {options.dtype}, engine {trainer.engine}")
    model.to("cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    written = [model.save_params(options.out / "weights.npz"), *_pictures(trainer, model, x, t, options)]
    print("wrote " + ", ".join(str(path) for path in written))
    return code


def _pictures(trainer: Trainer, model: Network, x: Array, t: Array, options: argparse.Namespace) -> list[Path]:
    """Draw the loss, and the regions of a network with two inputs; return the files."""
    if find_spec("matplotlib") is None:
        print('no pictures: they need matplotlib, pip install "scratchnet[plot]"')
        return []
    from matplotlib.figure import Figure

    from .plotting import plot_decision_boundary, plot_loss

    drawings: dict[str, Callable[[Any], Any]] = {}
    if trainer.loss_list:
        drawings["loss.png"] = lambda ax: plot_loss(trainer, ax=ax)
    if x.shape[1] == 2:
        drawings["decision_boundary.png"] = lambda ax: plot_decision_boundary(model, x, t, ax=ax)
    for name, draw in drawings.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        draw(figure.add_subplot())
        temporary = options.out / f".{name}.{os.getpid()}.png"
        try:
            figure.savefig(temporary, dpi=120)
            os.replace(temporary, options.out / name)
        finally:
            temporary.unlink(missing_ok=True)
    return [options.out / name for name in drawings]


def _predict(options: argparse.Namespace) -> int:
    model = _model_of(options.weights)
    if options.data in DEFAULTS:
        _, _, x, t = _load(options.data)
        print(f"accuracy {accuracy(model, x, t):.4f} on {len(x)} samples")
        return 0
    x = _read_samples(Path(options.data))
    scores = model.predict(x)
    for row, best in zip(softmax(scores), scores.argmax(axis=1), strict=True):
        print(best, *(f"{p:.4f}" for p in row) if options.probabilities else ())
    return 0


def _model_of(path: Path) -> MultiLayerNet:
    """Build the network that a weights file was saved from, and fill it."""
    stored = read_weights(path)
    activation: Any = str(stored.get("activation", "sigmoid"))
    matrices = [stored[name] for name in sorted(stored, key=lambda n: (len(n), n)) if name.startswith("W")]
    if not matrices or any(W.ndim != 2 for W in matrices):
        raise ValueError(f"{path} does not hold the weights of a chain of fully connected layers")
    sizes = [W.shape[0] for W in matrices] + [matrices[-1].shape[1]]
    dtype = np.result_type(np.float32, matrices[0].dtype)
    model = MultiLayerNet(sizes[0], sizes[1:-1], sizes[-1], activation, 0.0, dtype=dtype, rng=0)
    load_params(model, path)
    return model


def _read_samples(path: Path) -> Array:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; expected spiral, mnist, or a .npy or .csv file")
    try:
        if path.suffix == ".npy":
            x = np.atleast_2d(np.load(path, allow_pickle=False))
        else:
            x = np.array([line.split(",") for line in path.read_text("utf-8-sig").split()], dtype=float)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} does not hold rows of numbers: {error}") from None
    if x.ndim != 2:
        raise ValueError(f"{path} holds an array of shape {x.shape}, expected a sample a row")
    return x


def _info(options: argparse.Namespace) -> int:
    show_config()
    return 0


if __name__ == "__main__":
    sys.exit(main())
