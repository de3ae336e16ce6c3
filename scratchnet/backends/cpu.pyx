# cython: language_level=3
# cython: embedsignature=True, freethreading_compatible=True, autotestdict=False
"""The compiled kernels: check the arguments, let go of the GIL, call csrc.

Every function has the arguments, the order and the errors that `contract.py` declares and
`reference.py` defines. The loops are in csrc: `sn_<name>` in scratchnet.h says in which file.

Design
------
* The checks are compiled from the contract's table at import, so nothing is declared twice. A call that
  passes them costs some tens of nanoseconds; four memoryview arguments alone would cost 700, because each
  acquires a buffer. So a NumPy array that is already right is used as it lies.
* Anything else comes to `_prepared`: other objects with a buffer (array.array, memoryview, ctypes) are viewed
  as arrays over the same memory; what is wrong is said by `check_arguments`, in the words of the reference.
* The GIL is released for calls whose work is worth the 60 ns that it costs.
* No function keeps a reference, and the only state is the number of threads: any number of threads may
  call in, with the GIL or without.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_CheckExact
from cpython.pystate cimport PyThreadState
from cpython.ref cimport PyObject

import os
from reprlib import repr as _short

import numpy as np

from .contract import KERNELS as _KERNELS, LARGEST as _LARGEST, check_arguments as _check_arguments

from .csrc cimport *

cnp.import_array()

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) noexcept
    PyThreadState *PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState *state) noexcept

# The sizes of a call, by the contract's letters; n also counts the elements of an array of any shape.
cdef enum:
    N, D, M, C, B, n, H, W, P, Q, Y, X, K, L
    LETTERS
    MOST_ARRAYS = 8
    MOST_AXES = 6
    ANY_SHAPE = -1
    NONE = -1
    MOST_THREADS = 1 << 20      # csrc takes what it can use of them

cdef Py_ssize_t LARGEST = _LARGEST

cdef struct Declared:           # one array argument, as the contract declares it
    bint label
    bint optional
    bint written
    int ndim                    # or ANY_SHAPE
    int axis[MOST_AXES]         # the letter of each axis,
    int times[MOST_AXES]        # and how many times that size the axis is long
    bint limited                # labels, given and not returned, stay below
    Py_ssize_t limit            # this number
    int limit_letter[2]         # times these sizes, those that are not NONE
    int alias                   # the argument that an output may be itself, or NONE

cdef struct Contract:           # the array arguments of a kernel, in order
    int count
    Declared argument[MOST_ARRAYS]

cdef struct Call:               # what csrc is called with
    sn_type type
    Py_ssize_t size[LETTERS]
    void *data[MOST_ARRAYS]
    double written              # bytes of all outputs together


cdef Contract compiled(str name) except *:
    """The contract's line of a kernel, in a form that a call can be checked against in nanoseconds."""
    cdef Contract contract
    cdef Declared *d
    letters = {"N": N, "D": D, "M": M, "C": C, "B": B, "n": n, "H": H, "W": W, "P": P, "Q": Q, "Y": Y, "X": X,
               "K": K, "L": L}
    arrays = [a for a in _KERNELS[name].arguments if a.is_array]
    contract.count = len(arrays)
    assert contract.count <= MOST_ARRAYS
    for i, a in enumerate(arrays):
        d = &contract.argument[i]
        d.label = a.kind == "label"
        d.optional = a.optional
        d.written = a.is_written
        d.ndim = ANY_SHAPE if a.shape == ("...",) else len(a.shape)
        if d.ndim != ANY_SHAPE:
            for j, axis in enumerate(a.shape):
                d.axis[j] = letters[axis[-1]]
                d.times[j] = int(axis[:-1] or 1)
        limits = a.limit.split("*") if a.limit is not None else []
        d.limited = a.limit is not None and not a.is_written
        d.limit = int(a.limit) if a.limit is not None and a.limit.isdigit() else 1
        d.limit_letter[0] = letters.get(limits[0], NONE) if limits else NONE
        d.limit_letter[1] = letters.get(limits[1], NONE) if len(limits) > 1 else NONE
        d.alias = [b.name for b in arrays].index(a.alias) if a.alias else NONE
    return contract


cdef inline bint fix(Py_ssize_t *size, int times, Py_ssize_t length) noexcept:
    """Whether a length is so many times a size, which may be fixed by another argument already."""
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
        if d.label:
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
    call.written = 0
    for i in range(contract.count):
        d = &contract.argument[i]
        start = <char *>call.data[i]
        if d.written:
            call.written += bytes[i]
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
    """Fill in a number of a kernel; False if it is none that C has."""
    cdef int overflow = 0
    if PyFloat_Check(value):
        number[0] = PyFloat_AS_DOUBLE(value)
        return True
    if not PyLong_CheckExact(value):
        return False
    number[0] = <double>PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0


