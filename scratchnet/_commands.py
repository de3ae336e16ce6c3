"""The commands `scratchnet train spiral`, `train mnist` and `info`, and what `train table` shares with them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from os import environ
from pathlib import Path
from typing import Any

import numpy as np

from . import get_num_threads, set_num_threads, show_config
from ._arrays import Array
from ._files import check_replaceable, whole_file
from ._ranks import Ranks
from ._start import say
from .dataset import mnist, spiral
from .dataset._lines import names_in_short
from .dataset.table import Columns
from .models import MultiLayerNet, Network, accuracy
from .optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from .trainer import Trainer
from .util import class_indices
from .weights import read_weights, write_params

# From one checkpoint to the next, at least: a small network's epoch takes less than writing one.
_SAVE_SECONDS = 1.0

Data = tuple[Array, Array, Array, Array]  # x and t for training, x and t for the test

WEIGHTS = "weights.npz"
LEARNED_NOTHING = "the network has learned nothing: {} does as well. Try another --lr or --init, or more --epochs"
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
    train = commands.add_parser(
        "train",
        help="train a network and write its weights and pictures",
        epilog="For a table of your own: scratchnet train table FILE.csv --target COLUMN; "
        "scratchnet train table --help shows its settings.",
    )
    train.add_argument(
        "data", type=_data, choices=DEFAULTS, help="spiral: the book's 300 points; mnist: the handwritten digits"
    )
    add_options(
        train,
        hidden=_defaults("hidden"),
        activation="sigmoid",
        init="xavier, for relu he; spiral's one sigmoid layer 0.01",
        epochs=_defaults("epochs"),
        batch_size=_defaults("batch_size"),
        optimizer="sgd",
        lr=f"{_rates()}; for relu {RELU_RATE} of it",
        seed=_defaults("seed"),
        eval_interval=_defaults("eval_interval"),
        out="scratchnet-DATA",
    )
    train.set_defaults(run=_train)

    info = commands.add_parser("info", help="show versions, instruction set, GPU and optional packages")
    info.set_defaults(run=_info)


def add_options(parser: argparse.ArgumentParser, **defaults: str) -> None:
    """Add what every training can be told, with the words for what is chosen where an option is left out."""

    def add(name: str, what: str, **options: Any) -> None:
        key = name.strip("-").replace("-", "_")
        default = f" ({defaults[key]})" if key in defaults else ""
        parser.add_argument(name, help=what + default, **options)

    add("--hidden", "units of the hidden layers", type=_sizes, metavar="N,...")
    add("--activation", "activation of the hidden layers", choices=("sigmoid", "relu"),
        default=defaults["activation"])  # fmt: skip
    add("--init", "std of the first weights, or he, or xavier", type=_init, metavar="STD")
    add("--epochs", "passes over the data", type=as_count, metavar="N")
    add("--batch-size", "samples per step", type=as_count, metavar="N")
    add("--optimizer", "how gradients change the weights", choices=OPTIMIZERS, default=defaults["optimizer"])
    add("--lr", "learning rate", type=float)
    add("--max-grad", "largest norm of the gradients (no limit)", type=float, metavar="NORM")
    add("--seed", "seed of the random numbers", type=int)
    add("--device", "where to train; cuda is an NVIDIA GPU (cpu)", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", "dtype of the weights (float32)", choices=("float32", "float64"), default="float32")
    add("--eval-interval", "steps between log lines", type=as_count, metavar="N")
    add(
        "--resume",
        f"go on from {CHECKPOINT} in --out, if it is there: it is written after each epoch, at most once a "
        "second; --epochs counts those before",
        action="store_true",
    )
    add("--quiet", "print only the result", action="store_true")
    add("--mpi", "train with the other processes that mpiexec has started", action="store_true")
    add("--out", "where the files go", type=Path, metavar="FOLDER")


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
    """Set the omitted options, but for lr, according to the data, the activation and the depth."""
    for setting, value in DEFAULTS[options.data].items():
        if getattr(options, setting) is None:
            setattr(options, setting, value)
    is_relu = options.activation == "relu"
    if options.init is None:
        is_book_s = options.data == "spiral" and len(options.hidden) <= 1 and not is_relu
        options.init = 0.01 if is_book_s else "he" if is_relu else "xavier"
    if options.out is None:
        options.out = Path(f"scratchnet-{options.data}")


def _data(text: str) -> str:
    if text not in DEFAULTS and (Path(text).suffix.lower() in (".csv", ".tsv", ".txt") or Path(text).is_file()):
        raise argparse.ArgumentTypeError(f"for a table write: scratchnet train table {text} --target COLUMN")
    if text == "table":  # which is a command of its own
        raise argparse.ArgumentTypeError(
            "for a table write 'train table' first: scratchnet train table FILE.csv ..."
        )
    return text


def as_count(text: str) -> int:
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


def load_data(name: str) -> Data:
    if name == "spiral":
        x, t = spiral.load_data()
        return x, t, x, t
    (x_train, t_train), (x_test, t_test) = mnist.load_mnist()
    return x_train, t_train, x_test, t_test


def ranks_of(options: argparse.Namespace) -> Ranks:
    """Return the processes that train together; on one machine they share its processors."""
    if not options.mpi:
        if environ.get("PMI_RANK", environ.get("OMPI_COMM_WORLD_RANK")) == "0" and not options.quiet:
            print(
                "scratchnet: mpiexec without --mpi: each process trains alone, into the same files",
                file=sys.stderr,
            )
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter without an MPI
        raise ImportError(
            f'--mpi requires mpi4py and an MPI: pip install mpich "scratchnet[mpi]" ({error})'
        ) from None
    ranks = Ranks(MPI.COMM_WORLD)
    if ranks.rank:
        options.quiet = True
    if not {"SCRATCHNET_NUM_THREADS", "OMP_NUM_THREADS"} & environ.keys():
        here = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
        set_num_threads(max(1, get_num_threads() // here.Get_size()))
        here.Free()
    return ranks


def _train(options: argparse.Namespace) -> int:
    ranks = ranks_of(options)
    with ranks.telling():
        return _train_on(ranks, options)


def _train_on(ranks: Ranks, options: argparse.Namespace) -> int:
    _fill_in(options)
    if ranks.size > 1:  # one of them downloads what is missing
        ranks.from_first(lambda: load_data(options.data) and None)
    x, t, x_test, t_test = load_data(options.data)
    if options.seed is not None:  # otherwise continue with the spiral's own seed, as in the book
        np.random.seed(options.seed)
    classes = t.shape[1] if t.ndim == 2 else int(t.max()) + 1
    model = MultiLayerNet(
        x.shape[1], options.hidden, classes, options.activation, options.init, dtype=np.dtype(options.dtype)
    )
    separate_test = x_test is not x

    def report(trainer: Trainer) -> None:
        last = trainer.history[-1]
        print(f"train acc, test acc | {last['accuracy']:.4f}, {last['val_accuracy']:.4f}")

    def result() -> None:
        shares = {"training data": accuracy(model, x, t)}
        if separate_test:
            shares["test data"] = accuracy(model, x_test, t_test)
        print(", ".join(f"accuracy {share:.4f} on the {name}" for name, share in shares.items()))
        if shares["training data"] <= np.bincount(class_indices("t", t, classes)).max() / len(t):
            say(LEARNED_NOTHING.format("always predicting one class"))

    return train_and_write(
        ranks,
        model,
        x,
        t,
        options,
        LEARNING_RATES[options.data][options.optimizer] * (RELU_RATE if options.activation == "relu" else 1),
        result,
        [report] if separate_test and not options.quiet else [],
        validation=(x_test, t_test) if separate_test else None,
    )


def train_and_write(
    ranks: Ranks,
    model: Network,
    x: Array,
    t: Array,
    options: argparse.Namespace,
    rate: float,
    result: Callable[[], None],
    callbacks: Sequence[Callable[[Trainer], Any]],
    texts: dict[str, str] | None = None,
    **fit: Any,
) -> int:
    """Train a network as the options say, print the result, write the files, and return the exit code.

    `rate` is the learning rate where --lr is left out; `result` prints how good the network is; `texts` go into
    the weights file, and `fit` to Trainer.fit. All ranks train; rank 0 does the rest.
    """
    model.to(options.device)
    optimizer = OPTIMIZERS[options.optimizer](rate if options.lr is None else options.lr)
    trainer = Trainer(model, optimizer, comm=ranks.comm)
    path, texts = options.out / CHECKPOINT, texts or {}
    epochs = ranks.from_first(lambda: _begin(trainer, x.shape[1], options, texts))
    before, saved_at = trainer.current_epoch, -float("inf")

    def save(trainer: Trainer) -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at >= _SAVE_SECONDS:
            trainer.save_checkpoint(path)
            saved_at = time.monotonic()

    code = 0
    start = time.perf_counter()
    try:
        trainer.fit(
            x,
            t,
            epochs,
            options.batch_size,
            options.max_grad,
            options.eval_interval,
            verbose=not options.quiet,
            callbacks=[*callbacks, save],
            **fit,
        )
        trainer.save_checkpoint(path)
    except KeyboardInterrupt:
        code = 130
        if trainer.current_epoch == 0:
            if ranks.rank == 0:
                say("Ctrl-C in the first epoch; nothing was written")
            return code
        if ranks.rank == 0:
            say(f"Ctrl-C after {trainer.current_epoch} epochs; what was learned is kept, and --resume goes on")
    if ranks.rank:
        return code
    seconds = time.perf_counter() - start
    result()
    over = f", {ranks.size} ranks" if ranks.size > 1 else ""
    made = trainer.current_epoch - before
    print(f"{made} epochs in {seconds:.2f} s, {options.dtype}, engine {trainer.engine}{over}")
    model.to("cpu")
    written = [write_params(model, options.out / WEIGHTS, texts=texts), *_pictures(trainer, model, x, t, options)]
    print("wrote " + ", ".join(str(path) for path in written))
    return code


def _begin(trainer: Trainer, inputs: int, options: argparse.Namespace, texts: dict[str, str]) -> int:
    """Check what files there are, load the checkpoint to go on from, and return up to which epoch to train."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / CHECKPOINT
    for file in (options.out / WEIGHTS, path):
        check_replaceable(file)  # now, not after the training
    _check_same_data(options.out / WEIGHTS, inputs, texts.get("table"))
    if path.exists() and not (options.resume or (options.out / WEIGHTS).exists()):
        say(f"begins anew, without --resume: {path} is of a run that did not end, and will be replaced")
    epochs: int = options.epochs
    if options.resume and path.exists():
        trainer.load_checkpoint(path)
        if trainer._fit_state is not None and trainer._fit_state.is_stopped:
            epochs = trainer.current_epoch
            say("the training had stopped by itself: nothing is left to do; without --resume it begins anew")
        if options.lr is not None:
            trainer.optimizer.lr = options.lr
        if not options.quiet:
            print(f"goes on after {trainer.current_epoch} epochs")
    return epochs


