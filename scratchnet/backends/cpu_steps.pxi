# Whole training steps

cimport cython
from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t

_ACTIVATIONS = {None: SN_NO_ACTIVATION, "sigmoid": SN_SIGMOID, "relu": SN_RELU}
_DATA_TYPES = {np.dtype(name): code for name, code in (
    ("uint8", SN_DATA_U8), ("bool", SN_DATA_BOOL), ("int8", SN_DATA_I8), ("int16", SN_DATA_I16),
    ("int32", SN_DATA_I32), ("int64", SN_DATA_I64), ("float32", SN_DATA_F32), ("float64", SN_DATA_F64),
)}


def _refuse(str name, *values):
    """Raise an error about plain arrays that a kernel of the steps does not support."""
    _prepared(name, *values)
    raise ValueError(f"PlanRunner: an array has a dtype or layout that {name} does not support")


@cython.final
@cython.auto_pickle(False)
cdef class PlanRunner:
    """Whole training steps of a chain of layers in C, on the layers' and the optimizer's own arrays.

    Parameters
    ----------
    layers : list of (W, b, dW, db, activation)
        One for each layer, in order; activation is "sigmoid", "relu" or None.
    parameters : list of (p, g, states)
        What the optimizer updates: the coalesced parameters, flat, with their gradients and states.
    optimizer : str
        The optimizer's kernel.
    batch : int
        Samples per step.
    max_grad : float or None
        Largest norm of all gradients together; None means no clipping.

    Raises
    ------
    ValueError
        An array does not suit the kernels, or a batch has no samples.
    """

    cdef sn_plan plan
    cdef list held                  # every array that C points into
    cdef cnp.ndarray data           # samples [rows, D]
    cdef const int64_t[::1] labels  # [rows]
    cdef sn_data data_type

    def __cinit__(self, layers, parameters, optimizer, batch, max_grad):
        if batch < 1:
            raise ValueError(f"PlanRunner: batch must be at least 1, got {batch}")
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
        self.plan.optimizer = _UPDATES[optimizer]
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

    cdef object plain(self, array):
        """The same data as a plain array, kept alive: a parameter may be a memory map, say."""
        array = np.asarray(array)
        self.held.append(array)
        return array

    cdef int set_layer(self, sn_layer *layer, x, W, b, dW, db, out) except -1:
        """Point at the arrays of a layer, checked by the contracts of its two products."""
        cdef Call c
        W, b, dW, db = self.plain(W), self.plain(b), self.plain(dW), self.plain(db)
        dx = np.empty_like(x)
        if not bind(&_affine_forward, [<PyObject *>x, <PyObject *>W, <PyObject *>b, <PyObject *>out], &c):
            _refuse("affine_forward", x, W, b, out)
        layer.W, layer.b, layer.out = c.data[1], c.data[2], c.data[3]
        if not bind(&_affine_backward, [<PyObject *>out, <PyObject *>x, <PyObject *>W,
                                        <PyObject *>dx, <PyObject *>dW, <PyObject *>db], &c):
            _refuse("affine_backward", out, x, W, dx, dW, db)
        layer.dW, layer.db = c.data[4], c.data[5]
        layer.D, layer.M = c.size[D], c.size[M]
        self.plan.type = c.type
        return 0

    cdef int set_parameter(self, sn_parameter *parameter, p, g, states) except -1:
        """Point at a parameter with its gradient and states, checked by the contract of Adam's update."""
        cdef Call c
        s1, s2 = [*states, np.empty_like(p), np.empty_like(p)][:2]
        p, g, s1, s2 = self.plain(p), self.plain(g), self.plain(s1), self.plain(s2)
        if not bind(&_adam_update, [<PyObject *>p, <PyObject *>g, <PyObject *>s1, <PyObject *>s2], &c):
            _refuse("adam_update", p, g, s1, s2, 0, 0, 0, 0)
        parameter.n, parameter.p, parameter.g = c.size[n], c.data[0], c.data[1]
        parameter.state[0], parameter.state[1] = c.data[2], c.data[3]
        return 0

    @staticmethod
    def takes(data):
        """Whether C can gather and cast samples from where they are in memory: rows of native numbers."""
        return (isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype in _DATA_TYPES  # native ones
                and data.flags.aligned
                and (data.shape[1] <= 1 or data.strides[1] == data.itemsize))

    def set_data(self, cnp.ndarray data not None, const int64_t[::1] labels not None):
        """Train with these samples from now on, [rows, D], and checked class indices, [rows].

        Raises
        ------
        ValueError
            Their sizes do not match each other or the first layer.
        """
        if not self.takes(data) or data.shape[1] != self.plan.layer[0].D or data.shape[0] != labels.shape[0]:
            raise ValueError("set_data: these steps cannot train on these samples and labels")
        self.data, self.labels = data, labels
        self.data_type = _DATA_TYPES[data.dtype]

    def forget_data(self):
        """Release the samples and labels."""
        self.data = self.labels = None

    def run(self, const int64_t[::1] order not None, list rates not None, others):
        """Train on the rows in order, batch after batch, and return the loss of each step.

        Parameters
        ----------
        order
            Rows to train on; those beyond the last whole batch are not used.
        rates
            The learning rate of each step.
        others
            The scalars that the optimizer's kernel takes after the learning rate, at most two.

        Raises
        ------
        IndexError
            An entry of order is out of range.
        ValueError
            No data has been set, or there are too few rates.
        """
        cdef sn_size steps = order.shape[0] // self.plan.batch
        cdef cnp.ndarray of_steps  # losses and learning rates
        cdef double *losses
        cdef double *step_rates
        cdef Py_ssize_t step
        if self.data is None:
            raise ValueError("run: call set_data first")
        if steps == 0:
            return []
        if sn_find_label_outside(order.shape[0], &order[0], self.labels.shape[0]) != -1:
            raise IndexError("run: order contains an out-of-range row index")
        if len(rates) < steps:
            raise ValueError(f"run: there are {len(rates)} learning rates for {steps} steps")
        self.plan.numbers[0], self.plan.numbers[1], self.plan.numbers[2] = (*others, 0.0, 0.0, 0.0)[:3]
        of_steps = np.empty((2, steps))
        losses = <double *>cnp.PyArray_DATA(of_steps)
        step_rates = losses + steps
        for step in range(steps):
            step_rates[step] = rates[step]
        with nogil:
            sn_plan_run(&self.plan, steps, &order[0], cnp.PyArray_DATA(self.data), self.data_type,
                        cnp.PyArray_STRIDE(self.data, 0), &self.labels[0], step_rates, losses)
        return of_steps[0].tolist()


def bias_corrected_rates(double lr, double beta1, double beta2, int64_t updates, Py_ssize_t steps):
    """Return Adam's rates, lr sqrt(1 - beta2^k) / (1 - beta1^k), for the `steps` updates k after `updates`.

    They correct m and v for their start at 0. Source: D. Kingma and J. Ba, *Adam*, 2015, section 2.
    """
    cdef double k
    cdef Py_ssize_t step
    rates = []
    for step in range(1, steps + 1):
        k = <double>(updates + step)
        rates.append(lr * sqrt(1 - pow(beta2, k)) / (1 - pow(beta1, k)))
    return rates
