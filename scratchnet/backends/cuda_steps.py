"""Whole training steps on a GPU: everything stays there until the losses of a run are read.

A step is what the layers do one by one, in one of three ways (cuda_steps.cu says more):

    layers   a launch per product, or cuBLAS; for nets of any size
    rows     three launches: the first layer's products, each sample through all layers, each parameter's gradient
             and update; for narrow layers
    block    all steps of a run in one launch of one block; for the smallest nets

What a step must know (which samples, which learning rate, how many steps are done) is in device memory, and
all memory is there before the first step: so the launches of some steps are captured in a graph once, which
is then launched again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import cublas, cuda, gpu
from .cuda import ACTIVATIONS, OPTIMIZERS, Array, launch

Layers = Sequence[tuple[Array, Array, Array, Array, str | None]]
Parameters = Sequence[tuple[Array, Array, Sequence[Array]]]

# As in cuda_steps.cu
DATA_TYPES = {
    name: number
    for number, name in enumerate(("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"))
}
MAX_STATES = 2
TILE_ROWS, CHUNK = 8, 32  # samples and inputs of a block of step_products
TILE_INPUTS = 4  # rows of a layer's gradients, [D+1,M], of a block of step_gradients
STORE, AHEAD = 40960, 4  # bytes that step_block has for its numbers; numbers of a batch that a thread reads ahead

# Choices that change nothing but the speed, measured on an H200; GRAPH_OPERATIONS is an estimate.
STEPS_OF_GRAPH = 16
GRAPH_OPERATIONS = 2e10  # of a step: beyond, the GPU takes longer for it than its launches take, one by one
MOST_CLASSES = 32  # for a warp, or a thread, to take the loss of a sample
BLOCK_PRODUCTS = 25_000  # up to this many (samples x parameters) a step is one block's work
ROWS_PRODUCTS = 40_000_000  # and up to this many a sample is


class PlanRunner:
    """Whole training steps of a chain of layers, on the layers' and the optimizer's own arrays.

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
    way : {"layers", "rows", "block"}, optional
        How a step is computed; chosen by the sizes unless given.

    Raises
    ------
    ValueError
        An array does not suit the kernels, or the way does not suit these layers.
    NoGPUError
        No GPU is available.
    """

    def __init__(
        self,
        layers: Layers,
        parameters: Parameters,
        optimizer: str,
        batch: int,
        max_grad: float | None,
        *,
        way: str | None = None,
    ) -> None:
        self._cupy = gpu.load_cupy()
        zeros = self._cupy.zeros
        self._count = sum(W.size + b.size for W, b, *_ in layers)
        self.way = _checked_way(way, [W.shape for W, *_ in layers], batch, layers[0][0].itemsize)
        self._layers = layers
        self._dtype = layers[0][0].dtype
        self._batch = batch
        self._outputs = [zeros((batch, W.shape[1]), self._dtype) for W, *_ in layers]
        self._inputs = [zeros((batch, layers[0][0].shape[0]), self._dtype), *self._outputs[:-1]]
        self._gradients = [zeros(out.shape, self._dtype) for out in self._outputs]  # before the activations
        self._check(parameters)
        # The launch of the last one ends a step, which wants many threads.
        self._parameters = sorted(parameters, key=lambda entry: entry[0].size)
        self._optimizer = optimizer
        self._squares_at = self._places_of_squares()
        self._max_grad = -1.0 if max_grad is None else float(max_grad)
        self._squares = None if max_grad is None else zeros(self._squares_at[-1], np.float64)
        self._t, self._terms = zeros(batch, np.int64), zeros(batch, np.float64)
        chunks = cuda.ceil_div(layers[0][0].shape[0], CHUNK) if self.way == "rows" else 0
        self._products = zeros((chunks, *self._outputs[0].shape), self._dtype)
        self._layer_table = self._cupy.asarray(self._rows_of_layers(parameters))
        self._run_table = zeros(_RUN_NUMBERS + _PROGRESS_NUMBERS, np.int64)
        self._data = self._labels = None
        self._order = self._numbers = self._losses = None  # of a run; grown as needed
        self._stream = self._cupy.cuda.Stream(non_blocking=True)
        has_blas = self.way == "layers" and cublas.load() is not None
        self._blas = cublas.borrow(self._cupy, self) if has_blas else None
        self._has_graphs = 6 * batch * self._count < GRAPH_OPERATIONS
        self._graph: Any = None
        self._is_warm = False

    def _check(self, parameters: Parameters) -> None:
        for (W, b, dW, db, _), x, out in zip(self._layers, self._inputs, self._outputs, strict=True):
            cuda.check_call("affine_forward", x, W, b, out)
            cuda.check_call("affine_backward", out, x, W, None, dW, db)
        for p, g, states in parameters:
            spare = [self._cupy.empty_like(p) for _ in range(MAX_STATES - len(states))]
            cuda.check_call("adam_update", p, g, *states, *spare, 0, 0, 0, 0)

    def _places_of_squares(self) -> list[int]:
        """Return where the blocks of each launch that adds up squares begin, and how many blocks there are."""
        if self.way == "block":
            return [0, 1]
        if self.way == "rows":
            return [0, self._gradient_blocks]
        return [0, *np.cumsum([cuda.element_blocks(p.size) for p, *_ in self._parameters]).tolist()]

    @property
    def _gradient_blocks(self) -> int:
        """Blocks of step_gradients that have gradients; one more has the loss."""
        return sum(cuda.ceil_div(len(W) + 1, TILE_INPUTS) for W, *_ in self._layers)

    def _rows_of_layers(self, parameters: Parameters) -> np.ndarray:
        """Return cuda_steps.cu's struct Layer of every layer."""
        rows = []
        arrays = zip(self._layers, self._inputs, self._outputs, self._gradients, strict=True)
        for (W, b, dW, db, activation), x, out, dz in arrays:
            states = [*_states_of(W, parameters), *_states_of(b, parameters)]
            rows.append([*W.shape, ACTIVATIONS[activation], *map(_pointer, (x, W, b, dW, db, out, dz)), *states])
        return np.array(rows, np.int64)

    def _row_of_run(self, steps: int) -> np.ndarray:
        """Return cuda_steps.cu's struct Run, with the progress behind it."""
        assert self._data is not None
        numbers = _pointer(self._numbers)
        row = [
            self._batch,
            len(self._layers),
            self._count,
            OPTIMIZERS[self._optimizer],
            self._squares_at[-1],
            DATA_TYPES[self._data.dtype.name],
            *map(_pointer, (self._data, self._labels, self._order)),
            *map(_pointer, (self._inputs[0], self._t, self._products, self._terms, self._losses, self._squares)),
            numbers + _NUMBERS * 8,
            numbers,
        ]
        assert len(row) == _RUN_NUMBERS
        return np.array([*row, 0, 0, steps], np.int64)

    @staticmethod
    def takes(data: object) -> bool:
        """Whether samples are rows of numbers that a kernel can gather and cast: on the host or the GPU."""
        if not isinstance(data, np.ndarray | gpu.load_cupy().ndarray):
            return False
        samples: Any = data
        return bool(samples.ndim == 2 and samples.dtype.name in DATA_TYPES and samples.dtype.isnative)

    def set_data(self, data: Array, labels: Array) -> None:
        """Train with these samples from now on, [rows, D], and checked class indices, [rows], uploaded once.

        Raises
        ------
        ValueError
            Their sizes do not match each other or the first layer.
        """
        fits = self.takes(data) and data.shape[1] == self._inputs[0].shape[1] and data.shape[0] == len(labels)
        if not fits or labels.dtype != np.int64 or labels.ndim != 1:
            raise ValueError("set_data: these steps cannot train on these samples and labels")
        self._data, self._labels = gpu.to_device(data), gpu.to_device(labels)

    def run(self, order: np.ndarray, rates: Sequence[float], others: Sequence[float]) -> list[float]:
        """Train on the rows in order, batch after batch, and return the loss of each step.

        Parameters
        ----------
        order
            Rows to train on; those beyond the last whole batch are not used.
        rates
            The learning rate of each step.
        others
            The scalars that the optimizer's kernel takes after the learning rate, at most three.

        Raises
        ------
        IndexError
            An entry of order is out of range.
        ValueError
            No data has been set, or there are too few rates.
        """
        if self._data is None:
            raise ValueError("run: call set_data first")
        steps = len(order) // self._batch
        if steps == 0:
            return []
        if order.dtype.kind not in "iu":
            raise ValueError(f"run: order must contain row indices, got dtype {order.dtype}")
        if order.min() < 0 or order.max() >= len(self._data):
            raise IndexError("run: order contains an out-of-range row index")
        if len(rates) < steps:
            raise ValueError(f"run: there are {len(rates)} learning rates for {steps} steps")
        self._upload(order, rates, others, steps)
        self._cupy.cuda.get_current_stream().synchronize()  # the caller's work on the parameters
        try:
            with self._stream:
                if self.way == "block":
                    self._launch_step_kernel("step_block", 1)
                else:
                    self._launch_steps(steps)
        finally:
            self._stream.synchronize()  # nothing keeps running after return, whatever was raised
        losses: list[float] = self._losses[:steps].get().tolist()
        return losses

    def _upload(self, order: np.ndarray, rates: Sequence[float], others: Sequence[float], steps: int) -> None:
        """Upload everything that this run needs."""
        three = (*others, 0.0, 0.0, 0.0)[:3]
        self._order = self._filled(self._order, np.asarray(order, np.int64))
        self._numbers = self._filled(self._numbers, np.array([*three, self._max_grad, *rates[:steps]]))
        if self._losses is None or len(self._losses) < steps:
            self._losses = self._cupy.zeros(steps, np.float64)
        self._run_table.set(self._row_of_run(steps))

    def _filled(self, array: Array | None, values: np.ndarray) -> Array:
        """Return an array that begins with these values: the given one, if they fit in it."""
        if array is None or len(array) < len(values):
            return self._cupy.asarray(values)
        array[: len(values)].set(values)
        return array

    # Launches

    def _launch_steps(self, steps: int) -> None:
        if self.way == "layers":
            self._launch_step_kernel("step_gather", cuda.element_blocks(self._inputs[0].size + self._batch))
        if not self._is_warm:  # the first launch of a kernel loads it, which must not happen during graph capture
            self._step()
            self._is_warm = True
            steps -= 1
        graphs, steps = divmod(steps, STEPS_OF_GRAPH) if self._has_graphs else (0, steps)
        if graphs and self._graph is None:
            self._graph = self._captured()
        for _ in range(graphs):
            self._graph.launch()
        for _ in range(steps):
            self._step()

    def _captured(self) -> Any:
        """Return the graph of some steps; the stream is restored, whatever happens."""
        self._stream.begin_capture()
        try:
            for _ in range(STEPS_OF_GRAPH):
                self._step()
        finally:
            graph = self._stream.end_capture()
        return graph

    def _launch_step_kernel(self, name: str, blocks: int, *more: Any) -> None:
        launch(name, self._dtype, blocks, self._run_table, self._layer_table, *more)

    def _step(self) -> None:
        if self.way == "rows":
            tiles = cuda.ceil_div(self._batch, TILE_ROWS)
            self._launch_step_kernel("step_products", tiles * len(self._products))
            self._launch_step_kernel("step_rows", self._batch)
            self._launch_step_kernel("step_gradients", self._gradient_blocks + 1)
            if self._squares is not None:
                self._update(gathers=0)
            return
        self._forward()
        self._backward()
        if self._squares is not None:
            for (_, g, _), first in zip(self._parameters, self._squares_at, strict=False):
                self._launch_step_kernel("step_squares", cuda.element_blocks(g.size), g, g.size, first)
        self._update(gathers=1)

    def _forward(self) -> None:
        for (W, b, *_, activation), x, out in zip(self._layers, self._inputs, self._outputs, strict=True):
            cuda.launch_affine_forward(x, W, b, out, activation, self._blas)
        self._launch_step_kernel(*cuda.row_kernel("step_loss", *self._outputs[-1].shape))

    def _backward(self) -> None:
        for k in reversed(range(len(self._layers))):
            W, _, dW, db, _ = self._layers[k]
            dx = self._gradients[k - 1] if k else None
            before = self._layers[k - 1][-1] if k else None
            cuda.launch_affine_backward(self._gradients[k], self._inputs[k], W, dx, dW, db, before, self._blas)

    def _update(self, gathers: int) -> None:
        """Launch the updates of all parameters; the last one ends the step."""
        for p, g, states in self._parameters:
            ends = int(p is self._parameters[-1][0])
            blocks = max(cuda.element_blocks(p.size), ends)
            arrays = (p, g, *states, None, None)[: 2 + MAX_STATES]
            self._launch_step_kernel("step_update", blocks, *arrays, p.size, ends, gathers)


