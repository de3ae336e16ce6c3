"""The recurrent cells over time: what RNN, LSTM and GRU compute, and which of it all time steps share.

Time comes first here, [T, N, D], so that the rows of one step are contiguous. The input's part of the gates is
one product for all steps, and so is every gradient of a weight; only the state's own product has to wait for the
step before it. A cell's gates share one product and one kernel.

Source: *Deep Learning from Scratch* 2, ch. 5 and 6 and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, as_array, as_operand, as_row, check_parameter, check_row, empty, rows_of
from ._base import Held, Layer
from ._compute import computed
from .backends import backend_for


def time_first(xs: Array) -> Array:
    """Return [N, T, D] as a new array [T, N, D], or back."""
    new: Array = xs.swapaxes(0, 1).copy()
    return new


def _steps(A: Array) -> range:
    """Return the time steps of A [T, N, D]; none if a step is empty: there may be any number of those."""
    return range(len(A) if A.size else 0)


def _recurrent_gradient(k: Any, W: Array, steps: int) -> Callable[[Array, Array], None]:
    """Return a function that writes dx = d W' into dx; W is transposed once if that pays over this many steps."""
    if steps < 3:
        W = W if W.flags.c_contiguous else W.copy()  # a subset of a GRU's columns
        return lambda d, dx: k.matmul_transposed(d, W, dx)
    transposed = W.T.copy()
    return lambda d, dx: k.affine_forward(d, transposed, None, dx)


