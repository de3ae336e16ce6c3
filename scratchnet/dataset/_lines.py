"""The rows of a table's file, and errors that say where in it something is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from math import isfinite
from typing import Any

from .._files import as_path, open_file


class Lines:
    """The rows of a file as lists of cells, while it is open (`with`); blank lines are left out.

    `line` is the number of the line in which the current row begins; `first` is the first row.
    """

    first: list[str]

    def __init__(self, path: Any, encoding: str, delimiter: str) -> None:
        self.path = as_path("read_table: path", path)
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError(f"delimiter must be one character, such as ',' or ';', got {delimiter!r}")
        self._delimiter, self._encoding = delimiter, encoding
        self.line = 1
        self.names: list[str] | None = None  # once the first row is known to have them
        try:
            file = open_file(self.path)
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no file {self.path}") from None
        try:
            self._text = io.TextIOWrapper(file, encoding=encoding, newline="")
        except (LookupError, TypeError):
            file.close()
            raise ValueError(
                f"encoding {encoding!r} is unknown; use a name such as utf-8, cp949 (Korean) or cp932 (Japanese)"
            ) from None
        self._rows = self._read()

    def __enter__(self) -> Lines:
        try:
            first = next(self._rows, None)
            if first is None:
                raise ValueError(f"{self.path} is empty")
        except ValueError:
            self._text.close()
            raise
        self.first = first
        return self

    def __exit__(self, *error: object) -> None:
        self._text.close()

    def __iter__(self) -> Iterator[list[str]]:
        if self.names is None:
            yield self.first
        yield from self._rows

    def _read(self) -> Iterator[list[str]]:
        reader = csv.reader(self._text, delimiter=self._delimiter, strict=True)
        while True:
            self.line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeError:
                raise ValueError(
                    f"{self.path} is not text in {self._encoding}; say its encoding with --encoding (encoding=): "
                    "cp949 is that of many Korean files, cp932 that of many Japanese ones"
                ) from None
            except csv.Error as error:
                raise self.error(f"it is not CSV: {error}") from None
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells

    def error(self, text: str) -> ValueError:
        """Return an error of the current row."""
        return ValueError(f"{self.path}, line {self.line}: {text}")

    def take_names(self) -> list[str]:
        """Return the first row as the names of columns.

        Raises
        ------
        ValueError
            Two columns have the same name.
        """
        names = [text_in(cell) or f"column {k}" for k, cell in enumerate(self.first, start=1)]
        for k, name in enumerate(names):
            if name in names[:k]:
                raise self.error(f"it names columns {names.index(name) + 1} and {k + 1} both {name!r}; rename one")
        self.names = names
        return names

    def check_width(self, cells: list[str], width: int) -> None:
        """Raise ValueError if a row is longer or shorter than the first."""
        if len(cells) != width:
            what = "cell" if len(cells) == 1 else "cells"
            raise self.error(f"it has {len(cells)} {what}, expected {width}, as in the first line")

    def numbers(self, cells: list[str], places: list[int], names: list[str]) -> list[float]:
        """Return a row's features."""
        try:
            found = [float(cells[place]) for place in places]
            if all(map(isfinite, found)):
                return found
        except ValueError:
            pass
        for place, name in zip(places, names, strict=True):  # slowly, for the error
            leave_out = f"leave the column out with --ignore {name!r} (ignore=)"
            self.number(cells[place], name, f"features must be numbers: convert it, or {leave_out}", leave_out)
        raise AssertionError("one of them is not a number")

    def number(self, cell: str, name: str, rule: str, or_else: str = "") -> float:
        """Return the number in a cell; `rule` says what to do with a text, `or_else` with a missing number."""
        number = number_in(cell)
        if number is not None and isfinite(number):
            return number
        what, remedy = f"{shortened(cell)} is not a number", rule
        if not cell.strip() or number is not None:
            what = f"{shortened(cell)} is not finite" if cell.strip() else "the cell is empty"
            remedy = ", or ".join(filter(None, ["fill it in, remove the line", or_else]))
        raise self.error(f"column {name!r}: {what}; {remedy}")


def number_in(cell: str) -> float | None:
    """Return a cell's number; None if it is something else."""
    try:
        return float(cell)
    except ValueError:
        return None


def text_in(cell: str) -> str:
    """Return a cell's text in one line, with single spaces."""
    return " ".join(cell.split())


def shortened(cell: str) -> str:
    """Return a cell as an error shows it."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def names_in_short(names: list[str]) -> str:
    """Return the names of columns, or of the first of many."""
    return ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")
