"""Book 2's recurrent layers, and the layers that work on all time steps of a sequence at once.

Sequences are arrays (N, T, D): N sequences of T time steps with D features each. The recurrent computations are in
`_recurrent`.

The dtype of Wx determines that of the states, the outputs and the gradients (the books' are float32 throughout).

Source: *Deep Learning from Scratch* 2, ch. 5 to 8 and appendix C.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ._arrays import (
    Array,
    as_array,
    as_float_array,
    as_loss,
    as_operand,
    empty,
    is_on_gpu,
    random_like,
    rows_of,
    to_side,
)
from ._base import Computed, Held
from ._compute import computed, like_computed
from ._recurrent import GRUCells, LSTMCells, Recurrent, RNNCells, time_first
from .backends import backend_for, ops
from .backends.general import labels_of
from .layers import (
    Affine,
    Dropout,
    Embedding,
    Layer,
    SigmoidWithLoss,
    SoftmaxWithLoss,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Simple_TimeAffine",
    "Simple_TimeSoftmaxWithLoss",
    "TimeAffine",
    "TimeBiLSTM",
    "TimeDropout",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
    "TimeSigmoidWithLoss",
    "TimeSoftmaxWithLoss",
]


class _Step(Recurrent):
    """One time step as a layer of its own: a sequence of length one.

    `cache` is what the book's layer keeps; a subclass that sets it may inherit `backward`.
    """

    cache: Any

    def _forward_step(self, x: Any, *start: Any) -> list[Array]:
        x = as_operand(self._error("x"), x, like_computed(self.params[0]))
        if x.ndim != 2:
            raise ValueError(self._error(f"x has shape {x.shape}, expected (N, D)"))
        return [state[1] for state in self._run(x[None], list(start))]

    def _backward_step(self, *ends: Any) -> tuple[Array, ...]:
        if ends[0] is None:
            raise TypeError(self._error("dh_next is None, expected the gradient of the next state, (N, H)"))
        run = self._kept
        if run is None or "cache" in vars(self):
            run = self._from_cache(*self._after_forward(self.cache))
        dx, _, firsts = self._run_back(run, None, list(ends))
        return (dx[0], *firsts)

    def _from_cache(self, *cache: Any) -> tuple[Array, list[Array], Any]:
        """Return what backward needs, taken from the book's cache."""
        raise NotImplementedError

    def _as_step(self, name: str, value: Any) -> Array:
        """Return an array (N, ...) of the cache as one of a sequence of length one, of Wx's dtype."""
        return as_operand(self._error(f"cache: {name}"), value, like_computed(self.params[0]))[None]


class RNN(_Step, RNNCells):
    """One step of a simple recurrent layer: h = tanh(x Wx + h_prev Wh + b).

    Parameters
    ----------
    Wx : ndarray, shape (D, H)
        Weights of the input, kept by reference and trained in place. Their dtype decides.
    Wh : ndarray, shape (H, H)
        Weights of the state.
    b : ndarray, shape (H,)
        Bias.

    Attributes
    ----------
    params, grads : list of ndarray
        [Wx, Wh, b] and their gradients.

    Raises
    ------
    ValueError
        The shapes do not match, or a dtype is not a floating one.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 5.3.1.

    Examples
    --------
    >>> layer = RNN(np.eye(2), np.eye(2), np.zeros(2))
    >>> layer.forward([[0.5, -0.5]], np.zeros((1, 2))).round(3)
    array([[ 0.462, -0.462]])
    >>> dx, dh_prev = layer.backward(np.ones((1, 2)))
    >>> dx.round(3)
    array([[0.786, 0.786]])
    """

    cache: Any = None

    def forward(self, x: Any, h_prev: Any) -> Array:
        """Return the next state (N, H) from x (N, D) and the previous state."""
        Wx, Wh, b = self.params if len(self.params) == 3 else (*self.params, None)
        h: Array = ops.rnn_forward(x, h_prev, Wx, Wh, b, self)
        self.cache = x, h_prev, h
        return h

    def backward(self, dh_next: Any) -> tuple[Array, Array]:
        """Write the gradients into `grads`; return dx and dh_prev."""
        cache, params = self.cache or self._after_forward(None), self.params
        return ops.rnn_backward(dh_next, cache, params[0], params[1], self.grads, self)

    def _from_cache(self, x: Any, h_prev: Any, h_next: Any) -> tuple[Array, list[Array], Any]:
        h = np.concatenate([self._as_step("h_prev", h_prev), self._as_step("h_next", h_next)])
        return self._as_step("x", x), [h], None


