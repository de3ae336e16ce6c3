# cython: language_level=3
# cython: embedsignature=True, freethreading_compatible=True, autotestdict=False
"""The compiled kernels: check the arguments, release the GIL, call csrc.

Every function has the arguments, the order and the errors that `contract.py` declares and
`reference.py` defines. The loops are in csrc: kernels.h names the files of each group of `sn_<name>`.

Design
------
* What is checked is generated from the contract's table, as constants of C, so nothing is declared twice and
  the import has nothing to do. A call that passes costs tens of nanoseconds; four memoryview arguments alone
  would cost 700, because each acquires a buffer. So a NumPy array that already fits is used in place.
* Anything else goes to `_prepared`, which imports the contract: other objects with a buffer (array.array,
  memoryview, ctypes) are viewed as arrays over the same memory; `check_arguments` raises the errors, with the
  reference's messages.
* The GIL is released for calls whose work is worth the 60 ns that it costs.
* No function keeps a reference, and the only state is the number of threads: any number of threads may
  call in, with or without the GIL.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_CheckExact
from cpython.pystate cimport PyThreadState
from cpython.ref cimport PyObject

import numpy as np

from .._arrays import LARGEST as _LARGEST

from .csrc cimport *
from .kernels cimport *

cnp.import_array()

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) noexcept
    PyThreadState *PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState *state) noexcept

# The sizes of a call, in the order of the contract's LETTERS; n counts the elements of an array of any shape.
cdef enum:
    N, B, C, D, K, L, M, H, W, P, Q, Y, X, n
    LETTERS
    NONE = -1
    MOST_THREADS = 1 << 20      # csrc uses as many as it can

cdef Py_ssize_t LARGEST = _LARGEST

cdef extern from *:
    """
    enum { KIND_REAL, KIND_LABEL, KIND_BOOL };
    enum { ANY_SHAPE = -1, MOST_ARRAYS = 8, MOST_AXES = 6 };

    typedef struct {                    /* one array argument, as the contract declares it */
        signed char kind, optional, written;
        signed char ndim;               /* or ANY_SHAPE */
        signed char axis[MOST_AXES];    /* the letter of each axis, */
        signed char times[MOST_AXES];   /* and how many times that size the axis is long */
        signed char limited;            /* labels, given and not returned, stay below */
        signed char limit;              /* this number */
        signed char limit_letter[2];    /* times these sizes, those that are not -1 */
        signed char alias;              /* of an output: the argument that it may be itself, or -1 */
    } Declared;

    typedef struct {                    /* the array arguments of a kernel, in order */
        int count;
        Declared argument[MOST_ARRAYS];
    } Contract;
    """
    enum:
        KIND_LABEL, KIND_BOOL, ANY_SHAPE, MOST_ARRAYS, MOST_AXES
    ctypedef struct Declared:
        signed char kind, optional, written, ndim, limited, limit, alias
        signed char *axis
        signed char *times
        signed char *limit_letter
    ctypedef struct Contract:
        int count
        Declared *argument

cdef struct Call:               # what csrc is called with
    sn_type type
    Py_ssize_t size[LETTERS]
    void *data[MOST_ARRAYS]


cdef inline bint fix(Py_ssize_t *size, int times, Py_ssize_t length) noexcept:
    """Whether a length is `times` times a size, which another argument may already have fixed."""
    if size[0] == -1:
        size[0] = length // times
    return times * size[0] == length


cdef bint bind(const Contract *contract, PyObject **given, Call *call) noexcept:
    """Fill in the call; False if any argument is not exactly what the contract and C need."""
    cdef const Declared *d
    cdef cnp.ndarray a
    cdef cnp.ndarray alike = None    # the first array of any shape
    cdef int i, j, type, real = NONE
    cdef Py_ssize_t limit
    cdef Py_ssize_t bytes[MOST_ARRAYS]
    cdef char *start
    cdef char *start_other
    for i in range(LETTERS):
        call.size[i] = -1
    for i in range(contract.count):
        d = &contract.argument[i]
        if given[i] == <PyObject *>None:
            if not d.optional:
                return False
            call.data[i] = NULL
            bytes[i] = 0
            continue
        if not cnp.PyArray_CheckExact(<object>given[i]):
            return False
        a = <cnp.ndarray>given[i]
        type = cnp.PyArray_TYPE(a)
        if d.kind == KIND_BOOL:
            if type != cnp.NPY_BOOL:
                return False
        elif d.kind == KIND_LABEL:
            if (type != cnp.NPY_LONG and type != cnp.NPY_LONGLONG) or cnp.PyArray_ITEMSIZE(a) != 8:
                return False
        elif real == NONE:
            if type != cnp.NPY_FLOAT32 and type != cnp.NPY_FLOAT64:
                return False
            real = type
        elif type != real:
            return False
        if not cnp.PyArray_ISCARRAY_RO(a) or (d.written and not cnp.PyArray_ISWRITEABLE(a)):
            return False
        if d.ndim == ANY_SHAPE:
            if alike is None:
                alike = a
                call.size[n] = cnp.PyArray_SIZE(a)
            elif not cnp.PyArray_SAMESHAPE(alike, a):
                return False
        elif cnp.PyArray_NDIM(a) != d.ndim:
            return False
        else:
            for j in range(d.ndim):
                if not fix(&call.size[d.axis[j]], d.times[j], cnp.PyArray_DIM(a, j)):
                    return False
        call.data[i] = cnp.PyArray_DATA(a)
        bytes[i] = cnp.PyArray_NBYTES(a)
    call.type = SN_FLOAT64 if real == cnp.NPY_FLOAT64 else SN_FLOAT32
    for i in range(contract.count):
        d = &contract.argument[i]
        start = <char *>call.data[i]
        if d.written:
            for j in range(contract.count):
                start_other = <char *>call.data[j]
                if (i != j and bytes[i] and bytes[j] and start < start_other + bytes[j]
                        and start_other < start + bytes[i] and not (j == d.alias and start == start_other)):
                    return False
        if d.limited:
            limit = d.limit
            for j in range(2):
                if d.limit_letter[j] != NONE:
                    limit *= call.size[d.limit_letter[j]]
            if sn_find_label_outside(bytes[i] // 8, <const sn_label *>call.data[i], limit) != -1:
                return False
    return True


cdef inline bint real(object value, double *number) noexcept:
    """Fill in a scalar argument of a kernel; False if it is not a number that C can represent."""
    cdef int overflow = 0
    if PyFloat_Check(value):
        number[0] = PyFloat_AS_DOUBLE(value)
        return True
    if not PyLong_CheckExact(value):
        return False
    number[0] = <double>PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0


cdef inline bint whole(object value, int least, Py_ssize_t *number) noexcept:
    """Fill in an integer argument of a kernel; False unless it is an int from `least` to LARGEST."""
    cdef int overflow = 0
    cdef long long given
    if not PyLong_CheckExact(value):
        return False
    given = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or given < least or given > LARGEST:
        return False
    number[0] = <Py_ssize_t>given
    return True


def _prepared(str name, *values):
    """Convert the arguments of a call that `bind` rejected, or raise the error that is due."""
    from .contract import KERNELS, check_arguments  # which takes longer than all the rest, and is rarely needed

    kernel = KERNELS[name]
    given = [value if value is None or not argument.is_array or isinstance(value, np.ndarray)
             else view_buffer(f"{name}: {argument.name}", value)
             for argument, value in zip(kernel.arguments, values, strict=True)]
    taken = check_arguments(kernel, given, compiled=True)
    if all(array is value for array, value in zip(taken, values)):
        raise ValueError(f"{name}: an argument has a dtype or layout that the compiled kernels do not support")
    return taken


cdef object view_buffer(str where, object value):
    """An array over the memory of another object; no copy, so that outputs are written in place."""
    try:
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, NotImplementedError):
        raise ValueError(f"{where} must be an array, got {type(value).__name__}") from None


cdef extern from *:
    """
    #if CYTHON_TRACE /* counting lines needs the GIL */
    #define WORTH_RELEASING(work) 0
    #else
    #define WORTH_RELEASING(work) ((work) > 20000)
    #endif
    """
    bint WORTH_RELEASING(double work)


cdef inline PyThreadState *release(double work) noexcept:
    """Release the GIL if the work (multiplications or elements) is worth it.

    It is counted in double, where no product of sizes overflows.
    """
    return PyEval_SaveThread() if WORTH_RELEASING(work) else NULL


cdef inline void restore(PyThreadState *state) noexcept:
    if state != NULL:
        PyEval_RestoreThread(state)


cdef inline bint has_places(Py_ssize_t size, Py_ssize_t window, Py_ssize_t stride, Py_ssize_t pad,
                            Py_ssize_t places) noexcept:
    """Whether a window has `places` positions along an axis, as `window_places` counts them."""
    return places == ((size + 2 * pad - window) // stride + 1 if size + 2 * pad >= window else 0)


cdef inline bint windows_fit(const Call *c, Py_ssize_t p, Py_ssize_t q, Py_ssize_t stride,
                             Py_ssize_t pad) noexcept:
    """Whether the sizes of a call are those of windows of p x q."""
    return (has_places(c.size[H], p, stride, pad, c.size[Y])
            and has_places(c.size[W], q, stride, pad, c.size[X]))


# More parts of the same module, which share the checks above
include "cpu_machine.pxi"  # instruction set, threads, memory
include "cpu_kernels.pxi"  # a function for each kernel, generated from the contract
include "cpu_ops.pxi"      # a function for each operation of the layers: a kernel with its output
include "cpu_steps.pxi"    # whole training steps
include "cpu_shuffle.pxi"  # the order of the samples in each epoch
include "cpu_means.pxi"    # means of the losses, for a log
