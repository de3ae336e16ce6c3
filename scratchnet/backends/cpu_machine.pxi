# The machine: instruction set, threads, and how arrays are laid out in memory

import os
from reprlib import repr as _short

from .._arrays import check_integer


def isa():
    """The instruction set whose loops run."""
    return sn_isa().decode()


def isas():
    """The instruction sets that this processor has, best first."""
    names = []
    while sn_isa_available(len(names)) != NULL:
        names.append(sn_isa_available(len(names)).decode())
    return names


cdef void choose_isa(str name) except *:
    """Use the instruction set that SCRATCHNET_ISA names, or the best one."""
    if not name:
        sn_use_isa(NULL)
    elif name not in isas() or not sn_use_isa(name.encode()):
        raise ImportError(f"SCRATCHNET_ISA is {_short(name)}, but this processor runs {', '.join(isas())}; "
                          "set it to one of these, or unset it")


choose_isa(os.environ.get("SCRATCHNET_ISA"))


def address(cnp.ndarray array not None):
    """Return where the memory of an array begins."""
    return <size_t>cnp.PyArray_DATA(array)


def place(cnp.ndarray array not None):
    """Return an array's layout in memory: address, shape, strides, dtype, and whether it is writable."""
    cdef object any_array = array  # for its Python attributes
    return (<size_t>cnp.PyArray_DATA(array), any_array.shape, any_array.strides, any_array.dtype,
            bool(cnp.PyArray_ISWRITEABLE(array)))


def get_num_threads():
    """Return the number of threads that large work is split over."""
    return sn_threads()


def set_num_threads(n):
    """Split large work over at most n threads, including the calling one; results do not depend on n.

    Raises
    ------
    ValueError
        n is not a positive integer.
    """
    sn_set_threads(min(check_integer("set_num_threads: n", n, 1, float("inf")), MOST_THREADS))


cdef int threads_in(str text) except -1:
    """The number of threads given by a string, at most a million; 0 if it is not a positive integer."""
    text = text.strip()
    return min(int(text), MOST_THREADS) if text.isdecimal() and len(text) < 19 else 0


cdef int default_threads() except -1:
    """The number given by the environment, else the number of processors that this process may use.

    OMP_NUM_THREADS may be a list, for nested teams; its first number counts. The variable belongs to OpenMP, so
    invalid values are ignored, as OpenMP ignores them.
    """
    cdef int n
    ours = os.environ.get("SCRATCHNET_NUM_THREADS", "")
    if ours.strip():
        n = threads_in(ours)
        if n == 0:
            raise ImportError(f"SCRATCHNET_NUM_THREADS is {_short(ours)}, expected a positive integer, "
                              "of at most 18 digits; set it to one, or unset it")
        return n
    n = threads_in(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    if n:
        return n
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


sn_set_threads(default_threads())
