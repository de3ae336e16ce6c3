"""The ranks of an MPI job that train together: what they tell each other, and how none waits for ever.

An exchange begins with a header from each rank that says what it is about to do. A rank that fails, is interrupted
or ends says so in a header instead: the others, whatever they are about to exchange, learn of it, and fail too.
MPI only moves bytes: sums are made here, in the order of the ranks, so that their bits depend on nothing else.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np

from ._arrays import Array, is_on_gpu, to_side

T = TypeVar("T")

_FAILED, _INTERRUPTED, _ENDED = -1, -2, -3
_DOING = (
    "begins a fit",
    "waits for rank 0",
    "trains a step",
    "sums statistics",
    "validates",
    "ends an epoch",
    "saves a run",
)
_SMALL = 1 << 16  # bytes; more are summed in parts, each by one rank
_MOST_SECONDS = 10  # that a rank which fails waits to tell the others, before it ends the job
_LAST_SECONDS = 5  # the same of one that ends by an error

_comms: list[Any] = []  # ours, whose ranks are told when this process ends
_keys: list[int] = []  # under which a communicator keeps ours


class RankError(RuntimeError):
    """Another rank has failed or ended; says which, and why."""


class Ranks:
    """The ranks of a communicator.

    Parameters
    ----------
    comm
        An intracommunicator of mpi4py; None stands for this process alone.

    Attributes
    ----------
    rank, size : int
        This process's number, from 0, and how many there are.

    Raises
    ------
    ValueError
        It is something else.
    """

    def __init__(self, comm: Any = None) -> None:
        self.rank, self.size = 0, 1
        self.comm = comm
        if comm is None:
            return
        try:
            self.rank, self.size = comm.Get_rank(), comm.Get_size()
            is_right = not comm.Is_inter()
        except Exception:  # mpi4py's own for a communicator that was freed
            is_right = False
        if not is_right:
            raise ValueError(f"comm must be an intracommunicator of mpi4py, as MPI.COMM_WORLD is, got {comm!r}")
        self.comm = comm = _own_communicator(comm)
        self._own, self._all = np.zeros(3), np.zeros((self.size, 3))
        self._is_busy, self._takes_gpu = False, None  # type: bool, bool | None
        self._rooms: dict[Any, Array] = {}
        if self.size > 1 and not any(comm == other for other in _comms):
            _comms.append(comm)
            atexit.register(_end, comm, os.getpid())

    def __reduce__(self) -> Any:
        return Ranks, ()  # a copy of a trainer in a file is of one process

    def __deepcopy__(self, memo: Any) -> Ranks:
        return self

    def meet(self, doing: str, *numbers: float) -> Array:
        """Wait until all ranks do the same; return two numbers of each, [size,2].

        Raises
        ------
        RankError
            Another rank has failed, or has ended.
        KeyboardInterrupt
            Another rank was interrupted.
        ValueError
            They do different things.
        """
        kinds = self._headers(_DOING.index(doing), *numbers)
        if (kinds == kinds[0]).all() and kinds[0] >= 0:
            return self._all[:, 1:].copy()
        if (kinds >= 0).all():
            each = ", ".join(f"rank {k} {_DOING[int(kind)]}" for k, kind in enumerate(kinds))
            raise told(ValueError(f"every rank must call the same with comm: {each}"))
        raise told(self._why(kinds, ""))

    def _headers(self, kind: int, *numbers: float) -> Array:
        self._own[0], self._own[1:] = kind, (*numbers, 0.0, 0.0)[:2]
        with self._exchanging():
            self.comm.Allgather(self._own, self._all)
        kinds: Array = self._all[:, 0]
        return kinds

    def _why(self, kinds: Array, text: str) -> BaseException:
        """Exchange why ranks have failed; return what the first of them is for the others."""
        with self._exchanging():
            texts = self.comm.allgather(text)
        if (kinds == _ENDED).any():
            _comms[:] = [other for other in _comms if other != self.comm]  # all know
        first = int(np.flatnonzero(kinds < 0)[0])
        if (kinds == _INTERRUPTED).any():
            return KeyboardInterrupt()
        return RankError(f"rank {first} {texts[first]}")

    @contextmanager
    def _exchanging(self) -> Iterator[None]:
        self._is_busy = True
        yield
        self._is_busy = False  # not after an error: the ranks have lost each other

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Context manager that tells the other ranks of an error, which is raised on."""
        try:
            yield
        except BaseException as error:
            if self.size > 1 and not getattr(error, "is_told", False):
                self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        if self._is_busy:
            self._give_up(error)
        import threading

        is_pressed = isinstance(told(error), KeyboardInterrupt)
        waits = threading.Timer(_MOST_SECONDS, self._give_up, [error])  # they may wait for something else
        waits.daemon = True
        waits.start()
        try:
            self._why(self._headers(_INTERRUPTED if is_pressed else _FAILED), f"failed: {_in_words(error)}")
        finally:
            waits.cancel()

    def _give_up(self, error: BaseException) -> None:
        """End the job, and say why."""
        import traceback

        traceback.print_exception(error)
        sys.stderr.flush()
        self.comm.Abort(1)

    def from_first(self, make: Callable[[], T]) -> T:
        """Return on all ranks what rank 0 makes."""
        made: Any = make() if self.rank == 0 else None
        if self.size > 1:
            self.meet("waits for rank 0")
            with self._exchanging():
                made = self.comm.bcast(made)
        return made  # type: ignore[no-any-return]

    def of_all(self, doing: str, value: T) -> list[T]:
        """Return what each rank gives."""
        if self.size == 1:
            return [value]
        self.meet(doing)
        with self._exchanging():
            values: list[T] = self.comm.allgather(value)
        return values

    def agree(self, who: str, given: dict[str, Any]) -> None:
        """Raise ValueError on all ranks, if what they give differs; it says in what. `...` equals all."""
        values = self.of_all("begins a fit", given)
        for name in {name: None for each in values for name in each}:
            texts = {k: str(each.get(name)) for k, each in enumerate(values) if each.get(name) is not ...}
            if len(set(texts.values())) > 1:
                by_text = {text: [k for k, own in texts.items() if own == text] for text in texts.values()}
                each = "; ".join(
                    f"{text} on rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
                    for text, ranks in by_text.items()
                )
                raise told(ValueError(f"{who}: the ranks differ in {name}: {each}"))

    def add_up(self, flat: Array, factor: float) -> None:
        """Replace a flat array, the same on all ranks, by the sum over them of it and their factor."""
        if not factor:
            flat[...] = 0  # whatever it holds
        elif factor != 1:
            flat *= flat.dtype.type(factor)
        if is_on_gpu(flat) and self._takes_gpu is None:
            self._takes_gpu = _mpi_takes_gpu_arrays()
        if is_on_gpu(flat) and not self._takes_gpu:
            here = to_side(flat, to_gpu=False)
            self._add_up(here)
            flat[...] = to_side(here, to_gpu=True)
            return
        if is_on_gpu(flat):
            sys.modules["cupy"].cuda.get_current_stream().synchronize()  # MPI does not wait for it
        self._add_up(flat)

    def _add_up(self, flat: Array) -> None:
        size, bytes_of = self.size, flat.itemsize
        if size == 2 or size * flat.nbytes <= _SMALL:
            parts = self._room(flat, flat.size)
            with self._exchanging():
                self.comm.Allgather(flat.view(np.uint8), parts.view(np.uint8))
            _add_in_order(parts, flat)
            return
        ends = [flat.size * (k + 1) // size for k in range(size)]
        starts = [0, *ends[:-1]]
        counts = [(end - start) * bytes_of for start, end in zip(starts, ends, strict=True)]
        places = [start * bytes_of for start in starts]
        own = flat[starts[self.rank] : ends[self.rank]]
        parts, each = self._room(flat, own.size), own.size * bytes_of
        with self._exchanging():
            self.comm.Alltoallv(
                [flat.view(np.uint8), (counts, places)],
                [parts.view(np.uint8), ([each] * size, [k * each for k in range(size)])],
            )
        _add_in_order(parts, own)
        with self._exchanging():
            self.comm.Allgatherv(own.view(np.uint8).copy(), [flat.view(np.uint8), (counts, places)])

    def _room(self, like: Array, count: int) -> Array:
        key = count, like.dtype, is_on_gpu(like)
        if key not in self._rooms:
            self._rooms[key] = np.empty_like(like, shape=(self.size, count))
        return self._rooms[key]

    def sum(self, array: Array) -> Array:
        """Return the sum of a small array over all ranks."""
        self.meet("sums statistics")
        summed = array.reshape(-1).copy()
        self.add_up(summed, 1.0)
        return summed.reshape(array.shape)


def _add_in_order(parts: Array, out: Array) -> None:
    """Write the sum of the parts [size,n], the first two first."""
    np.add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        out += part


def in_order(numbers: Iterable[float]) -> float:
    """Return the sum of some numbers, added one after the other."""
    total = 0.0
    for number in numbers:  # not sum(), which since Python 3.12 rounds differently
        total += float(number)
    return total


def told(error: BaseException) -> Any:
    """Mark an error of which the other ranks know, and return it."""
    error.is_told = True  # type: ignore[attr-defined]
    return error


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _own_communicator(comm: Any) -> Any:
    """Return a communicator of the same ranks on which only this module talks: one for all that use `comm`."""
    MPI: Any = sys.modules.get("mpi4py.MPI")
    if (
        MPI is None
        or not isinstance(comm, MPI.Intracomm)
        or comm.size == 1
        or any(comm == other for other in _comms)
    ):
        return comm
    if not _keys:
        _keys.append(MPI.Comm.Create_keyval())
    own = comm.Get_attr(_keys[0])
    if own is None:
        own = comm.Dup()
        comm.Set_attr(_keys[0], own)
    return own


def _end(comm: Any, process: int) -> None:
    """At the end of this process, tell the ranks that wait for it; those that end, too, take part in this."""
    if os.getpid() != process:  # a child, made by fork
        return
    error = getattr(sys, "last_value", None)
    with suppress(Exception), open(os.devnull, "w") as nowhere:  # MPI may be over, or the communicator freed
        from mpi4py import MPI

        if MPI.Is_finalized() or comm == MPI.COMM_NULL or not any(comm == other for other in _comms):
            return
        import faulthandler

        if error is not None:  # others may wait for something else; threads may no longer begin
            faulthandler.dump_traceback_later(_LAST_SECONDS, exit=True, file=nowhere)
        ranks = Ranks(comm)
        ranks._why(ranks._headers(_ENDED), "has ended" + (f" by {_in_words(error)}" if error else ""))
        faulthandler.cancel_dump_traceback_later()


def _mpi_takes_gpu_arrays() -> bool:
    """Whether the MPI says that it sends what is on the GPU: Open MPI and MPICH have a function for it."""
    import ctypes

    try:
        from mpi4py import MPI

        return bool(ctypes.CDLL(MPI.__file__).MPIX_Query_cuda_support())
    except (AttributeError, ImportError, OSError):
        return False
