"""Tables in text files (CSV): numbers in columns as features, one column as the target.

Files are read by the `csv` module, a row at a time: what is kept is 8 bytes for each number.
"""

from __future__ import annotations

import json
import os
from array import array
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._lines import Lines, names_in_short, number_in, shortened, text_in

__all__ = ["Columns", "Table", "read_features", "read_table"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """What a table's columns mean: kept in a weights file, so that other tables are read in the same way.

    Attributes
    ----------
    features : list of str
        Names of the columns that a network sees, in order; their numbers ("1", ...) where there is no header.
    places : list of int
        Where they are in a row, from 0.
    width : int
        Columns in all.
    target : str
        Name or number of the target's column.
    target_place : int
        Where it is in a row, from 0.
    has_header : bool
        Whether the first line has names.
    classes : list of str or None
        The classes in order; None for a regression.
    mean, std : list of float
        Of the features, and last, in a regression, of the target; of the rows that `with_scaling` was given.
    source : str
        Name of the file that was trained on, without its folder.

    Examples
    --------
    >>> Columns(["length"], [0], 2, "kind", 1, True, ["a", "b"], [1.0], [2.0]).standardized(np.array([[5.0]]))
    array([[2.]])
    """

    features: list[str]
    places: list[int]
    width: int
    target: str
    target_place: int
    has_header: bool
    classes: list[str] | None
    mean: list[float]
    std: list[float]
    source: str = ""

    def with_scaling(self, x: Floats, t: NDArray[Any]) -> Columns:
        """Return the same columns with the mean and standard deviation of these rows.

        A column of equal values gets the standard deviation 1.

        Raises
        ------
        ValueError
            A column's values are too large.
        """
        rows = x if self.classes is not None else np.hstack((x, t))
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = rows.mean(axis=0), rows.std(axis=0)
        for name, fits in zip([*self.features, self.target], np.isfinite(mean) & np.isfinite(std), strict=False):
            if not fits:
                raise ValueError(f"column {name!r} has values that are too large to compute their deviation")
        std[std <= 1e-12 * np.abs(mean)] = 1.0  # equal but for rounding
        return replace(self, mean=mean.tolist(), std=std.tolist())

    def is_same_table(self, other: Columns) -> bool:
        """Whether both are of a table of the same file name, target and columns; some may have been left out."""
        names = dict(zip(self.places, self.features, strict=True))
        tables = [(columns.source, columns.target, columns.width) for columns in (self, other)]
        pairs = zip(other.places, other.features, strict=True)
        return tables[0] == tables[1] and all(names.get(place, name) == name for place, name in pairs)

    def standardized(self, x: Floats) -> Floats:
        """Return features (N, D) as the network takes them: minus the mean, over the standard deviation."""
        n = len(self.features)
        self._check_scaling()
        if x.ndim != 2 or x.shape[1] != n:
            raise ValueError(f"x has shape {x.shape}, expected (N, {n}): columns {names_in_short(self.features)}")
        return (x - self.mean[:n]) / self.std[:n]

    def standardized_target(self, t: Floats) -> Floats:
        """Return a regression's targets as the network learns them."""
        self._check_scaling()
        return (t - self.mean[-1]) / self.std[-1]

    def in_units_of_target(self, scores: NDArray[Any]) -> Floats:
        """Return a regression's scores in the units of the target."""
        self._check_scaling()
        return scores.astype(np.float64) * self.std[-1] + self.mean[-1]

    def _check_scaling(self) -> None:
        if len(self.mean) < len(self.features):
            raise ValueError(
                "columns: they have no scaling yet; columns.with_scaling(x, t) returns some that have"
            )

    def as_text(self) -> str:
        """Return this as JSON, for a weights file."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def from_text(text: str) -> Columns:
        """Return what `as_text` wrote.

        Raises
        ------
        ValueError
            It is something else.
        """
        try:
            found = Columns(**json.loads(text))
            found._check()
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"what it says of the table's columns is invalid: {error}") from None
        return found

    def _check(self) -> None:
        scaled = len(self.features) + (self.classes is None)
        texts = [self.features, [self.target, self.source], [] if self.classes is None else self.classes]
        if (
            not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in texts)
            or not all(type(place) is int for place in (*self.places, self.width, self.target_place))
            or sorted({*self.places, self.target_place}) != sorted([*self.places, self.target_place])
            or not all(0 <= place < self.width for place in (*self.places, self.target_place))
            or len(self.places) != len(self.features)
            or type(self.has_header) is not bool
            or not all(type(number) is float and isfinite(number) for number in (*self.mean, *self.std))
            or not len(self.mean) == len(self.std) == scaled
            or not all(number > 0 for number in self.std)
        ):
            raise ValueError("its entries do not fit together")


@dataclass(frozen=True)
class Table:
    """The rows of a table.

    Attributes
    ----------
    columns : Columns
        What they are.
    x : ndarray of float64, shape (N, D)
        The features, as they are in the file.
    t : ndarray
        int64 (N,), the index of each row's class; float64 (N, 1) for a regression; None if there is no target.
    """

    columns: Columns
    x: Floats
    t: Any


def read_table(
    path: str | os.PathLike[str],
    target: str,
    *,
    regression: bool = False,
    ignore: tuple[str, ...] = (),
    encoding: str = "utf-8-sig",
    delimiter: str = ",",
) -> Table:
    r"""Read a table to train on: every column but the target is a feature, a number in each row.

    Parameters
    ----------
    path
        A text file with a row in each line. Its first line has the columns' names, unless one of its cells is a
        number and `target` is one, too.
    target : str
        Name of the column that is to be predicted; its number, from 1, if there is no line of names.
    regression : bool
        Whether the target is a number; otherwise its texts are classes, sorted (by value if all are numbers).
    ignore : tuple of str
        Columns that are left out, by name or number.
    encoding : str
        Encoding of the text, as Python calls it.
    delimiter : str
        The character between cells.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    ValueError
        An argument is invalid, there is no such column, or a row or cell is not what it must be: the message has
        the line and the column.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("flowers.csv").write_text("length,kind\n1.4,setosa\n4.7,versicolor\n")
    >>> table = read_table("flowers.csv", target="kind")
    >>> table.x, table.t, table.columns.classes
    (array([[1.4],
           [4.7]]), array([0, 1]), ['setosa', 'versicolor'])
    """
    numbers, labels = array("d"), []
    with Lines(path, encoding, delimiter) as lines:
        columns = _columns(lines, str(target), ignore, regression)
        for cells in lines:
            lines.check_width(cells, columns.width)
            numbers.extend(lines.numbers(cells, columns.places, columns.features))
            labels.append(_label(lines, cells, columns))
    if not labels:
        raise ValueError(f"{lines.path} has no rows of data")
    x = np.array(numbers).reshape(len(labels), len(columns.features))
    if regression:
        return Table(columns, x, np.array(labels, np.float64)[:, None])
    classes = _classes(lines.path, columns.target, labels)
    index = {name: k for k, name in enumerate(classes)}
    return Table(replace(columns, classes=classes), x, np.array([index[name] for name in labels], np.int64))


def read_features(
    path: str | os.PathLike[str], columns: Columns, *, encoding: str = "utf-8-sig", delimiter: str = ","
) -> Table:
    r"""Read the rows of a table to predict, with the columns of the one that was trained on.

    Parameters
    ----------
    path
        A text file. Where both have a line of names, columns are found by name, in any order, and others are left
        out; else by their places. The target may be there or not.
    columns
        Those of the table that was trained on.
    encoding, delimiter
        As in `read_table`.

    Returns
    -------
    Table
        Its t is None if the target is not there, or is not known in every row.

    Raises
    ------
    OSError, ValueError
        As in `read_table`.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("flowers.csv").write_text("length,kind\n1.4,setosa\n4.7,versicolor\n")
    >>> columns = read_table("flowers.csv", target="kind").columns
    >>> _ = Path("new.csv").write_text("kind,length\n?,2.5\n")
    >>> read_features("new.csv", columns).x
    array([[2.5]])
    """
    numbers, labels = array("d"), []
    with Lines(path, encoding, delimiter) as lines:
        columns = _found_again(lines, columns)
        for cells in lines:
            lines.check_width(cells, columns.width)
            numbers.extend(lines.numbers(cells, columns.places, columns.features))
            if columns.target_place >= 0:
                labels.append(text_in(cells[columns.target_place]))
    x = np.array(numbers).reshape(-1, len(columns.features))
    if not len(x):
        raise ValueError(f"{lines.path} has no rows of data")
    return Table(columns, x, _known(labels, columns) if labels else None)


def _columns(lines: Lines, target: str, ignore: tuple[str, ...], regression: bool) -> Columns:
    """Return the columns that a file has by its first line."""
    is_number = target.isascii() and target.isdecimal()
    first = [number_in(cell) for cell in lines.first]
    has_header = not is_number or all(number is None for number in first)
    names = lines.take_names() if has_header else [str(k) for k in range(1, len(first) + 1)]

    def place(what: str, name: str) -> int:
        if name in names:
            return names.index(name)
        if has_header:
            hint = _other_delimiter(names[0]) if len(names) == 1 else ""
            if any(number is not None for number in first):
                hint = ". If the first line has no names, give the column's number, from 1"
            raise ValueError(
                f"{what}: {lines.path} has no column {name!r}; its columns are {names_in_short(names)}{hint}"
            )
        raise ValueError(
            f"{what}: {lines.path} has no column {name!r}: its first line has numbers, not names, so columns are "
            f"counted from 1 to {len(names)}"
        )

    target_place = place("--target (target=)", target)
    left_out = {target_place, *(place("--ignore (ignore=)", name) for name in ignore)}
    places = [k for k in range(len(names)) if k not in left_out]
    if not places:
        hint = _other_delimiter(lines.first[0]) if len(names) == 1 else ""
        raise ValueError(f"{lines.path} has no column beside the target {target!r} to predict it from{hint}")
    classes: list[str] | None = None if regression else []
    return Columns(
        [names[k] for k in places],
        places,
        len(names),
        target,
        target_place,
        has_header,
        classes,
        [],
        [],
        lines.path.name,
    )


def _found_again(lines: Lines, columns: Columns) -> Columns:
    """Return where the columns are in a file; target_place is -1 where there is no target."""
    width = len(lines.first)
    is_header = all(number_in(cell) is None for cell in lines.first) or (
        columns.has_header and {*columns.features} <= {*map(text_in, lines.first)}
    )
    names = lines.take_names() if is_header else None
    if names and columns.has_header:
        missing = [name for name in columns.features if name not in names]
        if missing:
            raise ValueError(
                f"{lines.path} has no column {missing[0]!r}, which the network was trained on; its columns are "
                f"{names_in_short(names)}{_other_delimiter(names[0]) if len(names) == 1 else ''}"
            )
        places = [names.index(name) for name in columns.features]
        target = names.index(columns.target) if columns.target in names else -1
    elif width == columns.width:
        places, target = columns.places, columns.target_place
    elif width == columns.width - 1:  # without the target
        places, target = [place - (place > columns.target_place) for place in columns.places], -1
    elif width == len(columns.features):
        places, target = list(range(width)), -1
    else:
        raise ValueError(
            f"{lines.path} has {width} columns, expected {columns.width} as in training, or {columns.width - 1} "
            "without the target"
        )
    return replace(columns, places=places, width=width, target_place=target)


def _label(lines: Lines, cells: list[str], columns: Columns) -> Any:
    """Return a row's class, or its number in a regression."""
    cell = cells[columns.target_place]
    if columns.classes is None:
        rule = "the target of a regression must be; leave out --regression (regression=) if these are classes"
        return lines.number(cell, columns.target, rule)
    if not cell.strip():
        raise lines.error(f"column {columns.target!r}: the target is empty; fill it in or remove the line")
    return text_in(cell)


def _classes(path: Any, target: str, labels: list[str]) -> list[str]:
    """Return the classes among labels, in order."""
    classes = sorted(set(labels))
    numbers = [number_in(name) for name in classes]
    if len(classes) < 2:
        raise ValueError(
            f"{path}: column {target!r} has only one class, {shortened(classes[0])}; expected two or more"
        )
    if all(number is not None for number in numbers):
        if len(classes) > max(20, len(labels) // 2):
            raise ValueError(
                f"{path}: column {target!r} has {len(classes)} different numbers in {len(labels)} rows, too many "
                "for classes; add --regression (regression=True) to predict numbers"
            )
        classes.sort(key=float)
    return classes


def _known(labels: list[str], columns: Columns) -> Any:
    """Return targets as `Table.t` has them; None unless all of them are known."""
    if columns.classes is None:
        numbers = [number_in(label) for label in labels]
        return None if None in numbers else np.array(numbers, np.float64)[:, None]
    index = {name: k for k, name in enumerate(columns.classes)}
    found = [index.get(label) for label in labels]
    return None if None in found else np.array(found, np.int64)


def _other_delimiter(line: str) -> str:
    found = next((mark for mark in ";\t|" if mark in line), None)
    return "" if found is None else f". If cells are separated by {found!r}, say so with --delimiter (delimiter=)"