def _check_same_data(path: Path, inputs: int, table: str | None) -> None:
    """Raise ValueError if a weights file is of other data: its network would be lost."""
    try:
        stored = read_weights(path)
        theirs = Columns.from_text(str(stored["table"])) if "table" in stored else None
    except (FileNotFoundError, ValueError):  # what cannot be read is no network
        return
    W, own = stored.get("W1"), None if table is None else Columns.from_text(table)
    if theirs is not None:
        if own is not None and theirs.is_same_table(own):
            return
        names = names_in_short(theirs.features)
        whose = f"of another table, {theirs.source}, with the target {theirs.target} and the columns {names}"
    elif own is not None:
        whose = "not of a table"
    elif W is not None and W.ndim == 2 and len(W) == inputs:
        return
    else:
        whose = f"of other data: its network does not have {inputs} inputs"
    raise ValueError(f"{path} is {whose}. It would be overwritten: give another folder with --out, or remove it")


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
    if x.shape[1] == 2 and t.dtype.kind != "f":
        drawings["decision_boundary.png"] = lambda ax: plot_decision_boundary(model, x, t, ax=ax)
    for name, draw in drawings.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        draw(figure.add_subplot())
        with whole_file(options.out / name) as file:
            figure.savefig(file, dpi=120, format="png")
    return [options.out / name for name in drawings]


def _info(options: argparse.Namespace) -> int:
    show_config()
    return 0
