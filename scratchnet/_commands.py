"""The commands `scratchnet train`, `predict` and `info`: their arguments and what they do."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from . import show_config
from ._arrays import Array
from ._files import check_replaceable, whole_file
from ._start import say
from .dataset import mnist, spiral
from .functions import softmax
from .models import MultiLayerNet, Network, accuracy, load
from .optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from .trainer import Trainer
from .util import class_indices

_SAVE_SECONDS = (
    1.0  # from one checkpoint to the next, at least: a small network's epoch takes less than writing one
)

Data = tuple[Array, Array, Array, Array]  # x and t for training, x and t for the test

WEIGHTS = "weights.npz"
CHECKPOINT = "checkpoint.npz"
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
    "spiral": {"hidden": [10], "epochs": 300, "batch_size": 30, "eval_interval": 10, "seed": None},
    "mnist": {"hidden": [50], "epochs": 16, "batch_size": 100, "eval_interval": 100, "seed": 1984},
}
# The best of those tried (steps of about 3) for one to four hidden layers of sigmoids; relu needs smaller ones.
LEARNING_RATES: dict[str, dict[str, float]] = {
    "spiral": {"sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.3, "rmsprop": 0.01, "adam": 0.03},
    "mnist": {"sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "rmsprop": 0.003, "adam": 0.003},
}
RELU_RATE = 0.3  # of the rates above


def add_to(commands: Any) -> None:
    """Add the parsers of these commands to the subparsers, each with its function as `run`."""
    train = commands.add_parser("train", help="train a network and write its weights and pictures")
    add = train.add_argument
    add("data", choices=DEFAULTS, help="spiral: the book's 300 points; mnist: the handwritten digits")
    add("--hidden", type=_sizes, metavar="N,...", help=f"units of the hidden layers ({_defaults('hidden')})")
    add(
        "--activation",
        choices=("sigmoid", "relu"),
        default="sigmoid",
        help="activation of the hidden layers (sigmoid)",
    )
    add(
        "--init",
        type=_init,
        metavar="STD",
        help="std of the first weights, or he, or xavier (xavier, for relu he; spiral's one sigmoid layer 0.01)",
    )
    add("--epochs", type=_count, metavar="N", help=f"passes over the data ({_defaults('epochs')})")
    add("--batch-size", type=_count, metavar="N", help=f"samples per step ({_defaults('batch_size')})")
    add("--optimizer", choices=OPTIMIZERS, default="sgd", help="how gradients change the weights (sgd)")
    add("--lr", type=float, help=f"learning rate ({_rates()}; for relu {RELU_RATE} of it)")
    add("--max-grad", type=float, metavar="NORM", help="largest norm of the gradients (no limit)")
    add("--seed", type=int, help=f"seed of the random numbers ({_defaults('seed')})")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where to train; cuda is an NVIDIA GPU (cpu)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="dtype of the weights (float32)")
    add("--eval-interval", type=_count, metavar="N",
        help=f"steps between log lines ({_defaults('eval_interval')})")  # fmt: skip
    add("--resume", action="store_true",
        help=f"go on from {CHECKPOINT} in --out, if it is there: it is written after each epoch, at most once a "
        "second; --epochs counts those before")  # fmt: skip
    add("--quiet", action="store_true", help="print only the result")
    add("--out", type=Path, metavar="FOLDER", help="where the files go (scratchnet-DATA)")
    train.set_defaults(run=_train)

    predict = commands.add_parser(
        "predict", help="print the class of each sample, using the weights that train wrote"
    )
    predict.add_argument("weights", type=Path, help="weights.npz")
    predict.add_argument(
        "data",
        help="spiral or mnist (test images), with the accuracy on the last line; "
        "or a .npy or .csv file with one sample per row",
    )
    predict.add_argument("--probabilities", action="store_true", help="print each class's probability as well")
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="show versions, instruction set, GPU and optional packages")
    info.set_defaults(run=_info)


def _defaults(setting: str) -> str:
    texts = []
    for data, settings in DEFAULTS.items():
        value = settings[setting]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        texts.append(f"{data} {'as the book' if value is None else text}")
    return ", ".join(texts)


def _rates() -> str:
    return "; ".join(
        f"{data} {', '.join(f'{name} {rate:g}' for name, rate in rates.items())}"
        for data, rates in LEARNING_RATES.items()
    )


def _fill_in(options: argparse.Namespace) -> None:
    """Set the omitted options according to the data, the activation, the depth and the optimizer."""
    for setting, value in DEFAULTS[options.data].items():
        if getattr(options, setting) is None:
            setattr(options, setting, value)
    is_relu = options.activation == "relu"
    if options.init is None:
        is_book_s = options.data == "spiral" and len(options.hidden) <= 1 and not is_relu
        options.init = 0.01 if is_book_s else "he" if is_relu else "xavier"
    if options.lr is None:
        options.lr = LEARNING_RATES[options.data][options.optimizer] * (RELU_RATE if is_relu else 1)
    if options.out is None:
        options.out = Path(f"scratchnet-{options.data}")


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return number


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",") if size]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected integers separated by commas, got {text!r}") from None


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
    lr = options.lr
    _fill_in(options)
    x, t, x_test, t_test = _load(options.data)
    if options.seed is not None:  # otherwise continue with the spiral's own seed, as in the book
        np.random.seed(options.seed)
    classes = t.shape[1] if t.ndim == 2 else int(t.max()) + 1
    model = MultiLayerNet(
        x.shape[1], options.hidden, classes, options.activation, options.init, dtype=np.dtype(options.dtype)
    )
    model.to(options.device)
    trainer = Trainer(model, OPTIMIZERS[options.optimizer](options.lr))
    separate_test = x_test is not x
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / CHECKPOINT
    for file in (options.out / WEIGHTS, path):
        check_replaceable(file)  # now, not after the training
    if options.resume and path.exists():
        trainer.load_checkpoint(path)
        if lr is not None:
            trainer.optimizer.lr = lr
        if not options.quiet:
            print(f"goes on after {trainer.current_epoch} epochs")
    before, saved_at = trainer.current_epoch, -float("inf")

    def save(trainer: Trainer) -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at >= _SAVE_SECONDS:
            trainer.save_checkpoint(path)
            saved_at = time.monotonic()

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
            callbacks=[report, save] if separate_test and not options.quiet else [save],
            verbose=not options.quiet,
        )
        trainer.save_checkpoint(path)
    except KeyboardInterrupt:
        code = 130
        if trainer.current_epoch == 0:
            say("Ctrl-C in the first epoch; nothing was written")
            return code
        say(f"Ctrl-C after {trainer.current_epoch} epochs; what was learned is kept, and --resume goes on")
    seconds = time.perf_counter() - start
    shares = {"training data": accuracy(model, x, t)}
    if separate_test:
        shares["test data"] = accuracy(model, x_test, t_test)
    print(", ".join(f"accuracy {share:.4f} on the {name}" for name, share in shares.items()))
    if shares["training data"] <= np.bincount(class_indices("t", t, classes)).max() / len(t):
        say(
            "the network has learned nothing: always predicting one class does as well. "
            "Try another --lr or --init, or more --epochs"
        )
    print(f"{trainer.current_epoch - before} epochs in {seconds:.2f} s, {options.dtype}, engine {trainer.engine}")
    model.to("cpu")
    written = [model.save_params(options.out / WEIGHTS), *_pictures(trainer, model, x, t, options)]
    print("wrote " + ", ".join(str(path) for path in written))
    return code


def _pictures(trainer: Trainer, model: Network, x: Array, t: Array, options: argparse.Namespace) -> list[Path]:
    """Draw the loss, and the regions of a network with two inputs; return the files."""
    if find_spec("matplotlib") is None:
        print('no pictures: they require matplotlib, pip install "scratchnet[plot]"')
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
        with whole_file(options.out / name) as file:
            figure.savefig(file, dpi=120, format="png")
    return [options.out / name for name in drawings]


def _predict(options: argparse.Namespace) -> int:
    model = load(options.weights)
    t: Array | None = None
    if options.data in DEFAULTS:
        _, _, x, t = _load(options.data)
    else:
        x = _read_samples(Path(options.data))
    scores = model.predict(x)
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"the scores of sample {int(finite.argmin()) + 1} are not finite: its values, or the weights, are "
            "too large or not finite"
        )
    for row, best in zip(softmax(scores), scores.argmax(axis=1), strict=True):
        print(best, *(f"{p:.4f}" for p in row) if options.probabilities else ())
    if t is not None:
        print(f"accuracy {accuracy(model, x, t):.4f} on {len(x)} samples")
    return 0


def _read_samples(path: Path) -> Array:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; expected spiral, mnist, or a .npy or .csv file")
    try:
        # Mapped, an array is read where it is needed, and one that claims more than the file contains is rejected.
        x = np.asarray(open_memmap(path, mode="r")) if path.suffix == ".npy" else _read_csv(path)
        if x.dtype.kind not in "biuf":
            raise ValueError(f"its dtype is {x.dtype}")
    except OSError:
        raise
    except Exception as error:  # a damaged header is Python's text to NumPy, and its errors are of any kind
        raise ValueError(f"{path} does not contain rows of numbers: {error}") from None
    x = np.atleast_2d(x)
    if x.ndim != 2:
        raise ValueError(f"{path} holds an array of shape {x.shape}, expected one sample per row")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise ValueError(f"{path}: sample {int(finite.argmin()) + 1} has a value that is not finite")
    return x


def _read_csv(path: Path) -> Array:
    """Return comma-separated numbers; a first line without any number is a header."""
    rows: list[list[float]] = []
    for place, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        numbers = [_number(field) for field in line.split(",")]
        if not line.strip() or (place == 1 and not any(number is not None for number in numbers)):
            continue
        row = [number for number in numbers if number is not None]
        if len(row) < len(numbers) or (rows and len(row) != len(rows[0])):
            raise ValueError(f"line {place} is {line!r}")
        rows.append(row)
    if not rows:
        raise ValueError("it is empty")
    return np.array(rows)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _info(options: argparse.Namespace) -> int:
    show_config()
    return 0
