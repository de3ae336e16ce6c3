# Whole training steps

cimport cython
from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t

_KINDS = {"affine": SN_AFFINE, "sigmoid": SN_SIGMOID, "relu": SN_RELU, "tanh": SN_TANH, "dropout": SN_DROPOUT,
          "convolution": SN_CONVOLUTION, "pooling": SN_POOLING, "batch_normalization": SN_NORMALIZATION}
_LOSSES = {"softmax_cross_entropy": SN_SOFTMAX_LOSS, "sigmoid_cross_entropy": SN_SIGMOID_LOSS,
           "squared_error": SN_SQUARED_LOSS}
_DATA_TYPES = {np.dtype(name): code for name, code in (
    ("uint8", SN_DATA_U8), ("bool", SN_DATA_BOOL), ("int8", SN_DATA_I8), ("int16", SN_DATA_I16),
    ("int32", SN_DATA_I32), ("int64", SN_DATA_I64), ("float32", SN_DATA_F32), ("float64", SN_DATA_F64),
)}


@cython.final
@cython.auto_pickle(False)
cdef class PlanRunner:
    """Whole training steps of a chain of layers in C, on the layers' and the optimizer's own arrays.

    Parameters
    ----------
    layers : list of Step
        The layers in order, as `plan.py` describes them.
    loss : str
        The loss's role.
    parameters : list of (p, g, states)
        What the optimizer updates: the coalesced parameters, flat, with their gradients and states.
    optimizer : str
        The optimizer's kernel.
    batch : int
        Samples per step, at most.
    max_grad : float or None
        Largest norm of all gradients together; None means no clipping.
    decay : float
        Weight decay, of the weights of affine layers and convolutions.
    is_weighted : bool
        Whether samples have weights.
    is_decay_shared : bool
        Whether the decay is divided by the number of a batch's samples, or the sum of their weights.
    delta, clip : float
        As the kernels of the losses take them.
    loss_factor, gradient_factor : float
        What the loss, without the decay, and its gradient are multiplied by.

    Attributes
    ----------
    nbytes : int
        Size of what is allocated here.
    masks : list of (int, int)
        Of each dropout layer the place in `layers` and the numbers of its mask for a sample.

    Raises
    ------
    ValueError
        An array does not suit the kernels, or a batch has no samples.
    """

    cdef sn_plan plan
    cdef list held                  # every array that C points into
    cdef tuple data                 # samples [rows, D], labels or targets [rows(, outputs)], weights [rows]
    cdef sn_samples samples
    cdef sn_size rows, epoch
    cdef object dtype
    cdef readonly object nbytes
    cdef readonly list masks

    def __cinit__(self, list layers not None, loss, parameters, optimizer, batch, max_grad, decay=0.0, *,
                  is_weighted=False, is_decay_shared=False, double delta=1e-7, double clip=0,
                  double loss_factor=1, double gradient_factor=1):
        cdef sn_size width
        cdef void *out
        if batch < 1 or not layers:
            raise ValueError(f"PlanRunner: batch must be at least 1, got {batch}, and there must be layers")
        self.held, self.nbytes, self.masks = [layers, parameters], 0, []
        self.dtype = parameters[0][0].dtype
        self.plan.type = SN_FLOAT64 if self.dtype == np.float64 else SN_FLOAT32
        self.plan.batch = batch
        self.plan.inputs, self.plan.outputs = layers[0].inputs, layers[len(layers) - 1].outputs
        self.plan.loss = _LOSSES[loss]
        self.plan.max_grad = -1 if max_grad is None else max_grad
        self.plan.decay, self.plan.is_decay_shared = decay, is_decay_shared
        self.plan.delta, self.plan.clip = delta, clip
        self.plan.loss_factor, self.plan.gradient_factor = loss_factor, gradient_factor
        self.plan.optimizer = _UPDATES[optimizer]
        self.plan.x = self.numbers(batch * self.plan.inputs)
        each = self.plan.outputs if self.plan.loss == SN_SIGMOID_LOSS else 1
        self.plan.t = <sn_label *>self.room(batch * each, np.int64)
        self.plan.y = self.numbers(batch * self.plan.outputs)
        self.plan.w = self.numbers(batch) if is_weighted else NULL
        width = max([max(layer.inputs, layer.outputs) for layer in layers])
        self.plan.dout, self.plan.dx = self.numbers(batch * width), self.numbers(batch * width)
        self.plan.layers = len(layers)
        self.plan.layer = <sn_layer *>self.room(len(layers) * sizeof(sn_layer), np.uint8)
        self.plan.first = -1
        self.plan.gradient = <sn_gradient *>self.room(2 * len(layers) * sizeof(sn_gradient), np.uint8)
        out = self.plan.x
        for k, layer in enumerate(layers):
            if k and layer.inputs != layers[k - 1].outputs:
                raise ValueError("PlanRunner: a layer does not take what the one before it gives")
            self.set_layer(k, layer, out)
            out = self.plan.layer[k].out
        if self.plan.first < 0:
            raise ValueError("PlanRunner: there are no parameters")
        self.plan.parameters = len(parameters)
        self.plan.parameter = <sn_parameter *>self.room(len(parameters) * sizeof(sn_parameter), np.uint8)
        for k, (p, g, states) in enumerate(parameters):
            self.set_parameter(&self.plan.parameter[k], p, g, states)

    cdef void *room(self, sn_size count, dtype) except NULL:
        cdef cnp.ndarray array = np.zeros(max(count, 1), dtype)
        self.held.append(array)
        self.nbytes += array.nbytes
        return cnp.PyArray_DATA(array)

    cdef void *numbers(self, sn_size count) except NULL:
        return self.room(count, self.dtype)

    cdef void *own(self, array, sn_size count) except NULL:
        """The memory of an array of the model's, kept alive: checked to have so many numbers in a row."""
        plain = np.asarray(array)
        if plain.dtype != self.dtype or not plain.flags.carray or plain.size != count:
            raise ValueError("PlanRunner: an array has a dtype, layout or size that the steps do not support")
        self.held.append(plain)
        return cnp.PyArray_DATA(<cnp.ndarray>plain) if count else self.numbers(1)

    cdef int set_layer(self, int k, given, void *x) except -1:
        """Fill in a layer, whose input is at x."""
        cdef sn_layer *to = &self.plan.layer[k]
        cdef sn_size N = self.plan.batch
        cdef sn_size weights = 0, columns = 0
        sizes = given.sizes
        to.kind = _KINDS[given.kind]
        to.M = given.outputs
        if to.kind == SN_AFFINE:
            to.D, weights, columns = given.inputs, given.inputs * given.outputs, given.outputs
        elif to.kind == SN_DROPOUT:
            to.D = self.plan.masks
            self.plan.masks += to.M
            self.masks.append((k, to.M))
        elif to.kind == SN_CONVOLUTION:
            to.C, to.H, to.W, to.M, to.P, to.Q, to.Y, to.X, to.stride, to.pad, to.at_once = sizes
            weights, columns = to.M * to.C * to.P * to.Q, to.M
            if to.C * to.H * to.W != given.inputs or to.M * to.Y * to.X != given.outputs or to.at_once < 1:
                raise ValueError("PlanRunner: a convolution's sizes do not fit")
            to.cache[0] = self.numbers(min(N, to.at_once) * to.C * to.P * to.Q * to.Y * to.X)
            to.cache[1] = self.numbers(min(N, to.at_once) * to.C * to.P * to.Q * to.Y * to.X)
        elif to.kind == SN_POOLING:
            to.C, to.H, to.W, to.P, to.Q, to.Y, to.X, to.stride = sizes
            if to.C * to.H * to.W != given.inputs or to.C * to.Y * to.X != given.outputs:
                raise ValueError("PlanRunner: a pooling's sizes do not fit")
            to.cache[0] = self.room(N * to.C * to.Y * to.X, np.int64)
        elif to.kind == SN_NORMALIZATION:
            to.M, to.L = sizes
            if to.M * to.L != given.outputs:
                raise ValueError("PlanRunner: a normalization's sizes do not fit")
            weights = columns = to.M
            for i in range(3):
                to.cache[i] = self.numbers(to.M)
            to.cache[3] = self.numbers(N * given.outputs)
            if to.L > 1:
                to.cache[4], to.cache[5] = self.numbers(N * given.outputs), self.numbers(N * given.outputs)
            for i in range(2):
                to.running[i] = self.own(given.arrays[4 + i], to.M)
        if weights or columns:
            W, b, dW, db = given.arrays[:4]
            to.weights, to.dW = self.own(W, weights), self.own(dW, weights)
            to.b, to.db = self.own(b, columns), self.own(db, columns)
            self.add_gradient(weights, to.dW, to.weights if to.kind != SN_NORMALIZATION else NULL)
            self.add_gradient(columns, to.db, NULL)
            if self.plan.first < 0:
                self.plan.first = k
        to.out = x if given.in_place else self.numbers(N * given.outputs)
        return 0

    cdef int add_gradient(self, sn_size count, void *g, const void *decayed) except -1:
        cdef sn_gradient *gradient = &self.plan.gradient[self.plan.gradients]
        gradient.n, gradient.g, gradient.decayed = count, g, decayed
        self.plan.gradients += 1
        return 0

    cdef int set_parameter(self, sn_parameter *parameter, p, g, states) except -1:
        """Point at a parameter with its gradient and states."""
        parameter.n = p.size
        parameter.p, parameter.g = self.own(p, p.size), self.own(g, p.size)
        for i in range(2):
            parameter.state[i] = self.own(states[i], p.size) if i < len(states) else NULL
        return 0

    @staticmethod
    def takes(data):
        """Whether C can gather and cast samples from where they are in memory: rows of native numbers."""
        return (isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype in _DATA_TYPES  # native ones
                and data.flags.aligned
                and (data.shape[1] <= 1 or data.strides[1] == data.itemsize))

    def set_data(self, cnp.ndarray data not None, cnp.ndarray labels not None, cnp.ndarray weights=None,
                 epoch=None):
        """Train with these samples from now on, [rows, D], and their labels.

        Labels are checked class indices, int64 [rows], for the sigmoid 0 or 1, [rows, outputs]; for the squared
        error rows of numbers [rows, outputs]. Weights are checked ones, float64 [rows]. An epoch is so many
        entries of an order, by default as many as whole batches of the rows have; its last batch is what is left.

        Raises
        ------
        ValueError
            Their sizes do not match each other or the layers.
        """
        cdef bint are_targets = self.plan.loss == SN_SQUARED_LOSS
        each = 1 if self.plan.loss == SN_SOFTMAX_LOSS else self.plan.outputs
        rows = data.shape[0]
        epoch = rows - rows % self.plan.batch if epoch is None else epoch
        fit = self.takes(labels) if are_targets else _is_plain(labels, np.int64)
        if weights is not None:
            fit = fit and _is_plain(weights, np.float64) and weights.ndim == 1 and len(weights) == rows
        if (not self.takes(data) or data.shape[1] != self.plan.inputs or not fit or labels.ndim == 0
                or (weights is not None) != (self.plan.w != NULL)
                or labels.shape[0] != rows or labels.size != rows * each or epoch < 0):
            raise ValueError("set_data: these steps cannot train on these samples and labels")
        self.data, self.rows, self.epoch = (data, labels, weights), rows, epoch
        self.samples.x = _rows_at(data)
        if are_targets:
            self.samples.targets = _rows_at(labels)
        else:
            self.samples.t = <const sn_label *>cnp.PyArray_DATA(labels)
        self.samples.w = <const double *>cnp.PyArray_DATA(weights) if weights is not None else NULL

    def forget_data(self):
        """Release the samples and labels."""
        self.data = None

    cdef const void *checked(self, const int64_t[::1] order, cnp.ndarray masks, momenta) except? NULL:
        """Check what steps on these rows need, set the momenta, and return where the masks are."""
        cdef int k
        if self.data is None:
            raise ValueError("run: call set_data first")
        if sn_find_label_outside(order.shape[0], &order[0], self.rows) != -1:
            raise IndexError("run: order contains an out-of-range row index")
        momenta = iter(momenta)
        for k in range(self.plan.layers):
            if self.plan.layer[k].kind == SN_NORMALIZATION:
                self.plan.layer[k].number = next(momenta)
        if not self.plan.masks:
            return NULL
        if (masks is None or masks.dtype != self.dtype or not masks.flags.c_contiguous
                or masks.size < order.shape[0] * self.plan.masks):
            raise ValueError("run: there are too few masks, or of another dtype")
        return cnp.PyArray_DATA(masks)

    def run(self, const int64_t[::1] order not None, list rates not None, others, cnp.ndarray masks=None,
            momenta=(), left=None):
        """Train on the rows in order, batch after batch, and return the loss of each step.

        Parameters
        ----------
        order
            Rows to train on; those beyond the last whole batch are not used.
        rates
            The learning rate of each step.
        others
            The scalars that the optimizer's kernel takes after the learning rate, at most three.
        masks
            The numbers that dropout multiplies by, if there is any: step after step, layer after layer, sample
            after sample.
        momenta
            The momentum of each batch normalization.
        left : int, optional
            Entries that are left of an epoch at the first step; all by default.

        Raises
        ------
        IndexError
            An entry of order is out of range.
        ValueError
            No data has been set, or there are too few rates or masks.
        """
        cdef sn_size steps = 0, rows = order.shape[0], of_epoch, batch
        cdef cnp.ndarray of_steps  # losses and learning rates
        cdef double *losses
        cdef double *step_rates
        cdef const void *masks_
        cdef Py_ssize_t step
        if rows == 0:
            return []
        masks_ = self.checked(order, masks, momenta)
        of_epoch = self.epoch if left is None else left
        if not 0 < of_epoch <= self.epoch:
            raise ValueError(f"run: left is {of_epoch}, in an epoch of {self.epoch}")
        batch = min(of_epoch, self.plan.batch)
        left = of_epoch
        while batch <= rows:
            steps += 1
            rows -= batch
            of_epoch = of_epoch - batch if of_epoch > batch else self.epoch
            batch = min(of_epoch, self.plan.batch)
        if steps == 0:
            return []
        if len(rates) < steps:
            raise ValueError(f"run: there are {len(rates)} learning rates for {steps} steps")
        self.plan.numbers[0], self.plan.numbers[1], self.plan.numbers[2] = (*others, 0.0, 0.0, 0.0)[:3]
        of_steps = np.empty((2, steps))
        losses = <double *>cnp.PyArray_DATA(of_steps)
        step_rates = losses + steps
        for step in range(steps):
            step_rates[step] = rates[step]
        of_epoch = left
        with nogil:
            sn_plan_run(&self.plan, steps, self.epoch, of_epoch, &order[0], &self.samples, masks_, step_rates,
                        losses)
        return of_steps[0].tolist()

    def gradients(self, const int64_t[::1] order not None, cnp.ndarray masks=None, momenta=()):
        """Write the gradients of the mean loss of the rows in order, at most a batch, and return the loss.

        Weight decay is in both. Nothing is clipped or updated.

        Raises
        ------
        IndexError
            An entry of order is out of range.
        ValueError
            No data has been set, there are no rows or too many, or there are too few masks.
        """
        cdef const void *masks_
        cdef double loss
        if not 0 < order.shape[0] <= self.plan.batch:
            raise ValueError(f"gradients: {order.shape[0]} rows, expected 1 to {self.plan.batch}")
        masks_ = self.checked(order, masks, momenta)
        with nogil:
            loss = sn_plan_gradients(&self.plan, order.shape[0], &order[0], &self.samples, masks_)
        return loss


cdef bint _is_plain(cnp.ndarray array, dtype):
    return array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned


cdef sn_rows _rows_at(cnp.ndarray array):
    cdef sn_rows rows
    rows.data, rows.type = cnp.PyArray_DATA(array), _DATA_TYPES[array.dtype]
    rows.row_bytes = cnp.PyArray_STRIDE(array, 0)
    return rows


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