cdef inline bint whole(object value, int least, Py_ssize_t *number) noexcept:
    """Fill in a whole number of a kernel; False if it is none from `least` to the contract's largest."""
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
    """The arguments of a call that was not taken, as those that are; or the error that they are."""
    kernel = _KERNELS[name]
    given = [value if value is None or not argument.is_array or isinstance(value, np.ndarray)
             else array_over(f"{name}: {argument.name}", value)
             for argument, value in zip(kernel.arguments, values, strict=True)]
    taken = _check_arguments(kernel, given, compiled=True)
    if all(array is value for array, value in zip(taken, values)):
        raise ValueError(f"{name}: an argument has a dtype or layout that the compiled kernels do not take")
    return taken


cdef object array_over(str where, object value):
    """An array over the memory of another object; no copy, so that outputs are written where they lie."""
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
    """Let other Python threads run, when the work (multiplications or elements) is worth it.

    It is counted in double, where no product of sizes overflows.
    """
    return PyEval_SaveThread() if WORTH_RELEASING(work) else NULL


cdef inline void restore(PyThreadState *state) noexcept:
    if state != NULL:
        PyEval_RestoreThread(state)


def isa():
    """The instruction set whose loops run."""
    return sn_isa().decode()


def isas():
    """The instruction sets that this processor has, the best first."""
    names = []
    while sn_isa_available(len(names)) != NULL:
        names.append(sn_isa_available(len(names)).decode())
    return names


cdef void choose_isa(str name) except *:
    """Take the instruction set that SCRATCHNET_ISA names, or the best."""
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
    """Return how an array lies in memory: address, shape, strides, dtype, and whether it may be written."""
    cdef object any_array = array  # of its Python attributes
    return (<size_t>cnp.PyArray_DATA(array), any_array.shape, any_array.strides, any_array.dtype,
            bool(cnp.PyArray_ISWRITEABLE(array)))


def get_num_threads():
    """Return the number of threads that large work is split over."""
    return sn_threads()


def set_num_threads(n):
    """Split large work over at most n threads, the calling one included; results do not depend on n.

    Raises
    ------
    ValueError
        n is no whole number of 1 or more.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"set_num_threads: n must be a whole number, 1 or more, got {n!r}")
    sn_set_threads(min(n, MOST_THREADS))


cdef int threads_in(str text) except -1:
    """The number of threads that a text asks for, at most a million; 0 if it asks for none."""
    text = text.strip()
    return min(int(text), MOST_THREADS) if text.isdecimal() and len(text) < 19 else 0


cdef int default_threads() except -1:
    """What the environment says, else the processors that this process may use.

    Of OMP_NUM_THREADS the first number counts, for it may hold a list, for nested teams. It belongs to others, so
    what makes no sense in it is passed over, as they do.
    """
    cdef int n
    ours = os.environ.get("SCRATCHNET_NUM_THREADS", "")
    if ours.strip():
        n = threads_in(ours)
        if n == 0:
            raise ImportError(f"SCRATCHNET_NUM_THREADS is {_short(ours)}, expected a whole number, 1 or more, "
                              "of at most 18 digits; set it to one, or unset it")
        return n
    n = threads_in(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    if n:
        return n
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


sn_set_threads(default_threads())


# Products and sums over rows

cdef Contract _affine_forward = compiled("affine_forward")


def affine_forward(x, W, b, out):
    """out[N,M] = x[N,D] W[D,M] + b[M]; b may be None."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &c):
        return affine_forward(*_prepared("affine_forward", x, W, b, out))
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M])
    sn_affine_forward(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)


cdef Contract _affine_backward = compiled("affine_backward")