_RUN_NUMBERS = 17  # of cuda_steps.cu's struct Run
_PROGRESS_NUMBERS = 3
_NUMBERS = 4  # the optimizer's three after lr and the largest norm, before the learning rates


def _checked_way(way: str | None, shapes: Sequence[tuple[int, int]], batch: int, itemsize: int) -> str:
    """Return the way, or the one that is best for layers of these shapes, [D,M].

    Raises
    ------
    ValueError
        It is unknown, or it cannot take these layers.
    """
    widths = [M for _, M in shapes]
    inputs = shapes[0][0]
    parameters = sum((D + 1) * M for D, M in shapes)
    if widths[-1] == 0:
        raise ValueError("PlanRunner: the last layer has no outputs, so there are no classes")
    in_rows = 0 < min(widths) <= max(widths) <= cuda.THREADS and max(parameters, batch * inputs) < 2**31
    numbers = 2 * parameters + batch * (inputs + 2 * sum(widths))
    in_block = (
        min(inputs, *widths) > 0
        and batch <= cuda.THREADS
        and batch * inputs <= AHEAD * cuda.THREADS
        and numbers * itemsize <= STORE
    )
    if way is None:
        products = batch * parameters if widths[-1] <= MOST_CLASSES else float("inf")
        if in_block and products <= BLOCK_PRODUCTS:
            return "block"
        return "rows" if in_rows and products <= ROWS_PRODUCTS else "layers"
    if way not in ("layers", "rows", "block"):
        raise ValueError(f'PlanRunner: way must be "layers", "rows" or "block", got {way!r}')
    if way == "rows" and not in_rows:
        raise ValueError(f"PlanRunner: 'rows' takes layers of 1 to {cuda.THREADS} outputs, got {widths}")
    if way == "block" and not in_block:
        raise ValueError(f"PlanRunner: 'block' cannot hold layers {[*shapes]} and {batch} samples")
    return way


def _pointer(array: Array | None) -> int:
    return 0 if array is None else int(array.data.ptr)


def _states_of(array: Array, parameters: Parameters) -> list[int]:
    """Return the addresses of an array's states, found by the array's place in a parameter's memory.

    Raises
    ------
    ValueError
        The optimizer does not update the array.
    """
    if array.size == 0:
        return [0] * MAX_STATES
    for p, _, states in parameters:
        offset = array.data.ptr - p.data.ptr
        if 0 <= offset < p.nbytes:
            return ([_pointer(state) + offset for state in states] + [0] * MAX_STATES)[:MAX_STATES]
    raise ValueError("PlanRunner: a layer's array is not one of the optimizer's parameters")