class LSTM(_Step, LSTMCells):
    """One step of an LSTM; its gates are forget, candidate, input and output: f, g, i, o.

    Parameters
    ----------
    Wx : ndarray, shape (D, 4H)
        Weights of the input for the four gates, concatenated. Their dtype decides.
    Wh : ndarray, shape (H, 4H)
        Weights of the state.
    b : ndarray, shape (4H,)
        Bias.

    Attributes
    ----------
    params, grads : list of ndarray
        [Wx, Wh, b] and their gradients.

    Raises
    ------
    ValueError
        The shapes do not match, or a dtype is not a floating one.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 6.3.

    Examples
    --------
    >>> np.random.seed(0)
    >>> layer = LSTM(np.random.randn(3, 8), np.random.randn(2, 8), np.zeros(8))
    >>> h, c = layer.forward(np.ones((1, 3)), np.zeros((1, 2)), np.zeros((1, 2)))
    >>> h.round(3), c.round(3)
    (array([[0.392, 0.152]]), array([[0.463, 0.447]]))
    >>> dx, dh_prev, dc_prev = layer.backward(np.ones((1, 2)), np.zeros((1, 2)))
    >>> dx.shape
    (1, 3)
    """

    def forward(self, x: Any, h_prev: Any, c_prev: Any) -> tuple[Array, Array]:
        """Return the next state and memory, (N, H) each, from x (N, D) and the previous ones."""
        h, c = self._forward_step(x, h_prev, c_prev)
        return h, c

    @Computed
    def cache(self) -> Any:
        """What the book's layer keeps (x, h_prev, c_prev, i, f, g, o, c_next)."""
        if self._kept is None:
            return None
        x, (h, c), gates = self._kept
        f, g, i, o = np.split(gates[0], 4, axis=1)
        return x[0], h[0], c[0], i, f, g, o, c[1]

    def _from_cache(self, *cache: Any) -> tuple[Array, list[Array], Any]:
        names = "x", "h_prev", "c_prev", "i", "f", "g", "o", "c_next"
        x, h_prev, c_prev, i, f, g, o, c_next = map(self._as_step, names, cache)
        h, c = np.concatenate([h_prev, h_prev]), np.concatenate([c_prev, c_next])  # the next h is not used
        return x, [h, c], np.concatenate([f, g, i, o], axis=2)

    def backward(self, dh_next: Any, dc_next: Any) -> tuple[Array, Array, Array]:
        """Write the gradients into `grads`; return dx, dh_prev and dc_prev."""
        dx, dh_prev, dc_prev = self._backward_step(dh_next, dc_next)
        return dx, dh_prev, dc_prev


class GRU(_Step, GRUCells):
    """One step of a GRU; its gates are update and reset, z and r; the third block is the candidate state.

    Parameters
    ----------
    Wx : ndarray, shape (D, 3H)
        Weights of the input for z, r and the candidate state, concatenated. Their dtype decides.
    Wh : ndarray, shape (H, 3H)
        Weights of the state.
    b : ndarray, shape (3H,), optional
        Bias; some printings of the book have none.

    Attributes
    ----------
    params, grads : list of ndarray
        [Wx, Wh, b] and their gradients; without b if there is none.

    Raises
    ------
    ValueError
        The shapes do not match, or a dtype is not a floating one.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, appendix C.

    Examples
    --------
    >>> np.random.seed(0)
    >>> layer = GRU(np.random.randn(3, 6), np.random.randn(2, 6), np.zeros(6))
    >>> layer.forward(np.ones((1, 3)), np.zeros((1, 2))).round(3)
    array([[0.968, 0.157]])
    """

    def forward(self, x: Any, h_prev: Any) -> Array:
        """Return the next state (N, H) from x (N, D) and the previous state."""
        return self._forward_step(x, h_prev)[0]

    @Computed
    def cache(self) -> Any:
        """What the book's layer keeps (x, h_prev, z, r, h_hat)."""
        if self._kept is None:
            return None
        x, (h,), (gates, _, h_hat) = self._kept
        return x[0], h[0], *np.split(gates[0], 2, axis=1), h_hat[0]

    def _from_cache(self, *cache: Any) -> tuple[Array, list[Array], Any]:
        x, h_prev, z, r, h_hat = map(self._as_step, ("x", "h_prev", "z", "r", "h_hat"), cache)
        h = np.concatenate([h_prev, h_prev])  # the next one is not used
        return x, [h], (np.concatenate([z, r], axis=2), r * h_prev, h_hat)

    def backward(self, dh_next: Any) -> tuple[Array, Array]:
        """Write the gradients into `grads`; return dx and dh_prev."""
        dx, dh_prev = self._backward_step(dh_next)
        return dx, dh_prev