def affine_backward(dout, x, W, dx, dW, db):
    """dx[N,D] = dout[N,M] W', dW[D,M] = x' dout, db[M] = sum of dout's rows; dx, db may be None."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_affine_backward,
                [<PyObject *>dout, <PyObject *>x, <PyObject *>W,
                 <PyObject *>dx, <PyObject *>dW, <PyObject *>db], &c):
        return affine_backward(*_prepared("affine_backward", dout, x, W, dx, dW, db))
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M] * 2)
    sn_affine_backward(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2], c.data[3],
                       c.data[4], c.data[5])
    restore(state)


cdef Contract _matmul_accumulate = compiled("matmul_accumulate")


def matmul_accumulate(x, W, out):
    """out[N,M] += x[N,D] W[D,M]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_matmul_accumulate, [<PyObject *>x, <PyObject *>W, <PyObject *>out], &c):
        return matmul_accumulate(*_prepared("matmul_accumulate", x, W, out))
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M])
    sn_matmul_accumulate(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _matmul_transposed = compiled("matmul_transposed")


def matmul_transposed(dout, W, dx):
    """dx[N,D] = dout[N,M] W[D,M]'."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_matmul_transposed, [<PyObject *>dout, <PyObject *>W, <PyObject *>dx], &c):
        return matmul_transposed(*_prepared("matmul_transposed", dout, W, dx))
    state = release(c.written + <double>c.size[N] * c.size[D] * c.size[M])
    sn_matmul_transposed(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _sum_rows = compiled("sum_rows")


def sum_rows(x, out):
    """out[D] = sum of the rows of x[N,D]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sum_rows, [<PyObject *>x, <PyObject *>out], &c):
        return sum_rows(*_prepared("sum_rows", x, out))
    state = release(c.written + <double>c.size[N] * c.size[D])
    sn_sum_rows(c.type, c.size[N], c.size[D], c.data[0], c.data[1])
    restore(state)


cdef Contract _repeat_rows = compiled("repeat_rows")


def repeat_rows(x, out):
    """out[N,D]: N copies of x[D]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_repeat_rows, [<PyObject *>x, <PyObject *>out], &c):
        return repeat_rows(*_prepared("repeat_rows", x, out))
    state = release(<double>c.size[N] * c.size[D])
    sn_repeat_rows(c.type, c.size[N], c.size[D], c.data[0], c.data[1])
    restore(state)


cdef Contract _gather_rows = compiled("gather_rows")


def gather_rows(x, index, out):
    """out[B,D] = x[index[B]]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_gather_rows, [<PyObject *>x, <PyObject *>index, <PyObject *>out], &c):
        return gather_rows(*_prepared("gather_rows", x, index, out))
    state = release(<double>c.size[B] * c.size[D])
    sn_gather_rows(c.type, c.size[B], c.size[D], c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)


# Activations

cdef Contract _sigmoid_forward = compiled("sigmoid_forward")


def sigmoid_forward(x, out):
    """out = 1 / (1 + exp(-x)); out may be x."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sigmoid_forward, [<PyObject *>x, <PyObject *>out], &c):
        return sigmoid_forward(*_prepared("sigmoid_forward", x, out))
    state = release(c.size[n])
    sn_sigmoid_forward(c.type, c.size[n], c.data[0], c.data[1])
    restore(state)


cdef Contract _sigmoid_backward = compiled("sigmoid_backward")


def sigmoid_backward(dout, y, dx):
    """dx = dout (1 - y) y; dx may be dout."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sigmoid_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return sigmoid_backward(*_prepared("sigmoid_backward", dout, y, dx))
    state = release(c.size[n])
    sn_sigmoid_backward(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _relu_forward = compiled("relu_forward")


def relu_forward(x, out):
    """out = 0 where x <= 0, else x; out may be x."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_relu_forward, [<PyObject *>x, <PyObject *>out], &c):
        return relu_forward(*_prepared("relu_forward", x, out))
    state = release(c.size[n])
    sn_relu_forward(c.type, c.size[n], c.data[0], c.data[1])
    restore(state)


cdef Contract _relu_backward = compiled("relu_backward")


def relu_backward(dout, y, dx):
    """dx = 0 where y <= 0, else dout; dx may be dout."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_relu_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return relu_backward(*_prepared("relu_backward", dout, y, dx))
    state = release(c.size[n])
    sn_relu_backward(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _softmax_forward = compiled("softmax_forward")


def softmax_forward(x, y):
    """y[N,C] = exp(x[N,C]) / sum over the row of exp(x)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_softmax_forward, [<PyObject *>x, <PyObject *>y], &c):
        return softmax_forward(*_prepared("softmax_forward", x, y))
    state = release(<double>c.size[N] * c.size[C])
    sn_softmax_forward(c.type, c.size[N], c.size[C], c.data[0], c.data[1])
    restore(state)


cdef Contract _softmax_backward = compiled("softmax_backward")


def softmax_backward(dout, y, dx):
    """dx[N,C] = y (dout - sum over the row of dout y)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_softmax_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return softmax_backward(*_prepared("softmax_backward", dout, y, dx))
    state = release(<double>c.size[N] * c.size[C])
    sn_softmax_backward(c.type, c.size[N], c.size[C], c.data[0], c.data[1], c.data[2])
    restore(state)


# Losses

cdef Contract _cross_entropy_forward = compiled("cross_entropy_forward")


def cross_entropy_forward(y, t):
    """Return the mean of -log(y[i, t[i]] + 1e-7) over the rows of y[N,C]."""
    cdef Call c
    cdef PyThreadState *state
    cdef double loss
    if not bind(&_cross_entropy_forward, [<PyObject *>y, <PyObject *>t], &c):
        return cross_entropy_forward(*_prepared("cross_entropy_forward", y, t))
    state = release(c.size[N])
    loss = sn_cross_entropy_forward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label *>c.data[1])
    restore(state)
    return loss


cdef Contract _softmax_cross_entropy_forward = compiled("softmax_cross_entropy_forward")


def softmax_cross_entropy_forward(x, t, y):
    """y[N,C] = softmax(x[N,C]); return the cross entropy of y against t[N]."""
    cdef Call c
    cdef PyThreadState *state
    cdef double loss
    if not bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &c):
        return softmax_cross_entropy_forward(*_prepared("softmax_cross_entropy_forward", x, t, y))
    state = release(<double>c.size[N] * c.size[C])
    loss = sn_softmax_cross_entropy_forward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label
                                            *>c.data[1], c.data[2])
    restore(state)
    return loss


