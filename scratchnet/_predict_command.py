"""The command `scratchnet predict`: classes, probabilities or numbers, a line for each sample."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from ._arrays import Array
from ._commands import DEFAULTS, WEIGHTS, load_data
from ._start import say
from .dataset.table import Columns, read_features
from .functions import sigmoid, softmax
from .layers import Convolution, IdentityWithLoss, Pooling, SigmoidWithLoss
from .models import Network, accuracy, load_with_texts

_NO_MEMORY = 8  # Windows's number for it, also where a file is shorter than what shall be mapped


def add_to(commands: Any) -> None:
    """Add the parser of this command to the subparsers, with its function as `run`."""
    predict = commands.add_parser(
        "predict", help="print the class of each sample, or its number, using the weights that train wrote"
    )
    predict.add_argument("weights", type=Path, help="weights.npz")
    predict.add_argument(
        "data",
        help="spiral or mnist (test images), with the accuracy on the last line; or a .npy or .csv file with one "
        "sample per row, as in training",
    )
    predict.add_argument("--probabilities", action="store_true", help="print each class's probability as well")
    add_reading(predict)
    predict.set_defaults(run=_predict)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add how a table's text is read."""
    parser.add_argument(
        "--encoding",
        default="utf-8-sig",
        metavar="NAME",
        help="encoding of the table, such as cp949 (Korean) or cp932 (Japanese) (UTF-8)",
    )
    parser.add_argument("--delimiter", default=",", metavar="CHARACTER", help="what separates its cells (,)")


def _predict(options: argparse.Namespace) -> int:
    if (options.weights / WEIGHTS).is_file():
        raise ValueError(f"{options.weights} is a folder; the file in it is {options.weights / WEIGHTS}")
    model, texts = load_with_texts(options.weights)
    loss = type(model.loss_layer)
    if loss is IdentityWithLoss and options.probabilities:
        raise ValueError(f"--probabilities: {options.weights} is of a regression, which has none")
    _check_takes_rows(options.weights, model)
    columns = None
    if "table" in texts:
        try:
            columns = Columns.from_text(texts["table"])
        except ValueError as error:
            raise ValueError(f"{options.weights}: {error}") from None
    t: Array | None = None
    if columns is not None:
        x, t = _of_table(options, columns)
    elif options.data in DEFAULTS:
        _, _, x, t = load_data(options.data)
    else:
        x = _read_samples(Path(options.data))
    scores = model.predict(x)
    outputs = None if columns is None else 1 if columns.classes is None else len(columns.classes)
    if scores.ndim != 2 or outputs not in (None, scores.shape[1]):
        wanted = "one row for each sample" if outputs is None else f"({len(x)}, {outputs}), as its table has it"
        raise ValueError(f"{options.weights}: the network's output has shape {scores.shape}, expected {wanted}")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"the scores of sample {int(finite.argmin()) + 1} are not finite: its values, or the weights, are "
            "too large or not finite"
        )
    if columns is not None and columns.classes is None:
        scores = columns.in_units_of_target(scores)
    classes = None if columns is None else columns.classes
    if classes is not None and options.probabilities:
        say(f"probabilities of {', '.join(classes)}")
    for line in _lines(loss, scores, options.probabilities, classes):
        print(line)
    if t is not None:
        _print_score(model, x, t, scores, columns)
    return 0


def _check_takes_rows(path: Path, model: Network) -> None:
    """Raise ValueError if a network takes images."""
    images = [layer for layer in model.layers if isinstance(layer, Convolution | Pooling)]
    if not images:
        return
    channels = next((layer.W.shape[1] for layer in images if isinstance(layer, Convolution)), "C")
    raise ValueError(
        f"{path} is of a network of images; scratchnet predict is for rows of numbers. In Python: "
        f"scratchnet.models.load({str(path)!r}).predict(x), with x of shape (N, {channels}, H, W)"
    )


def _lines(loss: type, scores: Array, probabilities: bool, classes: list[str] | None) -> Iterator[str]:
    """Yield what is printed for each sample."""
    if loss is IdentityWithLoss:
        yield from (" ".join(f"{number:.7g}" for number in row) for row in scores.tolist())
        return
    is_binary = loss is SigmoidWithLoss
    answers = (scores > 0).astype(int) if is_binary else scores.argmax(axis=1)[:, None]
    shares = sigmoid(scores) if is_binary else softmax(scores)
    for row, best in zip(shares, answers.tolist(), strict=True):
        words = [str(k) if classes is None else classes[k] for k in best]
        yield " ".join([*words, *(f"{p:.4f}" for p in row if probabilities)])


def _print_score(model: Any, x: Array, t: Array, scores: Array, columns: Columns | None) -> None:
    """Print how good predictions are; apart from them if they are of a table."""
    if columns is None:
        print(f"accuracy {accuracy(model, x, t):.4f} on {len(x)} samples")
    elif columns.classes is None:
        say(f"RMSE {np.sqrt(np.mean((scores - t) ** 2)):.6g} on {len(x)} rows")
    else:
        say(f"accuracy {np.mean(scores.argmax(axis=1) == t):.4f} on {len(x)} rows")


def _of_table(options: argparse.Namespace, columns: Columns) -> tuple[Array, Array | None]:
    """Return features, standardized as in training, and targets if they are there."""
    path = Path(options.data)
    if path.suffix == ".npy":
        return columns.standardized(np.asarray(_read_samples(path), np.float64)), None
    if options.data in DEFAULTS and not path.exists():
        raise ValueError(f"{options.weights} is of a table, not of {options.data}; expected a .csv or .npy file")
    table = read_features(path, columns, encoding=options.encoding, delimiter=as_delimiter(options.delimiter))
    return columns.standardized(table.x), table.t


def as_delimiter(text: str) -> str:
    """Return the delimiter that is meant by what was typed."""
    return "\t" if text in ("tab", "\\t") else text


def _read_samples(path: Path) -> Array:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; expected spiral, mnist, or a .npy or .csv file")
    try:
        # Mapped, an array is read where it is needed, and one that claims more than the file contains is rejected.
        x = np.asarray(open_memmap(path, mode="r")) if path.suffix == ".npy" else _read_csv(path)
        if x.dtype.kind not in "biuf":
            raise ValueError(f"its dtype is {x.dtype}")
    except OSError as error:
        if getattr(error, "winerror", None) != _NO_MEMORY:
            raise
        raise ValueError(f"{path} does not contain rows of numbers: it has fewer than it says") from None
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