class Recurrent(Layer):
    """Base of the recurrent layers: weights, and the products that are computed for all time steps at once.

    A cell type declares its numbers of gates and states, and runs them step by step. States are kept
    as arrays [T+1, N, H], the first entry being the one before the first step.
    """

    _gates: ClassVar[int]
    _states: ClassVar[tuple[str, ...]] = ("h",)
    _kept: tuple[Array, list[Array], Any] | None = None  # the input, the states, and what the cells keep
    _shown: ClassVar[tuple[str, ...]] = ("Wx", "Wh", "b")
    Wx = Held("params", 0, "The weights of the input, `params[0]`.")
    Wh = Held("params", 1, "The weights of the state, `params[1]`.")
    b = Held("params", 2, "The bias, `params[2]`.")
    dWx = Held("grads", 0, "The gradient of Wx, `grads[0]`.")
    dWh = Held("grads", 1, "The gradient of Wh, `grads[1]`.")

    def __init__(self, Wx: Array, Wh: Array, b: Array | float | None = None) -> None:
        super().__init__()
        self.params = [check_parameter(self._error(name), W, ndim=2) for name, W in (("Wx", Wx), ("Wh", Wh))]
        if b is not None:
            self.params.append(check_row(self._error("b"), b))
        self.grads = [np.zeros_like(as_array(p), None if np.ndim(p) else Wx.dtype) for p in self.params]
        self._weights()

    def _weights(self) -> tuple[Array, Array, Array | None]:
        """Return Wx, Wh and the bias or None as the kernels need them."""
        Wx, Wh, b = self.params if len(self.params) == 3 else (*self.params, None)
        if type(Wx) is not np.ndarray or Wx.ndim != 2 or Wx.dtype.kind != "f":
            check_parameter("Wx", Wx, ndim=2)
        Wx = computed(as_operand("Wx", Wx, Wx))
        Wh = as_operand("Wh", Wh, Wx)
        (D, columns), H = Wx.shape, len(Wh)
        width = self._gates * H
        b_fits = b is None or np.shape(b) in ((width,), (1, width), (1,), (1, 1), ())  # a row, as NumPy broadcasts
        if columns != width or Wh.shape != (H, width) or not b_fits:
            given = [f"{name} {np.shape(p)}" for name, p in zip(("Wx", "Wh", "b"), self.params, strict=False)]
            expected = [f"Wx {(D, width)}", f"Wh {(H, width)}", f"b {(width,)}"][: len(given)]
            raise ValueError(
                self._error(
                    f"the weights have shapes {', '.join(given)}, expected {', '.join(expected)}: "
                    f"{self._gates} times as many columns as Wh has rows"
                )
            )
        return Wx, Wh, None if b is None else as_row(self._error("b"), b, width, Wx)

    def _run(self, xs: Any, start: list[Any]) -> list[Array]:
        """Run over xs [T, N, D] from the given states (None: zeros); return all states."""
        Wx, Wh, b = self._weights()
        x = as_operand(self._error("x"), xs, Wx)
        T, N, D = x.shape
        H = len(Wh)
        if len(Wx) != D:
            raise ValueError(
                self._error(f"x has {D} values per time step, expected {len(Wx)}, because Wx has shape {Wx.shape}")
            )
        states = []
        for name, first in zip(self._states, start, strict=True):
            state = empty((T + 1, N, H), Wx)
            if first is None:
                state[0] = 0
            else:
                first = as_operand(self._error(name), first, Wx)
                if first.shape != (N, H):
                    raise ValueError(
                        self._error(
                            f"the state {name} has shape {first.shape}, expected {(N, H)}"
                            + ("; call reset_state() before a new sequence" * hasattr(self, "reset_state"))
                        )
                    )
                state[0] = first
            states.append(state)
        A = empty((T, N, self._gates * H), Wx)
        backend_for(Wx).affine_forward(rows_of(x), Wx, b, rows_of(A))
        self._kept = x, states, self._steps_forward(backend_for(Wx), A, Wh, states)
        self._outdate()
        return states

    def _run_back(self, run: Any, dhs: Array | None, ends: list[Array | None]) -> tuple[Array, Array, list[Array]]:
        """Write the weights' gradients, from those of h [N, T, H] and of the last states (None: zeros, in both).

        `run` is what forward kept. Returns the gradients of xs [T, N, D], of the gates' inputs [T, N, gates H] and
        of the first states.
        """
        x, states, cache = run
        Wx, Wh, _ = self._weights()
        k = backend_for(Wx)
        shape = states[0].shape[1:]
        firsts = [
            np.zeros_like(Wx, shape=shape) if e is None else self._as_dout(e, shape, Wx).copy() for e in ends
        ]
        dA = empty((*x.shape[:2], self._gates * len(Wh)), Wx)
        firsts = self._steps_backward(k, dhs, firsts, dA, Wh, states, cache)
        return self._write_gradients(run, dA), dA, firsts

    def _write_gradients(self, run: Any, dA: Array) -> Array:
        """Write the weights' gradients, from those of the gates' inputs, dA [T, N, gates H]; return that of xs."""
        x, states, cache = run
        Wx, Wh, b = self._weights()
        k = backend_for(Wx)
        grads = self.grads
        dx, dWx, dWh = empty(x.shape, Wx), self._gradient(grads, 0, Wx), self._gradient(grads, 1, Wh)
        db = None if b is None else self._gradient(grads, 2, b)
        k.affine_backward(rows_of(dA), rows_of(x), Wx, rows_of(dx), dWx, db)
        self._state_weight_gradient(k, dA, states[0], cache, Wh, dWh)
        for i, written in enumerate((dWx, dWh, db)):
            if written is not None:
                self._keep_gradient(grads, i, written)
        return dx

    def _steps_forward(self, k: Any, A: Array, Wh: Array, states: list[Array]) -> Any:
        """Fill in the states from what the input brings, A [T, N, gates H]; return what backward needs."""
        raise NotImplementedError

    def _steps_backward(
        self, k: Any, dhs: Array | None, ends: list[Array], dA: Array, Wh: Array, states: list[Array], cache: Any
    ) -> list[Array]:
        """Fill in dA [T, N, gates H]; return the gradients of the first states. `ends` may be overwritten."""
        raise NotImplementedError

    def _state_weight_gradient(self, k: Any, dA: Array, h: Array, cache: Any, Wh: Array, dWh: Array) -> None:
        k.affine_backward(rows_of(dA), rows_of(h[:-1]), Wh, None, dWh, None)


class RNNCells(Recurrent):
    """h = tanh(x Wx + h_prev Wh + b)."""

    _gates = 1

    def _steps_forward(self, k: Any, A: Array, Wh: Array, states: list[Array]) -> None:
        (h,) = states
        for t in _steps(A):
            k.matmul_accumulate(h[t], Wh, A[t])
            k.tanh_forward(A[t], h[t + 1])

    def _steps_backward(
        self, k: Any, dhs: Array | None, ends: list[Array], dA: Array, Wh: Array, states: list[Array], cache: Any
    ) -> list[Array]:
        (dh,), (h,) = ends, states
        through = _recurrent_gradient(k, Wh, len(dA))
        for t in reversed(_steps(dA)):
            if dhs is not None:
                dh += dhs[:, t]
            k.tanh_backward(dh, h[t + 1], dA[t])
            through(dA[t], dh)
        return [dh]