cdef Contract _softmax_cross_entropy_backward = compiled("softmax_cross_entropy_backward")


def softmax_cross_entropy_backward(y, t, dout, dx):
    """dx[N,C] = (y - onehot(t)) dout / N."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c)
            and real(dout, &number)):
        return softmax_cross_entropy_backward(*_prepared("softmax_cross_entropy_backward", y, t, dout, dx))
    state = release(<double>c.size[N] * c.size[C])
    sn_softmax_cross_entropy_backward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label *>c.data[1],
                                      number, c.data[2])
    restore(state)


cdef Contract _sigmoid_cross_entropy_forward = compiled("sigmoid_cross_entropy_forward")


def sigmoid_cross_entropy_forward(x, t, y):
    """y[n] = sigmoid(x[n]); return the cross entropy of y against t[n], 0 or 1."""
    cdef Call c
    cdef PyThreadState *state
    cdef double loss
    if not bind(&_sigmoid_cross_entropy_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &c):
        return sigmoid_cross_entropy_forward(*_prepared("sigmoid_cross_entropy_forward", x, t, y))
    state = release(c.size[n])
    loss = sn_sigmoid_cross_entropy_forward(c.type, c.size[n], c.data[0], <const sn_label *>c.data[1],
                                            c.data[2])
    restore(state)
    return loss


cdef Contract _sigmoid_cross_entropy_backward = compiled("sigmoid_cross_entropy_backward")


def sigmoid_cross_entropy_backward(y, t, dout, dx):
    """dx[n] = (y - t) dout / n."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_sigmoid_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c)
            and real(dout, &number)):
        return sigmoid_cross_entropy_backward(*_prepared("sigmoid_cross_entropy_backward", y, t, dout, dx))
    state = release(c.size[n])
    sn_sigmoid_cross_entropy_backward(c.type, c.size[n], c.data[0], <const sn_label *>c.data[1], number,
                                      c.data[2])
    restore(state)


# Windows of images

