# The order of the samples, epoch after epoch

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.string cimport memcpy

cdef extern from "numpy/random/bitgen.h":  # cimported from numpy.random it would import all of that, with hashlib
    ctypedef struct bitgen_t:
        void *state
        uint32_t (*next_uint32)(void *) noexcept nogil


def shuffle_epochs(bit_generator, int64_t[::1] order not None, int64_t[:, ::1] epochs not None):
    """Shuffle order[n] in place, again for each epoch; epochs[E,k] = its first k entries, k <= n, each time.

    Draws the same numbers, and leaves the stream in the same state, as NumPy's legacy `order[permutation(n)]`.

    Parameters
    ----------
    bit_generator
        A bit generator of NumPy; its lock is held.

    Raises
    ------
    ValueError
        An epoch has more rows than there are, or there are more rows than 32 bits can index.
    """
    cdef Py_ssize_t n = order.shape[0], k = epochs.shape[1], epoch
    cdef bitgen_t *bits
    if k > n or n > <int64_t>1 << 32:
        raise ValueError(f"shuffle_epochs: cannot draw epochs of {k} rows from {n}")
    if n == 0:
        return
    bits = <bitgen_t *>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    with bit_generator.lock:
        for epoch in range(epochs.shape[0]):
            sn_shuffle(bits.next_uint32, bits.state, n, &order[0])
            if k:
                memcpy(&epochs[epoch, 0], &order[0], k * sizeof(int64_t))