class LSTMCells(Recurrent):
    """Four gates f, g, i, o: c = f c_prev + g i, h = o tanh(c)."""

    _gates = 4
    _states = ("h", "c")

    def _steps_forward(self, k: Any, A: Array, Wh: Array, states: list[Array]) -> Array:
        h, c = states
        gates = empty(A.shape, A)
        for t in _steps(A):
            k.matmul_accumulate(h[t], Wh, A[t])
            k.lstm_forward(c[t], A[t], gates[t], c[t + 1], h[t + 1])
        return gates

    def _steps_backward(
        self, k: Any, dhs: Array | None, ends: list[Array], dA: Array, Wh: Array, states: list[Array], cache: Any
    ) -> list[Array]:
        (dh, dc), (_, c), gates = ends, states, cache
        through, dc_prev = _recurrent_gradient(k, Wh, len(dA)), np.empty_like(dc)
        for t in reversed(_steps(dA)):
            if dhs is not None:
                dh += dhs[:, t]
            k.lstm_backward(dh, dc, c[t], c[t + 1], gates[t], dA[t], dc_prev)
            through(dA[t], dh)
            dc, dc_prev = dc_prev, dc
        return [dh, dc]


class GRUCells(Recurrent):
    """Gates z and r, and a candidate state h_hat computed from r h_prev: h = (1 - z) h_prev + z h_hat."""

    _gates = 3

    def _steps_forward(self, k: Any, A: Array, Wh: Array, states: list[Array]) -> tuple[Array, Array, Array]:
        (h,) = states
        (T, N, _), H = A.shape, len(Wh)
        W_gates, W_hat = Wh[:, : 2 * H].copy(), Wh[:, 2 * H :].copy()
        A_gates, A_hat = A[..., : 2 * H].copy(), A[..., 2 * H :].copy()
        gates, rh, h_hat = empty((T, N, 2 * H), A), empty((T, N, H), A), empty((T, N, H), A)
        for t in _steps(A):
            k.matmul_accumulate(h[t], W_gates, A_gates[t])
            k.gru_gates_forward(h[t], A_gates[t], gates[t], rh[t])
            k.matmul_accumulate(rh[t], W_hat, A_hat[t])
            k.gru_forward(h[t], gates[t], A_hat[t], h_hat[t], h[t + 1])
        return gates, rh, h_hat

    def _steps_backward(
        self, k: Any, dhs: Array | None, ends: list[Array], dA: Array, Wh: Array, states: list[Array], cache: Any
    ) -> list[Array]:
        (dh,), (h,), (gates, _, h_hat) = ends, states, cache
        (T, N, _), H = dA.shape, len(Wh)
        through_gates, through_hat = (
            _recurrent_gradient(k, Wh[:, : 2 * H], T),
            _recurrent_gradient(k, Wh[:, 2 * H :], T),
        )
        d_gates, d_hat = empty((T, N, 2 * H), dA), empty((T, N, H), dA)
        drh, dh_prev = empty((N, H), dA), empty((N, H), dA)
        for t in reversed(_steps(dA)):
            if dhs is not None:
                dh += dhs[:, t]
            k.gru_backward(dh, gates[t], h_hat[t], d_hat[t])
            through_hat(d_hat[t], drh)
            k.gru_gates_backward(dh, drh, h[t], gates[t], h_hat[t], d_gates[t], dh_prev)
            through_gates(d_gates[t], dh)
            dh += dh_prev
        dA[..., : 2 * H], dA[..., 2 * H :] = d_gates, d_hat
        return [dh]

    def _state_weight_gradient(self, k: Any, dA: Array, h: Array, cache: Any, Wh: Array, dWh: Array) -> None:
        H = len(Wh)
        for columns, state in ((slice(0, 2 * H), h[:-1]), (slice(2 * H, 3 * H), cache[1])):
            d = rows_of(dA)[:, columns].copy()
            part, unread = empty((H, d.shape[1]), Wh), empty((H, d.shape[1]), Wh)  # W is read for dx only
            k.affine_backward(d, rows_of(state), unread, None, part, None)
            dWh[:, columns] = part