cdef inline bint has_places(Py_ssize_t size, Py_ssize_t window, Py_ssize_t stride, Py_ssize_t pad,
                            Py_ssize_t places) noexcept:
    """Whether a window has so many places along an axis, as `window_places` counts them."""
    return places == ((size + 2 * pad - window) // stride + 1 if size + 2 * pad >= window else 0)


cdef inline bint windows_fit(const Call *c, Py_ssize_t p, Py_ssize_t q, Py_ssize_t stride,
                             Py_ssize_t pad) noexcept:
    """Whether the sizes of a call are those of windows of p x q."""
    return (has_places(c.size[H], p, stride, pad, c.size[Y])
            and has_places(c.size[W], q, stride, pad, c.size[X]))


cdef Contract _im2col = compiled("im2col")


def im2col(x, stride, pad, col):
    """col[N,C,P,Q,Y,X] = x[N,C,H,W] as each element of a window of P x Q sees it from its Y x X places."""
    cdef Call c
    cdef PyThreadState *state
    cdef Py_ssize_t step, around
    if not (bind(&_im2col, [<PyObject *>x, <PyObject *>col], &c)
            and whole(stride, 1, &step) and whole(pad, 0, &around)
            and windows_fit(&c, c.size[P], c.size[Q], step, around)):
        return im2col(*_prepared("im2col", x, stride, pad, col))
    state = release(<double>c.size[N] * c.size[C] * c.size[P] * c.size[Q] * c.size[Y] * c.size[X])
    sn_im2col(c.type, c.size[N], c.size[C], c.size[H], c.size[W], c.size[P], c.size[Q], c.size[Y], c.size[X],
              c.data[0], step, around, c.data[1])
    restore(state)


cdef Contract _col2im = compiled("col2im")


def col2im(col, stride, pad, dx):
    """dx[N,C,H,W] = the sum of col[N,C,P,Q,Y,X] where im2col reads."""
    cdef Call c
    cdef PyThreadState *state
    cdef Py_ssize_t step, around
    if not (bind(&_col2im, [<PyObject *>col, <PyObject *>dx], &c)
            and whole(stride, 1, &step) and whole(pad, 0, &around)
            and windows_fit(&c, c.size[P], c.size[Q], step, around)):
        return col2im(*_prepared("col2im", col, stride, pad, dx))
    state = release(c.written + <double>c.size[N] * c.size[C] * c.size[P] * c.size[Q] * c.size[Y] * c.size[X])
    sn_col2im(c.type, c.size[N], c.size[C], c.size[P], c.size[Q], c.size[Y], c.size[X], c.size[H], c.size[W],
              c.data[0], step, around, c.data[1])
    restore(state)


cdef Contract _convolution_forward = compiled("convolution_forward")


def convolution_forward(col, W, b, out):
    """out[N,M,L] = W[M,K] col[n] + b[M], with col[N,K,L]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_convolution_forward, [<PyObject *>col, <PyObject *>W, <PyObject *>b, <PyObject *>out], &c):
        return convolution_forward(*_prepared("convolution_forward", col, W, b, out))
    state = release(c.written + <double>c.size[N] * c.size[K] * c.size[L] * c.size[M])
    sn_convolution_forward(c.type, c.size[N], c.size[K], c.size[L], c.size[M],
                           c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)


cdef Contract _convolution_backward = compiled("convolution_backward")


def convolution_backward(dout, col, W, dcol, dW, db):
    """dcol[N,K,L] = W' dout[n]; dW[M,K] += sum of dout[n] col[n]'; db[M] += sum of dout[N,M,L]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_convolution_backward, [<PyObject *>dout, <PyObject *>col, <PyObject *>W,
                                         <PyObject *>dcol, <PyObject *>dW, <PyObject *>db], &c):
        return convolution_backward(*_prepared("convolution_backward", dout, col, W, dcol, dW, db))
    state = release(c.written + 2.0 * c.size[N] * c.size[K] * c.size[L] * c.size[M])
    sn_convolution_backward(c.type, c.size[N], c.size[K], c.size[L], c.size[M],
                            c.data[0], c.data[1], c.data[2], c.data[3], c.data[4], c.data[5])
    restore(state)


cdef Contract _max_pool_forward = compiled("max_pool_forward")


def max_pool_forward(x, P, Q, stride, out, argmax):
    """out[N,C,Y,X] = the largest of each window of P x Q of x[N,C,H,W]; argmax = its place y W + x."""
    cdef Call c
    cdef PyThreadState *state
    cdef Py_ssize_t p, q, step
    if not (bind(&_max_pool_forward, [<PyObject *>x, <PyObject *>out, <PyObject *>argmax], &c)
            and whole(P, 1, &p) and whole(Q, 1, &q) and whole(stride, 1, &step)
            and windows_fit(&c, p, q, step, 0) and <double>(p - 1) * c.size[W] + q <= LARGEST):
        return max_pool_forward(*_prepared("max_pool_forward", x, P, Q, stride, out, argmax))
    state = release(<double>c.size[N] * c.size[C] * c.size[H] * c.size[W])
    sn_max_pool_forward(c.type, c.size[N], c.size[C], c.size[H], c.size[W], c.size[Y], c.size[X],
                        c.data[0], p, q, step, c.data[1], <sn_label *>c.data[2])
    restore(state)


cdef Contract _max_pool_backward = compiled("max_pool_backward")