class _Sequence(Recurrent):
    """All time steps of a recurrent layer, with the state that they leave behind.

    Attributes
    ----------
    h : ndarray, shape (N, H), or None
        State after the last forward.
    dh : ndarray, shape (N, H), or None
        Gradient of the state before the first step, after backward.
    stateful : bool
        Whether forward continues from `h`; otherwise every sequence starts from zeros.
    layers : list
        One layer for each time step, with its cache and, after backward, its own gradients; created on access.
    """

    _step: ClassVar[type[_Step]]
    _shown: ClassVar[tuple[str, ...]] = ("Wx", "Wh", "b", "stateful")
    stateful: bool = False
    h: Any = None
    dh: Any = None
    _dA: Array | None = None

    def __init__(self, Wx: Array, Wh: Array, b: Array | float | None = None, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b)
        self.stateful = stateful
        self.h = self.dh = None

    def forward(self, xs: Any) -> Array:
        """Return the states hs (N, T, H) for the sequences xs (N, T, D), in Wx's dtype.

        Raises
        ------
        ValueError
            xs does not have three axes or D values per time step, or the kept state has another N.
        """
        xs = as_operand(self._error("xs"), xs, like_computed(self.params[0]))
        if xs.ndim != 3:
            raise ValueError(self._error(f"xs has shape {xs.shape}, expected (N, T, D)"))
        start = [getattr(self, name) if self.stateful else None for name in self._states]
        states = self._run(time_first(xs), start)
        self._dA = None
        for name, state in zip(self._states, states, strict=True):
            setattr(self, name, state[-1])
        return time_first(states[0][1:])

    def backward(self, dhs: Any) -> Array:
        """Write the gradients into `grads`, from dhs (N, T, H); return dxs (N, T, D) and keep `dh`."""
        run = x, states, _ = self._after_forward(self._kept)
        N, H = states[0].shape[1:]
        dhs = self._as_dout(dhs, (N, len(x), H), states[0])
        dx, self._dA, firsts = self._run_back(run, dhs, [None] * len(states))
        self.dh = firsts[0]
        return time_first(dx)

    @Computed
    def layers(self) -> Any:
        """What the book's layer keeps (a layer for each time step)."""
        if self._kept is None:
            return None
        x, states, kept = self._kept
        steps = []
        for t in range(len(x)):
            step = self._step(*self.params)
            of_step = [k[t : t + 1] for k in (kept if isinstance(kept, tuple) else (kept,)) if k is not None]
            step._kept = (
                x[t : t + 1],
                [state[t : t + 2] for state in states],
                tuple(of_step) if isinstance(kept, tuple) else of_step[0] if of_step else None,
            )
            if step.cache is None:  # an RNN's is not computed from its cache
                step.cache = x[t], states[0][t], states[0][t + 1]
            if self._dA is not None:
                step._write_gradients(step._kept, self._dA[t : t + 1])
            steps.append(step)
        return steps

    def reset_state(self) -> None:
        """Discard the state: the next sequence starts from zeros."""
        for name in self._states:
            setattr(self, name, None)


class TimeRNN(_Sequence, RNNCells):
    """A simple recurrent layer over whole sequences: h = tanh(x Wx + h_prev Wh + b) at every time step.

    Parameters
    ----------
    Wx, Wh, b : ndarray, shapes (D, H), (H, H), (H,)
        As for RNN.
    stateful : bool
        Whether the state is kept from one forward to the next.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 5.3.2.

    Examples
    --------
    >>> layer = TimeRNN(np.eye(2), np.eye(2), np.zeros(2))
    >>> layer.forward(np.full((1, 3, 2), 0.5)).round(3)
    array([[[0.462, 0.462],
            [0.745, 0.745],
            [0.847, 0.847]]])
    >>> layer.backward(np.ones((1, 3, 2))).shape
    (1, 3, 2)
    """

    _step = RNN

    def set_state(self, h: Any) -> None:
        """Make h (N, H) the state from which the next forward of a stateful layer starts."""
        self.h = h


