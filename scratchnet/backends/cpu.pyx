# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
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
from cpython.pystate cimport PyThreadState
from cpython.ref cimport PyObject

import os

import numpy as np

from .contract import KERNELS as _KERNELS, check_arguments as _check_arguments

from libc.stdint cimport int64_t

from .csrc cimport *

cnp.import_array()

cdef extern from "Python.h":
    PyThreadState *PyEval_SaveThread() noexcept
    void PyEval_RestoreThread(PyThreadState *state) noexcept

# The sizes of a call, by the contract's letters; n also counts the elements of an array of any shape.
cdef enum:
    N, D, M, C, B, n
    LETTERS
    MOST_ARRAYS = 6
    ANY_SHAPE = -1
    NONE = -1

cdef struct Declared:           # one array argument, as the contract declares it
    bint label
    bint optional
    bint written
    int ndim                    # or ANY_SHAPE
    int axis[2]                 # the letter of each axis
    int limit_letter            # labels stay below this size,
    Py_ssize_t limit            # or, where that is NONE, below this number
    int alias                   # the argument that an output may be itself, or NONE

cdef struct Contract:           # the array arguments of a kernel, in order
    int count
    Declared argument[MOST_ARRAYS]

cdef struct Call:               # what csrc is called with
    sn_type type
    Py_ssize_t size[LETTERS]
    void *data[MOST_ARRAYS]


cdef Contract compiled(str name) except *:
    """The contract's line of a kernel, in a form that a call can be checked against in nanoseconds."""
    cdef Contract contract
    cdef Declared *d
    letters = {"N": N, "D": D, "M": M, "C": C, "B": B, "n": n}
    arrays = [a for a in _KERNELS[name].arguments if a.is_array]
    contract.count = len(arrays)
    assert contract.count <= MOST_ARRAYS
    for i, a in enumerate(arrays):
        d = &contract.argument[i]
        d.label = a.kind == "label"
        d.optional = a.optional
        d.written = a.is_written
        d.ndim = ANY_SHAPE if a.shape == ("...",) else len(a.shape)
        d.axis[0] = d.axis[1] = n
        if d.ndim != ANY_SHAPE:
            for j, letter in enumerate(a.shape):
                d.axis[j] = letters[letter]
        d.limit_letter = letters.get(a.limit, NONE)
        d.limit = int(a.limit) if a.limit is not None and a.limit.isdigit() else 0
        d.alias = [b.name for b in arrays].index(a.alias) if a.alias else NONE
    return contract


cdef inline bint fix(Py_ssize_t *size, Py_ssize_t length) noexcept:
    """Whether a size, where another argument has fixed it already, is this one."""
    if size[0] == -1:
        size[0] = length
    return size[0] == length


cdef bint bind(const Contract *contract, PyObject **given, Call *call) noexcept:
    """Fill in the call; False if any argument is not exactly what the contract and C need."""
    cdef const Declared *d
    cdef cnp.ndarray a
    cdef cnp.ndarray alike = None    # the first array of any shape
    cdef int i, j, type, real = NONE
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
        if not cnp.PyArray_Check(<object>given[i]):
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
                if not fix(&call.size[d.axis[j]], cnp.PyArray_DIM(a, j)):
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
        if d.label:
            if sn_find_label_outside(call.size[d.axis[0]], <const sn_label *>call.data[i],
                                     d.limit if d.limit_letter == NONE else call.size[d.limit_letter]) != -1:
                return False
    return True


def _prepared(str name, *values):
    """The arguments of a call that `bind` did not take, as arrays that it takes; or the error that they are."""
    kernel = _KERNELS[name]
    arrays = [value if value is None or not argument.is_array or isinstance(value, np.ndarray)
              else array_over(f"{name}: {argument.name}", value)
              for argument, value in zip(kernel.arguments, values, strict=True)]
    _check_arguments(kernel, arrays, compiled=True)
    if all(array is value for array, value in zip(arrays, values)):
        raise ValueError(f"{name}: an argument has a dtype or layout that the compiled kernels do not take")
    return arrays