def max_pool_backward(dout, argmax, dx):
    """dx[N,C,H,W] = the sum of dout[N,C,Y,X] where argmax points."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_max_pool_backward, [<PyObject *>dout, <PyObject *>argmax, <PyObject *>dx], &c):
        return max_pool_backward(*_prepared("max_pool_backward", dout, argmax, dx))
    state = release(<double>c.size[N] * c.size[C] * c.size[H] * c.size[W])
    sn_max_pool_backward(c.type, c.size[N], c.size[C], c.size[Y], c.size[X], c.size[H], c.size[W],
                         c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)


# Batch normalization

cdef Contract _batch_normalization_forward = compiled("batch_normalization_forward")


def batch_normalization_forward(x, gamma, beta, eps, mean, var, std, xhat, out):
    """std = sqrt(var + eps), xhat[N,D] = (x - mean) / std, out = gamma xhat + beta, by x's own mean and var."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_batch_normalization_forward,
                 [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta, <PyObject *>mean, <PyObject *>var,
                  <PyObject *>std, <PyObject *>xhat, <PyObject *>out], &c)
            and real(eps, &number)):
        return batch_normalization_forward(
            *_prepared("batch_normalization_forward", x, gamma, beta, eps, mean, var, std, xhat, out))
    state = release(c.written + <double>c.size[N] * c.size[D])
    sn_batch_normalization_forward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], number,
                                   c.data[3], c.data[4], c.data[5], c.data[6], c.data[7])
    restore(state)


cdef Contract _batch_normalization_inference = compiled("batch_normalization_inference")


def batch_normalization_inference(x, gamma, beta, mean, var, eps, out):
    """out[N,D] = gamma (x - mean) / sqrt(var + eps) + beta."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_batch_normalization_inference,
                 [<PyObject *>x, <PyObject *>gamma, <PyObject *>beta, <PyObject *>mean, <PyObject *>var,
                  <PyObject *>out], &c)
            and real(eps, &number)):
        return batch_normalization_inference(
            *_prepared("batch_normalization_inference", x, gamma, beta, mean, var, eps, out))
    state = release(<double>c.size[N] * c.size[D])
    sn_batch_normalization_inference(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2],
                                     c.data[3], c.data[4], number, c.data[5])
    restore(state)


cdef Contract _batch_normalization_backward = compiled("batch_normalization_backward")


def batch_normalization_backward(dout, xhat, gamma, std, dx, dgamma, dbeta):
    """dbeta, dgamma = sums of dout and dout xhat; dx[N,D] = gamma / std (dout - (dbeta + xhat dgamma) / N)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_batch_normalization_backward,
                [<PyObject *>dout, <PyObject *>xhat, <PyObject *>gamma, <PyObject *>std,
                 <PyObject *>dx, <PyObject *>dgamma, <PyObject *>dbeta], &c):
        return batch_normalization_backward(
            *_prepared("batch_normalization_backward", dout, xhat, gamma, std, dx, dgamma, dbeta))
    state = release(c.written + <double>c.size[N] * c.size[D])
    sn_batch_normalization_backward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], c.data[3],
                                    c.data[4], c.data[5], c.data[6])
    restore(state)


# Optimizers

cdef Contract _sgd_update = compiled("sgd_update")


def sgd_update(p, g, lr):
    """p -= lr g."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_sgd_update, [<PyObject *>p, <PyObject *>g], &c) and real(lr, &number)):
        return sgd_update(*_prepared("sgd_update", p, g, lr))
    state = release(c.size[n])
    sn_sgd_update(c.type, c.size[n], c.data[0], c.data[1], number)
    restore(state)


cdef Contract _momentum_update = compiled("momentum_update")


def momentum_update(p, g, v, lr, momentum):
    """v = momentum v - lr g;  p += v."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number[2]
    if not (bind(&_momentum_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &c)
            and real(lr, &number[0]) and real(momentum, &number[1])):
        return momentum_update(*_prepared("momentum_update", p, g, v, lr, momentum))
    state = release(c.size[n])
    sn_momentum_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], number[0], number[1])
    restore(state)


cdef Contract _nesterov_update = compiled("nesterov_update")


def nesterov_update(p, g, v, lr, momentum):
    """p += momentum^2 v - (1 + momentum) lr g;  v = momentum v - lr g."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number[2]
    if not (bind(&_nesterov_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &c)
            and real(lr, &number[0]) and real(momentum, &number[1])):
        return nesterov_update(*_prepared("nesterov_update", p, g, v, lr, momentum))
    state = release(c.size[n])
    sn_nesterov_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], number[0], number[1])
    restore(state)


cdef Contract _adagrad_update = compiled("adagrad_update")


def adagrad_update(p, g, h, lr):
    """h += g^2;  p -= lr g / (sqrt(h) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_adagrad_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &c) and real(lr, &number)):
        return adagrad_update(*_prepared("adagrad_update", p, g, h, lr))
    state = release(c.size[n])
    sn_adagrad_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], number)
    restore(state)