class TimeLSTM(_Sequence, LSTMCells):
    """An LSTM over whole sequences.

    Parameters
    ----------
    Wx, Wh, b : ndarray, shapes (D, 4H), (H, 4H), (4H,)
        As for LSTM.
    stateful : bool
        Whether state and memory are kept from one forward to the next.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 6.3.1.

    Examples
    --------
    >>> np.random.seed(0)
    >>> Wx, Wh = np.random.randn(3, 8), np.random.randn(2, 8)
    >>> layer = TimeLSTM(Wx, Wh, np.zeros(8), stateful=True)
    >>> layer.forward(np.ones((4, 5, 3))).shape  # 4 sequences, 5 steps
    (4, 5, 2)
    >>> layer.h.shape, layer.c.shape
    ((4, 2), (4, 2))
    """

    _step = LSTM
    c: Any = None

    def __init__(self, Wx: Array, Wh: Array, b: Array | float | None = None, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b, stateful)
        self.c = None

    def set_state(self, h: Any, c: Any = None) -> None:
        """Make h and c (N, H; None: zeros) the states from which the next forward of a stateful layer starts."""
        self.h, self.c = h, c


class TimeGRU(_Sequence, GRUCells):
    """A GRU over whole sequences.

    Parameters
    ----------
    Wx, Wh, b : ndarray, shapes (D, 3H), (H, 3H), (3H,)
        As for GRU; b may be left out.
    stateful : bool
        Whether the state is kept from one forward to the next.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, appendix C.

    Examples
    --------
    >>> np.random.seed(0)
    >>> layer = TimeGRU(np.random.randn(3, 6), np.random.randn(2, 6), np.zeros(6))
    >>> layer.forward(np.ones((4, 5, 3))).shape
    (4, 5, 2)
    """

    _step = GRU

    def set_state(self, h: Any) -> None:
        """Make h (N, H) the state from which the next forward of a stateful layer starts."""
        self.h = h