cdef object array_over(str where, object value):
    """An array over the memory of another object; no copy, so that outputs are written where they lie."""
    try:
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, NotImplementedError):
        raise ValueError(f"{where} must be an array, got {type(value).__name__}") from None


cdef inline PyThreadState *release(Py_ssize_t work) noexcept:
    """Let other Python threads run, when the work (multiplications or elements) is worth it."""
    return PyEval_SaveThread() if work > 20000 else NULL


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


cdef void choose_isa(object name) except *:
    """Take the instruction set that SCRATCHNET_ISA names, or the best."""
    if not name:
        sn_use_isa(NULL)
    elif not sn_use_isa(name.encode()):
        raise ImportError(f"SCRATCHNET_ISA is {name!r}, but this processor runs {', '.join(isas())}; "
                          "set it to one of these, or unset it")


choose_isa(os.environ.get("SCRATCHNET_ISA"))


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
    sn_set_threads(min(n, 1 << 20))


cdef int default_threads() except -1:
    """What the environment says, else the processors that this process may use."""
    for name in ("SCRATCHNET_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may hold a list, for nested teams
        if text:
            if not (text.isdecimal() and int(text) > 0):
                raise ImportError(f"{name} is {os.environ[name]!r}, expected a whole number, 1 or more")
            return min(int(text), 1 << 20)
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
    state = release(c.size[N] * c.size[D] * c.size[M])
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
    state = release(c.size[N] * c.size[D] * c.size[M] * 2)
    sn_affine_backward(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2], c.data[3],
                       c.data[4], c.data[5])
    restore(state)


cdef Contract _sum_rows = compiled("sum_rows")


def sum_rows(x, out):
    """out[D] = sum of the rows of x[N,D]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sum_rows, [<PyObject *>x, <PyObject *>out], &c):
        return sum_rows(*_prepared("sum_rows", x, out))
    state = release(c.size[N] * c.size[D])
    sn_sum_rows(c.type, c.size[N], c.size[D], c.data[0], c.data[1])
    restore(state)


cdef Contract _repeat_rows = compiled("repeat_rows")


def repeat_rows(x, out):
    """out[N,D]: N copies of x[D]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_repeat_rows, [<PyObject *>x, <PyObject *>out], &c):
        return repeat_rows(*_prepared("repeat_rows", x, out))
    state = release(c.size[N] * c.size[D])
    sn_repeat_rows(c.type, c.size[N], c.size[D], c.data[0], c.data[1])
    restore(state)


cdef Contract _take_rows = compiled("take_rows")


def take_rows(x, index, out):
    """out[B,D] = x[index[B]]."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_take_rows, [<PyObject *>x, <PyObject *>index, <PyObject *>out], &c):
        return take_rows(*_prepared("take_rows", x, index, out))
    state = release(c.size[B] * c.size[D])
    sn_take_rows(c.type, c.size[B], c.size[D], c.data[0], <const sn_label *>c.data[1], c.data[2])
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
    state = release(c.size[N] * c.size[C])
    sn_softmax_forward(c.type, c.size[N], c.size[C], c.data[0], c.data[1])
    restore(state)


cdef Contract _softmax_backward = compiled("softmax_backward")


def softmax_backward(dout, y, dx):
    """dx[N,C] = y (dout - sum over the row of dout y)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_softmax_backward, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return softmax_backward(*_prepared("softmax_backward", dout, y, dx))
    state = release(c.size[N] * c.size[C])
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
    state = release(c.size[N] * c.size[C])
    loss = sn_softmax_cross_entropy_forward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label
                                            *>c.data[1], c.data[2])
    restore(state)
    return loss


cdef Contract _softmax_cross_entropy_backward = compiled("softmax_cross_entropy_backward")


