"""How a fit shows its progress: as lines, or as a bar instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any


class _Lines:
    """Prints each line of the log."""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """There is no bar to close."""

    def update(self, steps: int) -> None:
        """There is no bar to advance."""

    def write(self, line: str) -> None:
        print(line)


class _Bar:
    """A tqdm bar whose text is the log's last line: printed lines and a bar would break each other."""

    def __init__(self, bar: Any) -> None:
        self.update = bar.update
        self._bar = bar

    def write(self, line: str) -> None:
        """Show the epoch and the loss, the first and the last part of a line; the bar itself shows the rest."""
        _, epoch, *_, loss = line.split("|")
        self._bar.set_postfix_str(f"{epoch.strip()}, {loss.strip()}", refresh=False)


def show_progress(show_bar: bool, total: int) -> AbstractContextManager[_Lines | _Bar]:
    """Return a context manager that gives the display of the `total` steps of a fit.

    Raises
    ------
    ImportError
        A bar is requested, and tqdm is not installed.
    """
    return _shown_bar(total) if show_bar else _Lines()


@contextmanager
def _shown_bar(total: int) -> Iterator[_Bar]:
    try:
        # tqdm.auto warns in a notebook that lacks ipywidgets, where the bar of a terminal does as well
        if find_spec("ipywidgets") is None:
            from tqdm import tqdm
        else:
            from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('progress=True requires tqdm: pip install "scratchnet[progress]"') from None
    with tqdm(total=total, unit="step") as bar:
        yield _Bar(bar)