cdef Contract _rmsprop_update = compiled("rmsprop_update")


def rmsprop_update(p, g, h, lr, decay_rate):
    """h = decay_rate h + (1 - decay_rate) g^2;  p -= lr g / (sqrt(h) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number[2]
    if not (bind(&_rmsprop_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &c)
            and real(lr, &number[0]) and real(decay_rate, &number[1])):
        return rmsprop_update(*_prepared("rmsprop_update", p, g, h, lr, decay_rate))
    state = release(c.size[n])
    sn_rmsprop_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], number[0], number[1])
    restore(state)


cdef Contract _adam_update = compiled("adam_update")


def adam_update(p, g, m, v, lr, beta1, beta2):
    """m += (1 - beta1)(g - m);  v += (1 - beta2)(g^2 - v);  p -= lr m / (sqrt(v) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number[3]
    if not (bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>m, <PyObject *>v], &c)
            and real(lr, &number[0]) and real(beta1, &number[1]) and real(beta2, &number[2])):
        return adam_update(*_prepared("adam_update", p, g, m, v, lr, beta1, beta2))
    state = release(c.size[n])
    sn_adam_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], c.data[3], number[0], number[1], number[2])
    restore(state)


cdef Contract _squared_norm = compiled("squared_norm")


def squared_norm(g):
    """Return the sum of g^2, in double."""
    cdef Call c
    cdef PyThreadState *state
    cdef double total
    if not bind(&_squared_norm, [<PyObject *>g], &c):
        return squared_norm(*_prepared("squared_norm", g))
    state = release(c.size[n])
    total = sn_squared_norm(c.type, c.size[n], c.data[0])
    restore(state)
    return total


cdef Contract _scale = compiled("scale")


def scale(x, factor):
    """x *= factor."""
    cdef Call c
    cdef PyThreadState *state
    cdef double number
    if not (bind(&_scale, [<PyObject *>x], &c) and real(factor, &number)):
        return scale(*_prepared("scale", x, factor))
    state = release(c.size[n])
    sn_scale(c.type, c.size[n], c.data[0], number)
    restore(state)


# Language models

cdef Contract _scatter_add_rows = compiled("scatter_add_rows")


def scatter_add_rows(dout, index, out):
    """out[N,D] = 0, then dout[i] of dout[B,D] is added to out[index[i]], in order."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_scatter_add_rows, [<PyObject *>dout, <PyObject *>index, <PyObject *>out], &c):
        return scatter_add_rows(*_prepared("scatter_add_rows", dout, index, out))
    state = release(<double>(c.size[B] + c.size[N]) * c.size[D])
    sn_scatter_add_rows(c.type, c.size[B], c.size[N], c.size[D], c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)


cdef Contract _tanh_forward = compiled("tanh_forward")


def tanh_forward(x, out):
    """out = tanh(x); out may be x."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_tanh_forward, [<PyObject *>x, <PyObject *>out], &c):
        return tanh_forward(*_prepared("tanh_forward", x, out))
    state = release(c.size[n])
    sn_tanh_forward(c.type, c.size[n], c.data[0], c.data[1])
    restore(state)


cdef Contract _tanh_backward = compiled("tanh_backward")


def tanh_backward(dout, y, dx):
    """dx = dout (1 - y^2); dx may be dout."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_tanh_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return tanh_backward(*_prepared("tanh_backward", dout, y, dx))
    state = release(c.size[n])
    sn_tanh_backward(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _multiply_by_mask = compiled("multiply_by_mask")


def multiply_by_mask(x, mask, out):
    """out = x mask; out may be x."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_multiply_by_mask, [<PyObject *>x, <PyObject *>mask, <PyObject *>out], &c):
        return multiply_by_mask(*_prepared("multiply_by_mask", x, mask, out))
    state = release(c.size[n])
    sn_multiply_by_mask(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)


cdef Contract _softmax_log_loss_forward = compiled("softmax_log_loss_forward")


def softmax_log_loss_forward(x, t, y):
    """y[N,C] = softmax(x[N,C]); return the mean of -log(y[i, t[i]])."""
    cdef Call c
    cdef PyThreadState *state
    cdef double loss
    if not bind(&_softmax_log_loss_forward, [<PyObject *>x, <PyObject *>t, <PyObject *>y], &c):
        return softmax_log_loss_forward(*_prepared("softmax_log_loss_forward", x, t, y))
    state = release(<double>c.size[N] * c.size[C])
    loss = sn_softmax_log_loss_forward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label *>c.data[1],
                                       c.data[2])
    restore(state)
    return loss