def softmax_cross_entropy_backward(y, t, double dout, dx):
    """dx[N,C] = (y - onehot(t)) dout / N."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c):
        return softmax_cross_entropy_backward(*_prepared("softmax_cross_entropy_backward", y, t, dout, dx))
    state = release(c.size[N] * c.size[C])
    sn_softmax_cross_entropy_backward(c.type, c.size[N], c.size[C], c.data[0], <const sn_label *>c.data[1],
                                      dout, c.data[2])
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


def sigmoid_cross_entropy_backward(y, t, double dout, dx):
    """dx[n] = (y - t) dout / n."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sigmoid_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c):
        return sigmoid_cross_entropy_backward(*_prepared("sigmoid_cross_entropy_backward", y, t, dout, dx))
    state = release(c.size[n])
    sn_sigmoid_cross_entropy_backward(c.type, c.size[n], c.data[0], <const sn_label *>c.data[1], dout,
                                      c.data[2])
    restore(state)


# Optimizers

cdef Contract _sgd_update = compiled("sgd_update")


def sgd_update(p, g, double lr):
    """p -= lr g."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_sgd_update, [<PyObject *>p, <PyObject *>g], &c):
        return sgd_update(*_prepared("sgd_update", p, g, lr))
    state = release(c.size[n])
    sn_sgd_update(c.type, c.size[n], c.data[0], c.data[1], lr)
    restore(state)


cdef Contract _momentum_update = compiled("momentum_update")


def momentum_update(p, g, v, double lr, double momentum):
    """v = momentum v - lr g;  p += v."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_momentum_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &c):
        return momentum_update(*_prepared("momentum_update", p, g, v, lr, momentum))
    state = release(c.size[n])
    sn_momentum_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], lr, momentum)
    restore(state)


cdef Contract _nesterov_update = compiled("nesterov_update")


def nesterov_update(p, g, v, double lr, double momentum):
    """p += momentum^2 v - (1 + momentum) lr g;  v = momentum v - lr g."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_nesterov_update, [<PyObject *>p, <PyObject *>g, <PyObject *>v], &c):
        return nesterov_update(*_prepared("nesterov_update", p, g, v, lr, momentum))
    state = release(c.size[n])
    sn_nesterov_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], lr, momentum)
    restore(state)


cdef Contract _adagrad_update = compiled("adagrad_update")


def adagrad_update(p, g, h, double lr):
    """h += g^2;  p -= lr g / (sqrt(h) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_adagrad_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &c):
        return adagrad_update(*_prepared("adagrad_update", p, g, h, lr))
    state = release(c.size[n])
    sn_adagrad_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], lr)
    restore(state)


cdef Contract _rmsprop_update = compiled("rmsprop_update")


def rmsprop_update(p, g, h, double lr, double decay_rate):
    """h = decay_rate h + (1 - decay_rate) g^2;  p -= lr g / (sqrt(h) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_rmsprop_update, [<PyObject *>p, <PyObject *>g, <PyObject *>h], &c):
        return rmsprop_update(*_prepared("rmsprop_update", p, g, h, lr, decay_rate))
    state = release(c.size[n])
    sn_rmsprop_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], lr, decay_rate)
    restore(state)


cdef Contract _adam_update = compiled("adam_update")


def adam_update(p, g, m, v, double lr, double beta1, double beta2):
    """m += (1 - beta1)(g - m);  v += (1 - beta2)(g^2 - v);  p -= lr m / (sqrt(v) + 1e-7)."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>m, <PyObject *>v], &c):
        return adam_update(*_prepared("adam_update", p, g, m, v, lr, beta1, beta2))
    state = release(c.size[n])
    sn_adam_update(c.type, c.size[n], c.data[0], c.data[1], c.data[2], c.data[3], lr, beta1, beta2)
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


def scale(x, double factor):
    """x *= factor."""
    cdef Call c
    cdef PyThreadState *state
    if not bind(&_scale, [<PyObject *>x], &c):
        return scale(*_prepared("scale", x, factor))
    state = release(c.size[n])
    sn_scale(c.type, c.size[n], c.data[0], factor)
    restore(state)