class TimeBiLSTM(Layer):
    """Two LSTMs, one of which reads the sequences backwards; their states are concatenated.

    Parameters
    ----------
    Wx1, Wh1, b1 : ndarray
        Weights of the LSTM that reads forwards.
    Wx2, Wh2, b2 : ndarray
        Weights of the one that reads backwards.
    stateful : bool
        Whether both keep their state from one forward to the next.

    Attributes
    ----------
    forward_lstm, backward_lstm : TimeLSTM
        The two LSTMs.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 8.4.1.

    Examples
    --------
    >>> Wx, Wh, b = np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)
    >>> layer = TimeBiLSTM(Wx, Wh, b, Wx, Wh, b)
    >>> layer.forward(np.ones((4, 5, 3))).shape
    (4, 5, 4)
    """

    _shown: ClassVar[tuple[str, ...]] = ("forward_lstm", "backward_lstm")

    def __init__(
        self, Wx1: Array, Wh1: Array, b1: Array, Wx2: Array, Wh2: Array, b2: Array, stateful: bool = False
    ) -> None:
        super().__init__()
        self.forward_lstm = TimeLSTM(Wx1, Wh1, b1, stateful)
        self.backward_lstm = TimeLSTM(Wx2, Wh2, b2, stateful)
        self.params = self.forward_lstm.params + self.backward_lstm.params
        self.grads = self.forward_lstm.grads + self.backward_lstm.grads

    def forward(self, xs: Any) -> Array:
        """Return the states (N, T, 2H) for the sequences xs (N, T, D)."""
        xs = as_operand(self._error("xs"), xs, like_computed(self.params[0]))
        if xs.ndim != 3:
            raise ValueError(self._error(f"xs has shape {xs.shape}, expected (N, T, D)"))
        lstms = self.forward_lstm, self.backward_lstm
        before = [dict(vars(lstm)) for lstm in lstms]
        count = len(lstms[0].params)
        try:
            lstms[0].params, lstms[1].params = self.params[:count], self.params[count:]
            ahead, back = lstms[0].forward(xs), lstms[1].forward(xs[:, ::-1])
            return np.concatenate((ahead, back[:, ::-1]), axis=2)
        except Exception:  # undo the first layer's call if the second one fails
            for lstm, attributes in zip(lstms, before, strict=True):
                lstm.__dict__ = attributes
            raise

    def backward(self, dhs: Any) -> Array:
        """Write the gradients into `grads`, from dhs (N, T, 2H); return dxs (N, T, D)."""
        H, H_back = len(self.params[1]), len(self.params[len(self.params) // 2 + 1])
        dhs = as_operand(self._error("dhs"), dhs, like_computed(self.params[0]))
        if dhs.ndim != 3 or dhs.shape[2] != H + H_back:
            raise ValueError(self._error(f"dhs has shape {dhs.shape}, expected (N, T, {H + H_back})"))
        dxs = self.forward_lstm.backward(dhs[:, :, :H])
        dxs += self.backward_lstm.backward(dhs[:, ::-1, H:])[:, ::-1]
        return dxs


class _PerStep(Layer):
    """The `layers` attribute of layers that process all time steps at once: the book's layers, one per step."""

    _step: ClassVar[Any]
    _came_back: tuple[Any, Any] | None = None  # the last input and its gradient from above

    @Computed
    def layers(self) -> Any:
        """What the book's layer keeps (a layer for each time step, with its own gradients after backward)."""
        xs = self._last_input()
        if xs is None:
            return None
        given, dout = self._came_back or (None, None)
        layers = []
        for t in range(np.shape(xs)[1]):
            layer = self._step(*self.params)
            layer.forward(as_array(xs)[:, t])
            if given is xs:
                layer.backward(as_array(dout)[:, t])
            layers.append(layer)
        return layers

    def _last_input(self) -> Any:
        raise NotImplementedError


class TimeEmbedding(_PerStep, Embedding):
    """Embedding of whole sequences: word IDs (N, T) become rows (N, T, D).

    Source: *Deep Learning from Scratch* 2, ch. 5.4.2.

    Examples
    --------
    >>> layer = TimeEmbedding(np.arange(8.0).reshape(4, 2))
    >>> layer.forward(np.array([[3, 0]]))
    array([[[6., 7.],
            [0., 1.]]])
    """

    _step = Embedding
    _pickled = ("W",)

    def _last_input(self) -> Any:
        return self.idx

    def forward(self, idx: Any) -> Array:
        """Return the rows idx (N, T) of W: an array (N, T, D); as `Embedding` does."""
        out = super().forward(idx)
        self._outdate()
        return out

    def backward(self, dout: Any) -> None:
        """Write the gradient into `grads`, as `Embedding` does."""
        super().backward(dout)
        self._came_back = self.idx, dout


class TimeAffine(Affine):
    """Affine at every time step, in one product: xs (N, T, D) becomes (N, T, M).

    Source: *Deep Learning from Scratch* 2, ch. 5.4.2.

    Examples
    --------
    >>> layer = TimeAffine(np.ones((3, 2)), np.zeros(2))
    >>> layer.forward(np.ones((4, 5, 3))).shape
    (4, 5, 2)
    >>> layer.backward(np.ones((4, 5, 2))).shape
    (4, 5, 3)
    """


class Simple_TimeAffine(_PerStep, TimeAffine):
    """The book's simple version of TimeAffine; here it computes the same.

    Examples
    --------
    >>> layer = Simple_TimeAffine(np.ones((3, 2)), np.zeros(2))
    >>> layer.forward(np.ones((4, 5, 3))).shape
    (4, 5, 2)
    """

    _step = Affine
    dW = Held("grads", 0, "The gradient of W, `grads[0]`.")
    db = Held("grads", 1, "The gradient of b, `grads[1]`.")

    def _last_input(self) -> Any:
        return self.x

    def forward(self, x: Any) -> Array:
        """Return x W + b, as `TimeAffine` does."""
        out = super().forward(x)
        self._outdate()
        return out

    def backward(self, dout: Any) -> Array:
        """Write the gradients into `grads` and return dx, as `TimeAffine` does."""
        dx = super().backward(dout)
        self._came_back = self.x, dout
        return dx


class TimeDropout(Dropout):
    """Inverted dropout: scales by 1 / (1 - dropout_ratio) in training, and leaves x unchanged otherwise.

    Attributes
    ----------
    train_flg : bool
        Whether forward drops anything; initially True.
    mask : ndarray
        0 or the scale, after a forward in training.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 6.5.2.

    Examples
    --------
    >>> layer = TimeDropout(0.5)
    >>> np.random.seed(0)
    >>> layer.forward(np.ones((1, 2, 3)))
    array([[[2., 2., 2.],
            [2., 0., 2.]]])
    """

    train_flg: bool = True
    _shown: ClassVar[tuple[str, ...]] = ("dropout_ratio", "train_flg")

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        super().__init__(dropout_ratio)
        self.train_flg = True

    def _ratio(self) -> float:
        ratio = super()._ratio()
        if ratio == 1:
            raise ValueError(
                self._error("dropout_ratio must be below 1: dropping everything would leave nothing to scale")
            )
        return ratio

    def forward(self, xs: Any, train_flg: bool | None = None) -> Array:
        """Return xs with some elements 0 and the others scaled; xs itself when not training.

        train_flg, if given, overrides the attribute for this call.
        """
        if not (self.train_flg if train_flg is None else train_flg):
            unchanged: Array = xs
            return unchanged
        xs, ratio = as_float_array(self._error("xs"), computed(xs)), self._ratio()
        self.mask = (random_like(xs) > ratio).astype(xs.dtype) * xs.dtype.type(1 / (1 - ratio))
        return ops.multiply_by_mask(xs, self.mask, self)


class TimeSoftmaxWithLoss(SoftmaxWithLoss):
    """Softmax and cross entropy over all time steps; steps with the label -1 are ignored.

    Attributes
    ----------
    ignore_label : int
        The label of steps that are ignored, -1.
    y : ndarray
        Probabilities, after forward, one row for each step that is not ignored.
    cache : tuple
        What the book's layer keeps: labels, probabilities and mask of all steps, and the shape of xs; created on
        access.

    Notes
    -----
    The loss is the mean of -log(y_t) over the steps that are not ignored, or 0 if all are. Unlike SoftmaxWithLoss
    it has no 1e-7 in the logarithm, as in the book: a probability of 0 gives an infinite loss. With labels
    on the GPU, forward waits for it once, to see whether any are ignored.
    Source: *Deep Learning from Scratch* 2, ch. 5.4.2.

    Examples
    --------
    >>> layer = TimeSoftmaxWithLoss()
    >>> print(layer.forward(np.zeros((1, 3, 2)), np.array([[0, 1, -1]])).round(4))
    0.6931
    >>> layer.backward()
    array([[[-0.25,  0.25],
            [ 0.25, -0.25],
            [ 0.  ,  0.  ]]])
    """

    delta = 0.0
    ignore_label: int = -1
    _counted: Array | None = None  # mask of steps that count, unless all do
    _scores: Array | None = None  # scores of all steps, likewise
    _shape: tuple[int, ...] = ()
    _shown: ClassVar[tuple[str, ...]] = ("ignore_label",)

    def __init__(self) -> None:
        super().__init__()
        self.ignore_label = -1

    def forward(self, xs: Any, ts: Any) -> float:  # type: ignore[override]
        """Return the mean loss of the scores xs (N, T, V) against the labels ts, (N, T) or one-hot (N, T, V).

        Raises
        ------
        ValueError
            The number of labels does not match.
        IndexError
            A label is outside [-1, V).
        """
        xs = as_float_array(self._error("xs"), xs)
        if xs.ndim == 0:
            raise ValueError(self._error("xs is a scalar, expected scores of shape (N, T, V)"))
        x, t = rows_of(xs), as_array(ts, self._error("ts"))
        chosen = scores = None
        if t.size == len(x) and t.dtype.kind == "i":
            counted = t.reshape(-1) != self.ignore_label
            if np.count_nonzero(counted) != counted.size:  # this waits for the GPU if the labels are there
                t = np.where(counted, t.reshape(-1), 0)
                chosen = to_side(counted.nonzero()[0], to_gpu=is_on_gpu(x))
        labels = labels_of(t, len(x), x.shape[1], x, self, name="ts")
        if chosen is not None:
            scores = x
            x, labels = self._taken(x, chosen), labels[chosen]
        y = empty(x.shape, x)
        loss: float = as_loss(backend_for(x).softmax_cross_entropy_forward(x, labels, self.delta, 0.0, y))
        self._outdate()
        self.y, self.t, self._shape = y, labels, xs.shape
        self._counted, self._scores = chosen, scores
        return loss

    @Computed
    def cache(self) -> Any:
        """What the book's layer keeps (ts, ys, mask, (N, T, V))."""
        if self.y is None:
            return None
        if self._counted is None or self._scores is None:
            return self.t, self.y, np.ones_like(self.t, np.bool_), self._shape
        y = empty(self._scores.shape, self._scores)
        backend_for(y).softmax_forward(self._scores, y)
        t = np.full_like(self.t, self.ignore_label, shape=(len(y),))
        t[self._counted] = self.t
        return t, y, t != self.ignore_label, self._shape

    def _take(self, cache: Any) -> None:
        """Keep what a subclass has set as the book's cache."""
        t, y, counted, shape = cache
        chosen = as_array(counted).reshape(-1).nonzero()[0]
        y = as_float_array(self._error("cache: ys"), y)[chosen]
        labels = labels_of(as_array(t)[chosen], len(y), y.shape[1], y, self)
        self.y, self.t, self._counted, self._shape = y, labels, chosen, shape

    def _taken(self, x: Array, index: Array) -> Array:
        taken = empty((len(index), x.shape[1]), x)
        backend_for(x).gather_rows(x, index, taken)
        return taken

    def backward(self, dout: Any = 1) -> Array:
        """Return dxs = (y - onehot(t)) dout / (number of steps not ignored), 0 for the others; of xs's shape."""
        has_cache = "cache" in vars(self)
        kept, number = self._after_forward(self.cache if has_cache else self.y), self._as_number(dout)
        if has_cache:
            self._take(kept)
        y = as_float_array("y", self.y)
        k, dx = backend_for(y), empty(y.shape, y)
        k.softmax_cross_entropy_backward(y, self._class_indices(y), number, dx)
        if self._counted is not None:
            counted, dx = dx, empty((*self._shape[:-1], y.shape[1]), y)
            k.scatter_add_rows(counted, self._counted, rows_of(dx))
        return dx.reshape(self._shape)


class Simple_TimeSoftmaxWithLoss(SoftmaxWithLoss):
    """The mean of SoftmaxWithLoss over all time steps, including its 1e-7; no label is ignored.

    Examples
    --------
    >>> layer = Simple_TimeSoftmaxWithLoss()
    >>> print(layer.forward(np.zeros((1, 3, 2)), np.array([[0, 1, 1]])).round(4))
    0.6931
    """

    _xs: Any = None

    def forward(self, x: Any, t: Any) -> float:  # type: ignore[override]
        """Return the mean loss of the scores x (N, T, V) against the labels t, (N, T) or one-hot (N, T, V)."""
        loss = super().forward(x, t)
        self._outdate()
        self._xs = x
        return loss

    @Computed
    def cache(self) -> Any:
        """What the book's layer keeps (a layer for each time step, and xs)."""
        return None if self._xs is None else (_losses(SoftmaxWithLoss, self.y, self.t), self._xs)


class TimeSigmoidWithLoss(SigmoidWithLoss):
    """Sigmoid and binary cross entropy: the mean over all time steps, for scores and labels (N, T).

    Source: *Deep Learning from Scratch* 2, `common/time_layers.py`.

    Examples
    --------
    >>> layer = TimeSigmoidWithLoss()
    >>> print(layer.forward(np.zeros((1, 2)), np.array([[0, 1]])).round(4))
    0.6931
    >>> layer.backward()
    array([[ 0.25, -0.25]])
    """

    @Computed
    def xs_shape(self) -> Any:
        """What the book's layer keeps (the shape of the scores, (N, T))."""
        return None if self.y is None else self.y.shape

    @Computed
    def layers(self) -> Any:
        """What the book's layer keeps (a layer for each time step)."""
        return None if self.y is None else _losses(SigmoidWithLoss, self.y, self.t)


def _losses(kind: Any, y: Array, t: Array) -> list[Any]:
    """Return a loss for each time step, with its part of the probabilities y [N, T, ...] and labels t [N, T]."""
    t = t.reshape(y.shape[:2])
    losses = [kind() for _ in range(y.shape[1])]
    for step, loss in enumerate(losses):
        loss.y, loss.t = y[:, step], t[:, step]
    return losses