cdef Contract _lstm_forward = compiled("lstm_forward")


def lstm_forward(c_prev, A, gates, c, h):
    """gates = f, g, i, o of A[N,4D]; c = f c_prev + g i; h = o tanh(c)."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_forward, [<PyObject *>c_prev, <PyObject *>A, <PyObject *>gates, <PyObject *>c,
                                 <PyObject *>h], &call):
        return lstm_forward(*_prepared("lstm_forward", c_prev, A, gates, c, h))
    state = release(<double>call.size[N] * call.size[D] * 8)
    sn_lstm_forward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                    call.data[3], call.data[4])
    restore(state)


cdef Contract _lstm_backward = compiled("lstm_backward")


def lstm_backward(dh, dc, c_prev, c, gates, dA, dc_prev):
    """dA[N,4D] and dc_prev[N,D], from the gradients of h and c."""
    cdef Call call
    cdef PyThreadState *state
    if not bind(&_lstm_backward, [<PyObject *>dh, <PyObject *>dc, <PyObject *>c_prev, <PyObject *>c,
                                  <PyObject *>gates, <PyObject *>dA, <PyObject *>dc_prev], &call):
        return lstm_backward(*_prepared("lstm_backward", dh, dc, c_prev, c, gates, dA, dc_prev))
    state = release(<double>call.size[N] * call.size[D] * 8)
    sn_lstm_backward(call.type, call.size[N], call.size[D], call.data[0], call.data[1], call.data[2],
                     call.data[3], call.data[4], call.data[5], call.data[6])
    restore(state)


cdef Contract _gru_gates_forward = compiled("gru_gates_forward")


def gru_gates_forward(h_prev, A, gates, rh):
    """gates = z, r = sigmoid(A[N,2D]); rh = r h_prev."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_gru_gates_forward, [<PyObject *>h_prev, <PyObject *>A, <PyObject *>gates,
                                      <PyObject *>rh], &c):
        return gru_gates_forward(*_prepared("gru_gates_forward", h_prev, A, gates, rh))
    state = release(<double>c.size[N] * c.size[D] * 8)
    sn_gru_gates_forward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)


cdef Contract _gru_forward = compiled("gru_forward")


def gru_forward(h_prev, gates, A, h_hat, h):
    """h_hat = tanh(A[N,D]); h = (1 - z) h_prev + z h_hat."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_gru_forward, [<PyObject *>h_prev, <PyObject *>gates, <PyObject *>A, <PyObject *>h_hat,
                                <PyObject *>h], &c):
        return gru_forward(*_prepared("gru_forward", h_prev, gates, A, h_hat, h))
    state = release(<double>c.size[N] * c.size[D] * 8)
    sn_gru_forward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], c.data[3], c.data[4])
    restore(state)


cdef Contract _gru_backward = compiled("gru_backward")


def gru_backward(dh, gates, h_hat, dA):
    """dA = dh z (1 - h_hat^2), of the new memory."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_gru_backward, [<PyObject *>dh, <PyObject *>gates, <PyObject *>h_hat, <PyObject *>dA], &c):
        return gru_backward(*_prepared("gru_backward", dh, gates, h_hat, dA))
    state = release(<double>c.size[N] * c.size[D] * 8)
    sn_gru_backward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)


cdef Contract _gru_gates_backward = compiled("gru_gates_backward")


def gru_gates_backward(dh, drh, h_prev, gates, h_hat, dA, dh_prev):
    """dA[N,2D] of z and r, and the part of dh_prev that does not come through them."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_gru_gates_backward, [<PyObject *>dh, <PyObject *>drh, <PyObject *>h_prev, <PyObject *>gates,
                                       <PyObject *>h_hat, <PyObject *>dA, <PyObject *>dh_prev], &c):
        return gru_gates_backward(*_prepared("gru_gates_backward", dh, drh, h_prev, gates, h_hat, dA, dh_prev))
    state = release(<double>c.size[N] * c.size[D] * 8)
    sn_gru_gates_backward(c.type, c.size[N], c.size[D], c.data[0], c.data[1], c.data[2], c.data[3], c.data[4],
                          c.data[5], c.data[6])
    restore(state)


# More rooms of the same module; the first two share the checks above
include "cpu_quick.pxi"    # short cuts for the layers: allocate, check and run in one call
include "cpu_steps.pxi"    # whole training steps
include "cpu_shuffle.pxi"  # the order of the samples in each epoch
include "cpu_means.pxi"    # means of the losses, for a log