# Short cuts for the layers: allocate the output, check, and run the kernel in one call. They return None when
# an argument is not exactly what the kernel takes; the layer then goes the general way, which casts, copies
# or says what is wrong. A reader's own loop over a small net spends its time in these calls.

cdef inline cnp.ndarray new_array(int ndim, cnp.npy_intp *shape, int type):
    return cnp.PyArray_EMPTY(ndim, shape, type, 0)


cdef inline bint is_plain(object a) noexcept:
    """A NumPy array, no subclass, of a compiled dtype."""
    return cnp.PyArray_CheckExact(a) and (cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT32
                                          or cnp.PyArray_TYPE(<cnp.ndarray>a) == cnp.NPY_FLOAT64)


def quick_affine_forward(x, W, b):
    """Return x W + b, for x of shape [N,D], or None."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray out
    if not (is_plain(x) and is_plain(W) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2
            and cnp.PyArray_NDIM(<cnp.ndarray>W) == 2):
        return None
    shape[0], shape[1] = cnp.PyArray_DIM(<cnp.ndarray>x, 0), cnp.PyArray_DIM(<cnp.ndarray>W, 1)
    out = new_array(2, shape, cnp.PyArray_TYPE(<cnp.ndarray>W))
    if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &c):
        return None
    state = release(c.size[N] * c.size[D] * c.size[M])
    sn_affine_forward(c.type, c.size[N], c.size[D], c.size[M], c.data[0], c.data[1], c.data[2], c.data[3])
    restore(state)
    return out


def quick_affine_backward(dout, x, W, dW, db):
    """Return dx, with dW and db (or None) written, or None."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    if not (is_plain(x) and is_plain(W) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2):
        return None
    dx = new_array(2, cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.PyArray_TYPE(<cnp.ndarray>W))
    if not bind(&_affine_backward, [<PyObject *>dout, <PyObject *>x, <PyObject *>W,
                                    <PyObject *>dx, <PyObject *>dW, <PyObject *>db], &c):
        return None
    state = release(2 * c.size[N] * c.size[D] * c.size[M])
    sn_affine_backward(c.type, c.size[N], c.size[D], c.size[M],
                       c.data[0], c.data[1], c.data[2], c.data[3], c.data[4], c.data[5])
    restore(state)
    return dx


ctypedef void (*forward_kernel)(sn_type, sn_size, const void *, void *) noexcept nogil
ctypedef void (*backward_kernel)(sn_type, sn_size, const void *, const void *, void *) noexcept nogil


cdef object elementwise_forward(forward_kernel kernel, const Contract *contract, object x):
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray out
    if not is_plain(x):
        return None
    out = new_array(cnp.PyArray_NDIM(<cnp.ndarray>x), cnp.PyArray_DIMS(<cnp.ndarray>x),
                    cnp.PyArray_TYPE(<cnp.ndarray>x))
    if not bind(contract, [<PyObject *>x, <PyObject *>out], &c):
        return None
    state = release(c.size[n])
    kernel(c.type, c.size[n], c.data[0], c.data[1])
    restore(state)
    return out


cdef object elementwise_backward(backward_kernel kernel, const Contract *contract, object dout, object y):
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    if not is_plain(y):
        return None
    dx = new_array(cnp.PyArray_NDIM(<cnp.ndarray>y), cnp.PyArray_DIMS(<cnp.ndarray>y),
                   cnp.PyArray_TYPE(<cnp.ndarray>y))
    if not bind(contract, [<PyObject *>dout, <PyObject *>y, <PyObject *>dx], &c):
        return None
    state = release(c.size[n])
    kernel(c.type, c.size[n], c.data[0], c.data[1], c.data[2])
    restore(state)
    return dx


