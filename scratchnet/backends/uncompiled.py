"""The reference kernels for dtypes that have no compiled ones, with every use counted: it is never silent."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Any

from . import reference


class _CountedReference:
    """The reference kernels, with every use counted, so that uncompiled runs are visible."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()
        self._lock = Lock()

    def __getattr__(self, kernel: str) -> Any:
        function = getattr(reference, kernel)
        with self._lock:
            self.uses[kernel] += 1
        return function


counted_reference = _CountedReference()
