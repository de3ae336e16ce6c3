"""The command `scratchnet train table`: a network for a table of the user's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array
from ._commands import LEARNED_NOTHING, RELU_RATE, add_options, as_count, ranks_of, train_and_write
from ._predict_command import add_reading, as_delimiter
from ._ranks import Ranks
from ._start import say
from .callbacks import EarlyStopping
from .dataset._lines import names_in_short
from .dataset.table import Columns, Table, read_table
from .models import MultiLayerNet, Network
from .util import to_cpu

HIDDEN = [32, 32]
EPOCHS = 300
BATCH_SIZE = 32
PATIENCE = 30
# Among the best of those tried (steps of about 3) on five tables of 150 to 2000 rows; for sigmoids.
LEARNING_RATES = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "rmsprop": 0.01, "adam": 0.03}


def add_to(commands: Any) -> None:
    """Add the parser of this command to the subparsers, with its function as `run`."""
    parser = commands.add_parser(
        "train table",
        help="train a network on the rows of a CSV file, to predict one of its columns",
        description="Train a network on the rows of a CSV file: one column is what it learns to predict, from all "
        "others, which must be numbers. They are standardized, and the weights file keeps how.",
    )
    parser.add_argument("file", type=Path, help="a .csv file, with or without a line of names")
    parser.add_argument(
        "--target",
        required=True,
        metavar="COLUMN",
        help="column to predict: its name, or number from 1 without names",
    )
    parser.add_argument("--regression", action="store_true", help="predict a number (a class)")
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="COLUMN", help="a column to leave out; may be given again"
    )
    add_reading(parser)
    parser.add_argument(
        "--validation", type=_share, default=0.2, metavar="SHARE", help="share of the rows to validate with (0.2)"
    )
    parser.add_argument(
        "--patience",
        type=as_count,
        default=PATIENCE,
        metavar="N",
        help=f"epochs without a smaller loss on the validation rows that end the training ({PATIENCE})",
    )
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    add_options(
        parser,
        hidden=",".join(map(str, HIDDEN)),
        activation="relu",
        init="he, for sigmoid xavier",
        epochs=f"at most {EPOCHS}",
        batch_size=str(BATCH_SIZE),
        optimizer="adam",
        lr=f"{rates}; for relu {RELU_RATE} of it",
        seed="0",
        eval_interval="the last of an epoch",
        out="scratchnet-table",
    )
    parser.set_defaults(
        run=_train, hidden=HIDDEN, epochs=EPOCHS, batch_size=BATCH_SIZE, seed=0, out=Path("scratchnet-table")
    )


def _train(options: argparse.Namespace) -> int:
    ranks = ranks_of(options)
    with ranks.telling():
        return _train_on(ranks, options)


def _train_on(ranks: Ranks, options: argparse.Namespace) -> int:
    table = read_table(
        options.file,
        options.target,
        regression=options.regression,
        ignore=tuple(options.ignore),
        encoding=options.encoding,
        delimiter=as_delimiter(options.delimiter),
    )
    is_relu = options.activation == "relu"
    np.random.seed(options.seed)
    order = np.random.permutation(len(table.x))
    validated = _validated(len(order), options.validation)
    try:
        columns = table.columns.with_scaling(table.x[order[validated:]], table.t[order[validated:]])
    except ValueError as error:
        raise ValueError(f"{options.file}: {error}") from None
    x, t = columns.standardized(table.x), table.t if columns.classes else columns.standardized_target(table.t)
    x_val, t_val, x, t = x[order[:validated]], t[order[:validated]], x[order[validated:]], t[order[validated:]]
    options.batch_size = min(options.batch_size, len(x))
    options.eval_interval = options.eval_interval or len(x) // options.batch_size
    model = MultiLayerNet(
        x.shape[1],
        options.hidden,
        len(columns.classes) if columns.classes else 1,
        options.activation,
        ("he" if is_relu else "xavier") if options.init is None else options.init,
        dtype=np.dtype(options.dtype),
        loss="softmax" if columns.classes else "identity",
    )
    if ranks.rank == 0:
        print(_summary(table, len(x), validated))
    return train_and_write(
        ranks,
        model,
        x,
        t,
        options,
        LEARNING_RATES[options.optimizer] * (RELU_RATE if is_relu else 1),
        lambda: _print_result(model, columns, (x, t), (x_val, t_val) if validated else None),
        [*([EarlyStopping(patience=options.patience)] if validated else []), _SameRows(columns)],
        {"table": columns.as_text()},
        validation=(x_val, t_val) if validated else None,
    )


class _SameRows:
    """A callback that keeps a run from going on with other rows, or with those that validated it."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __call__(self, trainer: Any) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"table": self._columns.as_text()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.get("table") != self._columns.as_text():
            raise ValueError(
                "--resume: the checkpoint is of other rows: the table has changed, or it was given another "
                "--target, --ignore, --validation or --seed"
            )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 (none) to below 1, got {text!r}")
    return share


def _validated(rows: int, share: float) -> int:
    """Return how many rows are for validation: at least one where a share of them is, and not all."""
    validated = max(round(rows * share), 1) if share else 0
    if validated >= rows:
        raise ValueError(f"--validation {share:g} of {rows} rows leaves none to train on; expected more rows")
    return validated


def _summary(table: Table, trained: int, validated: int) -> str:
    columns = table.columns
    kind = "a number" if columns.classes is None else f"{len(columns.classes)} classes"
    return (
        f"{columns.target}, {kind}, from {len(columns.features)} columns: {names_in_short(columns.features)}\n"
        f"{trained} rows to train, {validated} to validate"
    )


def _print_result(
    model: Network, columns: Columns, trained: tuple[Array, Array], validation: tuple[Array, Array] | None
) -> None:
    """Print how good the network is, on the validation rows if there are any."""
    parts = {"training rows": trained, **({"validation rows": validation} if validation else {})}
    if columns.classes is None:
        errors = {name: _rmse(model, x, t) * columns.std[-1] for name, (x, t) in parts.items()}
        print(", ".join(f"RMSE {error:.6g} on the {name}" for name, error in errors.items()))
        x, t = trained
        if not _rmse(model, x, t) < float(np.sqrt(np.mean(t**2))):  # which NaN is not
            say(LEARNED_NOTHING.format("always predicting the mean"))
        return
    shares = {name: model.accuracy(x, t) for name, (x, t) in parts.items()}
    print(", ".join(f"accuracy {share:.4f} on the {name}" for name, share in shares.items()))
    if shares["training rows"] <= np.bincount(trained[1]).max() / len(trained[1]):
        say(LEARNED_NOTHING.format("always predicting one class"))


def _rmse(model: Network, x: Array, t: Array) -> float:
    return float(np.sqrt(np.mean((to_cpu(model.predict(x)).astype(np.float64) - t) ** 2)))