def quick_sigmoid_forward(x):
    """Return the sigmoid of x, or None."""
    return elementwise_forward(sn_sigmoid_forward, &_sigmoid_forward, x)


def quick_sigmoid_backward(dout, y):
    """Return dout (1 - y) y, or None."""
    return elementwise_backward(sn_sigmoid_backward, &_sigmoid_backward, dout, y)


def quick_relu_forward(x):
    """Return relu of x, or None."""
    return elementwise_forward(sn_relu_forward, &_relu_forward, x)


def quick_relu_backward(dout, y):
    """Return dout where y is positive, else 0, or None."""
    return elementwise_backward(sn_relu_backward, &_relu_backward, dout, y)


def quick_softmax_cross_entropy_forward(x, t):
    """Return the loss, the probabilities and the labels as class indices, or None.

    x has shape [N,C]; t is int64 [N], or one-hot of x's shape with C > 1.
    """
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray y, labels
    cdef double loss
    if not (is_plain(x) and cnp.PyArray_CheckExact(t) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2):
        return None
    labels = <cnp.ndarray>t
    if (cnp.PyArray_NDIM(labels) == 2 and cnp.PyArray_SAMESHAPE(labels, <cnp.ndarray>x)
            and cnp.PyArray_DIM(labels, 1) > 1 and cnp.PyArray_TYPE(labels) <= cnp.NPY_DOUBLE):
        labels = labels.argmax(1)
    y = new_array(2, cnp.PyArray_DIMS(<cnp.ndarray>x), cnp.PyArray_TYPE(<cnp.ndarray>x))
    if not bind(&_softmax_cross_entropy_forward, [<PyObject *>x, <PyObject *>labels, <PyObject *>y], &c):
        return None
    state = release(c.size[N] * c.size[C])
    loss = sn_softmax_cross_entropy_forward(c.type, c.size[N], c.size[C],
                                            c.data[0], <const sn_label *>c.data[1], c.data[2])
    restore(state)
    return loss, y, labels


def quick_softmax_cross_entropy_backward(y, t, double dout):
    """Return (y - onehot(t)) dout / N, or None."""
    cdef Call c
    cdef PyThreadState *state
    cdef cnp.ndarray dx
    if not (is_plain(y) and cnp.PyArray_NDIM(<cnp.ndarray>y) == 2):
        return None
    dx = new_array(2, cnp.PyArray_DIMS(<cnp.ndarray>y), cnp.PyArray_TYPE(<cnp.ndarray>y))
    if not bind(&_softmax_cross_entropy_backward, [<PyObject *>y, <PyObject *>t, <PyObject *>dx], &c):
        return None
    state = release(c.size[N] * c.size[C])
    sn_softmax_cross_entropy_backward(c.type, c.size[N], c.size[C],
                                      c.data[0], <const sn_label *>c.data[1], dout, c.data[2])
    restore(state)
    return dx


def quick_update(str kernel, params, grads, list states, numbers):
    """Update all parameters by one optimizer's kernel and return True; or change nothing and return False.

    `states` holds the optimizer's lists of arrays, one entry a parameter.
    """
    cdef Call calls[32]
    cdef PyObject *given[4]
    cdef sn_parameter parameter
    cdef double values[3]
    cdef PyThreadState *state
    cdef Py_ssize_t count, i, k, work = 0
    cdef const Contract *contract = &_sgd_update
    cdef sn_optimizer optimizer = _OPTIMIZERS[kernel]
    if len(states) == 1:
        contract = &_momentum_update
    elif len(states) == 2:
        contract = &_adam_update
    if type(params) is not list or type(grads) is not list:
        return False
    count = len(<list>params)
    if count > 32 or len(<list>grads) != count:
        return False
    for state_list in states:
        if type(state_list) is not list or len(<list>state_list) != count:
            return False
    for i in range(count):
        given[0], given[1] = <PyObject *>(<list>params)[i], <PyObject *>(<list>grads)[i]
        for k in range(len(states)):
            given[2 + k] = <PyObject *>(<list>states[k])[i]
        if not bind(contract, given, &calls[i]):
            return False
        work += calls[i].size[n]
    values[0] = values[1] = values[2] = 0
    i = 0
    for number in numbers:
        values[i] = number
        i += 1
    state = release(work)
    for i in range(count):
        parameter.n = calls[i].size[n]
        parameter.p, parameter.g = calls[i].data[0], calls[i].data[1]
        parameter.state[0], parameter.state[1] = calls[i].data[2], calls[i].data[3]
        sn_update(calls[i].type, optimizer, &parameter, values)
    restore(state)
    return True


# Whole training steps

_ACTIVATIONS = {None: SN_NO_ACTIVATION, "sigmoid": SN_SIGMOID, "relu": SN_RELU}
_OPTIMIZERS = {
    "sgd_update": SN_SGD, "momentum_update": SN_MOMENTUM, "nesterov_update": SN_NESTEROV,
    "adagrad_update": SN_ADAGRAD, "rmsprop_update": SN_RMSPROP, "adam_update": SN_ADAM,
}
_DATA_TYPES = {
    "uint8": SN_DATA_U8, "bool": SN_DATA_U8, "int8": SN_DATA_I8, "int16": SN_DATA_I16, "int32": SN_DATA_I32,
    "int64": SN_DATA_I64, "float32": SN_DATA_F32, "float64": SN_DATA_F64,
}


cdef class Steps:
    """Whole training steps of a chain of layers in C, the arrays being the layers' and the optimizer's own.

    Parameters
    ----------
    layers : list of (W, b, dW, db, activation)
        Of each layer, in order; activation is "sigmoid", "relu" or None.
    parameters : list of (p, g, states)
        What the optimizer updates: every parameter or stretch of parameters, flat, with its state arrays.
    optimizer : str
        The optimizer's kernel.
    batch : int
        Samples in a step.
    max_grad : float or None
        Largest norm of all gradients together.

    Raises
    ------
    ValueError
        An array is not what the kernels take.
    """

    cdef sn_plan plan
    cdef list held                  # every array that C points into
    cdef cnp.ndarray data           # samples [rows, D]
    cdef const int64_t[::1] labels  # [rows]
    cdef sn_data data_type

    def __init__(self, layers, parameters, optimizer, batch, max_grad):
        dtype = layers[0][0].dtype
        self.held = [layers, parameters]
        x = self.scratch((batch, layers[0][0].shape[0]), dtype)
        self.plan.x = cnp.PyArray_DATA(x)
        self.plan.t = <sn_label *>cnp.PyArray_DATA(self.scratch((batch,), np.int64))
        widest = max(W.shape[1] for W, *_ in layers)
        self.plan.dout = cnp.PyArray_DATA(self.scratch((batch, widest), dtype))
        self.plan.dx = cnp.PyArray_DATA(self.scratch((batch, widest), dtype))
        self.plan.y = cnp.PyArray_DATA(self.scratch((batch, layers[len(layers) - 1][0].shape[1]), dtype))
        self.plan.batch = batch
        self.plan.max_grad = -1 if max_grad is None else max_grad
        self.plan.optimizer = _OPTIMIZERS[optimizer]
        self.plan.layers = len(layers)
        self.plan.layer = <sn_layer *>cnp.PyArray_DATA(self.scratch((len(layers) * sizeof(sn_layer),), np.uint8))
        for k, (W, b, dW, db, activation) in enumerate(layers):
            out = self.scratch((batch, W.shape[1]), dtype)
            self.set_layer(&self.plan.layer[k], x, W, b, dW, db, out)
            self.plan.layer[k].activation = _ACTIVATIONS[activation]
            x = out
        self.plan.parameters = len(parameters)
        self.plan.parameter = <sn_parameter *>cnp.PyArray_DATA(
            self.scratch((len(parameters) * sizeof(sn_parameter),), np.uint8))
        for k, (p, g, states) in enumerate(parameters):
            self.set_parameter(&self.plan.parameter[k], p, g, states)

    cdef cnp.ndarray scratch(self, shape, dtype):
        cdef cnp.ndarray array = np.zeros(shape, dtype)
        self.held.append(array)
        return array

    cdef int set_layer(self, sn_layer *layer, x, W, b, dW, db, out) except -1:
        """Point at the arrays of a layer, checked by the contracts of its two products."""
        cdef Call c
        dx = np.empty_like(x)
        if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &c):
            _prepared("affine_forward", x, W, b, out)
        layer.W, layer.b, layer.out = c.data[1], c.data[2], c.data[3]
        if not bind(&_affine_backward, [<PyObject *>out, <PyObject *>x, <PyObject *>W,
                                        <PyObject *>dx, <PyObject *>dW, <PyObject *>db], &c):
            _prepared("affine_backward", out, x, W, dx, dW, db)
        layer.dW, layer.db = c.data[4], c.data[5]
        layer.D, layer.M = c.size[D], c.size[M]
        self.plan.type = c.type
        return 0

    cdef int set_parameter(self, sn_parameter *parameter, p, g, states) except -1:
        """Point at a parameter with its gradient and states, checked by the contract of Adam's update."""
        cdef Call c
        s1, s2 = [*states, np.empty_like(p), np.empty_like(p)][:2]
        self.held += [s1, s2]
        if not bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>s1, <PyObject *>s2], &c):
            _prepared("adam_update", p, g, s1, s2, 0, 0, 0)
        parameter.n, parameter.p, parameter.g = c.size[n], c.data[0], c.data[1]
        parameter.state[0], parameter.state[1] = c.data[2], c.data[3]
        return 0

    @staticmethod
    def takes(data):
        """Whether samples lie in memory so that C can gather and cast them: rows of native numbers."""
        return (isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.name in _DATA_TYPES
                and data.dtype.isnative and data.flags.aligned
                and (data.shape[1] <= 1 or data.strides[1] == data.itemsize))

    def set_data(self, cnp.ndarray data not None, const int64_t[::1] labels not None):
        """Train from now on with these samples [rows, D] and checked class indices [rows].

        Raises
        ------
        ValueError
            They do not fit each other or the first layer.
        """
        if not self.takes(data) or data.shape[1] != self.plan.layer[0].D or data.shape[0] != labels.shape[0]:
            raise ValueError("set_data: samples and labels are not those that these steps can train on")
        self.data, self.labels = data, labels
        self.data_type = _DATA_TYPES[data.dtype.name]

    def run(self, const int64_t[::1] order not None, numbers, int64_t updates):
        """Train on the rows in order, batch after batch, and return the loss of each step.

        Parameters
        ----------
        order
            Rows to train on; numbers left over from whole batches are not used.
        numbers
            Of the optimizer's kernel (Adam's learning rate uncorrected).
        updates
            Updates made before.

        Raises
        ------
        IndexError
            A number in order is no row.
        ValueError
            There is no data yet.
        """
        cdef sn_size steps = order.shape[0] // self.plan.batch
        cdef cnp.ndarray loss
        cdef double *losses
        cdef int i = 0
        if self.data is None:
            raise ValueError("run: set_data comes first")
        if steps == 0:
            return []
        if sn_find_label_outside(order.shape[0], &order[0], self.labels.shape[0]) != -1:
            raise IndexError("run: order holds a number that is no row of the data")
        for number in numbers:
            self.plan.numbers[i] = number
            i += 1
        self.plan.updates = updates
        loss = np.empty(steps)
        losses = <double *>cnp.PyArray_DATA(loss)
        with nogil:
            sn_plan_run(&self.plan, steps, &order[0], cnp.PyArray_DATA(self.data), self.data_type,
                        cnp.PyArray_STRIDE(self.data, 0), &self.labels[0], losses)
        return loss.tolist()
