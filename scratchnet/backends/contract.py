"""The kernel contract as data: what every backend offers, and what it rejects.

A kernel is declared here, once, in the notation of the books' formulas:

    x[N,D]      an array that is read, with its shape; one letter is one size throughout the call
    A[N,4D]     an axis of length 4 D, where an earlier argument has fixed D
    x[...]      an array of any shape; all [...] arrays of a call have the same shape
    >out[N,M]   an output: overwritten in full, never accumulated into
    =p[...]     changed in place
    b[M]?       may be None
    t[N]<C      int64 labels or indices, each at least 0 and below C; below H times W where <H*W
    mask[...]:bool  NumPy's bool; any byte but 0 is True
    lr          a scalar
    stride:1    an integer from 1 to LARGEST
    -> float    the call returns a number; without it, None

P and Q are the sizes of windows, Y and X those of their outputs, see `window_places`.

All real arrays of a call have one dtype. No output overlaps another argument, except that an output
marked >out[...]~x may be the array `x` itself. Size 0 is legal everywhere.

After the formula: how accurate a compiled kernel is, u being half a unit in the last place of 1 in the type:

    [exact]     the same bits as the formula, evaluated operation by operation
    [3 ulp]     at most this many units in the last place from the true value, over the whole range
    [sum(D+2)]  sums of products: at most this many times u times the sum of the terms' magnitudes; with several
                outputs, one for each: [dx sum(M+2), dW sum(N+2)]
    [derived]   a bound of its own, derived in tests/tolerances.py

A line `# topic: files` begins a topic and names the files of csrc with its loops.

tools/generate_bindings.py generates the compiled kernels' bindings from this table; the reference, the tests and
the benchmarks read it directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from math import prod
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np

from .._arrays import LARGEST, as_scalar, check_integer, check_labels, window_places

_P = ParamSpec("_P")
_R = TypeVar("_R")

CONTRACT = """
# Products and sums over rows: gemm.inc, affine.inc
affine_forward(x[N,D], W[D,M], b[M]?, >out[N,M])                     out = x W + b  [sum(D+2)]
affine_backward(dout[N,M], x[N,D], W[D,M], >dx[N,D]?, >dW[D,M], >db[M]?)
                                                                     dx = dout W';  dW = x' dout;  db = rows' sum
                                                                     [dx sum(M+2), dW sum(N+2), db sum(N+2)]
matmul_accumulate(x[N,D], W[D,M], =out[N,M])                         out += x W  [sum(D+3)]
matmul_transposed(dout[N,M], W[D,M], >dx[N,D])                       dx = dout W'  [sum(M+2)]
sum_rows(x[N,D], >out[D])                                            out = x[0] + x[1] + ...  [sum(N)]
repeat_rows(x[D], >out[N,D])                                         out[i] = x  [exact]
gather_rows(x[N,D], index[B]<N, >out[B,D])                           out[i] = x[index[i]]  [exact]
scatter_add_rows(dout[B,D], index[B]<N, >out[N,D])                   out = 0;  out[index[i]] += dout[i], in order
                                                                     [exact]

# Activations: activation.inc
sigmoid_forward(x[...], >out[...]~x)                                 out = 1 / (1 + exp(-x))  [3 ulp]
sigmoid_backward(dout[...], y[...], >dx[...]~dout)                   dx = dout (1 - y) y  [exact]
relu_forward(x[...], >out[...]~x)                                    out = 0 where x <= 0, else x  [exact]
relu_backward(dout[...], y[...], >dx[...]~dout)                      dx = 0 where y <= 0, else dout  [exact]
relu_forward_with_mask(x[...], >out[...], >mask[...]:bool)           mask = x <= 0;  out = 0 where mask, else x
                                                                     [exact]
relu_backward_by_mask(dout[...], mask[...]:bool, >dx[...])           dx = 0 where mask, else dout  [exact]
tanh_forward(x[...], >out[...]~x)                                    out = tanh(x)  [3 ulp]
tanh_backward(dout[...], y[...], >dx[...]~dout)                      dx = dout (1 - y^2)  [exact]
multiply_by_mask(x[...], mask[...], >out[...]~x)                     out = x mask  [exact]
softmax_forward(x[N,C], >y[N,C])                                     y = exp(x) / sum over the row of exp(x)
                                                                     [derived]
softmax_backward(dout[N,C], y[N,C], >dx[N,C])                        dx = y (dout - sum over the row of dout y)
                                                                     [derived]

# Losses: loss.inc
cross_entropy_forward(y[N,C], t[N]<C, delta, clip) -> float          p = y_t, in [clip, 1 - clip] where clip > 0;
                                                                     mean of -log(p + delta)  [derived]
softmax_cross_entropy_forward(x[N,C], t[N]<C, delta, clip, >y[N,C]) -> float
                                                                     y = softmax(x);  mean of -log(p + delta),
                                                                     p = y_t, in [clip, 1 - clip] where clip > 0
                                                                     [derived]
softmax_cross_entropy_backward(y[N,C], t[N]<C, dout, >dx[N,C])       dx = (y - onehot(t)) dout / N  [exact]
sigmoid_cross_entropy_forward(x[n], t[n]<2, delta, clip, >y[n]) -> float
                                                                     y = sigmoid(x);  mean of -log(p + delta),
                                                                     p = y where t is 1, else 1 - y,
                                                                     in [clip, 1 - clip] where clip > 0  [derived]
sigmoid_cross_entropy_backward(y[n], t[n]<2, dout, >dx[n])           dx = (y - t) dout / n  [exact]
squared_error_forward(y[N,C], t[N,C]) -> float                       0.5 sum of (y - t)^2 / N  [derived]
squared_error_backward(y[N,C], t[N,C], dout, >dx[N,C])               dx = (y - t) dout / N  [exact]
weighted_cross_entropy_forward(y[N,C], t[N]<C, w[N], delta, clip) -> float
                                                                     sum of w l / sum of w, 0 if that is 0, of the
                                                                     rows' losses l as in cross_entropy_forward
                                                                     [derived]
weighted_binary_cross_entropy_forward(y[N,C], t[N,C]<2, w[N], delta, clip) -> float
                                                                     the same of l = mean over a row of the losses
                                                                     as in sigmoid_cross_entropy_forward  [derived]
weighted_squared_error_forward(y[N,C], t[N,C], w[N]) -> float        the same of l = 0.5 sum over the row of
                                                                     (y - t)^2  [derived]
weight_rows(=dx[N,C], w[N])                                          dx[i] *= w[i] N / sum of w, 0 if that is 0
                                                                     [derived]

# Windows of images: convolution.inc
im2col(x[N,C,H,W], stride:1, pad:0, >col[N,C,P,Q,Y,X])               col[n,c,p,q,y,x] = x[n,c, y stride + p - pad,
                                                                     x stride + q - pad], 0 outside of x  [exact]
col2im(col[N,C,P,Q,Y,X], stride:1, pad:0, >dx[N,C,H,W])              dx = the sum of col where im2col reads x
                                                                     [exact]
convolution_forward(col[N,K,L], W[M,K], b[M], >out[N,M,L])           out[n] = W col[n] + b  [sum(K+2)]
convolution_backward(dout[N,M,L], col[N,K,L], W[M,K], >dcol[N,K,L], =dW[M,K], =db[M])
                                                                     dcol[n] = W' dout[n];
                                                                     dW += sum of dout[n] col[n]';
                                                                     db += sum of dout over n and l
                                                                     [dcol sum(M+2), dW sum(N*L+3), db sum(N*L+3)]
max_pool_forward(x[N,C,H,W], P:1, Q:1, stride:1, >out[N,C,Y,X], >argmax[N,C,Y,X]<H*W)
                                                                     out = the largest x of each window of P x Q;
                                                                     argmax = its place y W + x, first of equals
                                                                     [exact]
max_pool_backward(dout[N,C,Y,X], argmax[N,C,Y,X]<H*W, >dx[N,C,H,W])  dx = the sum of dout where argmax points to x
                                                                     [exact]

# Batch normalization: normalization.inc
batch_normalization_forward(x[N,D], gamma[D], beta[D], eps, >mean[D], >var[D], >std[D], >xhat[N,D], >out[N,D])
                                                                     std = sqrt(var + eps);
                                                                     xhat = (x - mean) / std;
                                                                     out = gamma xhat + beta  [derived]
batch_normalization_inference(x[N,D], gamma[D], beta[D], mean[D], var[D], eps, >out[N,D])
                                                                     out = gamma xhat + beta, by mean and var
                                                                     [exact]
batch_normalization_backward(dout[N,D], xhat[N,D], gamma[D], std[D], >dx[N,D], >dgamma[D], >dbeta[D])
                                                                     dbeta = rows' sum of dout;
                                                                     dgamma = rows' sum of dout xhat;
                                                                     dx = gamma / std times
                                                                     (dout - (dbeta + xhat dgamma) / N)  [derived]

# Recurrent cells: recurrent.inc
lstm_forward(c_prev[N,D], A[N,4D], >gates[N,4D], >c[N,D], >h[N,D])   gates = f, g, i, o = sigmoid(A), of g tanh(A);
                                                                     c = f c_prev + g i;  h = o tanh(c)  [derived]
lstm_backward(dh[N,D], dc[N,D], c_prev[N,D], c[N,D], gates[N,4D], >dA[N,4D], >dc_prev[N,D])
                                                                     s = dc + dh o (1 - tanh(c)^2);  dc_prev = s f;
                                                                     dA = s c_prev f (1 - f), s i (1 - g^2),
                                                                     s g i (1 - i), dh tanh(c) o (1 - o)  [derived]
gru_gates_forward(h_prev[N,D], A[N,2D], >gates[N,2D], >rh[N,D])      gates = z, r = sigmoid(A);  rh = r h_prev
                                                                     [derived]
gru_forward(h_prev[N,D], gates[N,2D], A[N,D], >h_hat[N,D], >h[N,D])  h_hat = tanh(A);  h = (1 - z) h_prev + z h_hat
                                                                     [derived]
gru_backward(dh[N,D], gates[N,2D], h_hat[N,D], >dA[N,D])             dA = dh z (1 - h_hat^2)  [exact]
gru_gates_backward(dh[N,D], drh[N,D], h_prev[N,D], gates[N,2D], h_hat[N,D], >dA[N,2D], >dh_prev[N,D])
                                                                     dA = dh (h_hat - h_prev) z (1 - z),
                                                                     drh h_prev r (1 - r);
                                                                     dh_prev = dh (1 - z) + drh r  [exact]

# Optimizers: update.inc, reductions.inc
sgd_update(=p[...], g[...], lr)                                      p -= lr g  [exact]
momentum_update(=p[...], g[...], =v[...], lr, momentum)              v = momentum v - lr g;  p += v  [exact]
nesterov_update(=p[...], g[...], =v[...], lr, momentum)              p += momentum^2 v - (1 + momentum) lr g;
                                                                     v = momentum v - lr g  [exact]
adagrad_update(=p[...], g[...], =h[...], lr)                         h += g^2;  p -= lr g / (sqrt(h) + 1e-7)
                                                                     [exact]
rmsprop_update(=p[...], g[...], =h[...], lr, decay_rate)             h = decay_rate h + (1 - decay_rate) g^2;
                                                                     p -= lr g / (sqrt(h) + 1e-7)  [exact]
adam_update(=p[...], g[...], =m[...], =v[...], lr, beta1, beta2, epsilon)
                                                                     m += (1 - beta1)(g - m);
                                                                     v += (1 - beta2)(g^2 - v);
                                                                     p -= lr m / (sqrt(v) + epsilon)  [exact]
squared_norm(g[...]) -> float                                        sum of g^2  [derived]
scale(=x[...], factor)                                               x *= factor  [exact]
"""


LETTERS = "NBCDKLMHWPQYXn"  # all sizes, n being the number of elements of an array of any shape


class Argument(NamedTuple):
    """One argument of a kernel, as its line of the contract declares it."""

    name: str
    kind: str  # "real", "label", "bool" or "number"
    role: str = "in"  # "in", "out" (overwritten) or "inout" (changed in place)
    shape: tuple[str, ...] = ()  # letters of the sizes; ("...",) is any shape, alike in all such arguments
    optional: bool = False  # None is accepted
    limit: str | None = None  # labels: the size, product of sizes or number that bounds them from above
    least: int | None = None  # an integer argument: its minimum
    alias: str | None = None  # an output: the argument that it may be identical to

    @property
    def is_array(self) -> bool:
        """Whether the argument is an array, not a scalar."""
        return self.kind != "number"

    @property
    def is_written(self) -> bool:
        """Whether the kernel writes into the argument."""
        return self.role != "in"


class Kernel(NamedTuple):
    """One kernel, as the table declares it."""

    name: str
    arguments: tuple[Argument, ...]  # in order
    returns_float: bool
    formula: str
    accuracy: str  # "exact", "3 ulp", "sum(D+2)", "dx sum(M+2), ..." or "derived"
    topic: str

    @property
    def letters(self) -> tuple[str, ...]:
        """The sizes of the call's arrays as C takes them: in the order of LETTERS."""
        axes = {"n" if axis == "..." else axis[-1] for a in self.arguments for axis in a.shape}
        return tuple(letter for letter in LETTERS if letter in axes)


_LINE = re.compile(
    r"(?P<name>\w+)\((?P<arguments>[^)]*)\)(?P<returns> -> float)?\s+(?P<formula>.*?)\s+\[(?P<accuracy>[^]]*)\]"
)
_ARGUMENT = re.compile(
    r"(?P<mark>[>=]?)(?P<name>\w+)(?:\[(?P<shape>[^]]*)\])?(?P<optional>\??)(?:<(?P<limit>[\w*]+))?"
    r"(?:~(?P<alias>\w+))?(?::(?P<least>\d+)|:(?P<bool>bool))?"
)


def _parse_argument(text: str) -> Argument:
    match = _ARGUMENT.fullmatch(text)
    assert match, text
    of_array = "label" if match["limit"] else "bool" if match["bool"] else "real"
    return Argument(
        name=match["name"],
        kind="number" if match["shape"] is None else of_array,
        role={"": "in", ">": "out", "=": "inout"}[match["mark"]],
        shape=tuple((match["shape"] or "").split(",")) if match["shape"] else (),
        optional=bool(match["optional"]),
        limit=match["limit"],
        least=None if match["least"] is None else int(match["least"]),
        alias=match["alias"],
    )


def _parse(contract: str) -> dict[str, Kernel]:
    lines = re.sub(r"\n +", " ", contract.strip()).split("\n")  # an indented line continues the one above
    kernels = {}
    topic = ""
    for line in filter(None, lines):
        if line.startswith("# "):
            topic = line[2:]
            continue
        match = _LINE.fullmatch(line)
        assert match, line
        arguments = tuple(
            _parse_argument(a) for a in re.findall(r"[^\s,\[]+(?:\[[^]]*\][^\s,]*)?", match["arguments"])
        )
        kernels[match["name"]] = Kernel(
            match["name"], arguments, match["returns"] is not None, match["formula"], match["accuracy"], topic
        )
    return kernels


KERNELS: dict[str, Kernel] = _parse(CONTRACT)


def _check_windows(kernel: Kernel, sizes: dict[str, Any]) -> None:
    """Compare the sizes of outputs with the number of positions of the window.

    A max-pooling window spans at most LARGEST elements of an image: offsets in it are 32-bit integers.
    """
    for along, window, places in (("H", "P", "Y"), ("W", "Q", "X")):
        if along in sizes and window in sizes:
            expected = window_places(sizes[along], sizes[window], sizes["stride"], sizes.get("pad", 0))
            if sizes[places] != expected:
                raise ValueError(
                    f"{kernel.name}: {places} is {sizes[places]}, expected {expected}, the number of positions "
                    f"of a window of {sizes[window]} along {sizes[along]}, stride {sizes['stride']}, "
                    f"pad {sizes.get('pad', 0)}"
                )
    if "pad" not in sizes and (sizes["P"] - 1) * sizes["W"] + sizes["Q"] > LARGEST:
        raise ValueError(
            f"{kernel.name}: a window of {sizes['P']} x {sizes['Q']} spans more than {LARGEST} elements of an "
            f"image that is {sizes['W']} wide"
        )


def axis_length(axis: str, sizes: Mapping[str, Any]) -> Any:
    """Return the length of an axis such as D or 4D; the axis itself if the size is not known yet."""
    length = sizes.get(axis[-1])
    return axis if length is None else int(axis[:-1] or 1) * length


def _bind_shape(kernel: Kernel, argument: Argument, shape: tuple[int, ...], sizes: dict[str, Any]) -> None:
    """Compare a shape with the declared one, and remember the sizes that it fixes."""
    if argument.shape == ("...",):
        known = sizes.setdefault("...", (argument.name, shape))
        if known[1] != shape:
            raise ValueError(
                f"{kernel.name}: {argument.name} has shape {shape}, expected {known[1]}, the shape of {known[0]}"
            )
        return
    expected = tuple(axis_length(axis, sizes) for axis in argument.shape)
    if len(shape) != len(expected) or any(type(e) is int and e != s for e, s in zip(expected, shape, strict=True)):
        declared = f"[{','.join(argument.shape)}]"
        text = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{kernel.name}: {argument.name}{declared} has shape {shape}, expected {text}")
    sizes.update((axis, length) for axis, length in zip(argument.shape, shape, strict=True) if axis.isalpha())


_MOST_WORK: Any = 100_000  # limit, under a second, on deciding whether strided arrays overlap


class HostMemory:
    """NumPy's arrays as the checks see them; a backend with its own arrays provides the same methods."""

    checks_labels = True

    def refusal(self, value: Any) -> str | None:
        """Reason to reject `value` as an array of this memory, or None."""
        if isinstance(value, np.ma.MaskedArray):
            return "is a masked array, whose mask would be ignored; use .filled(...) or .compressed()"
        return None if isinstance(value, np.ndarray) else f"must be an array, got {type(value).__name__}"

    def plain(self, array: Any) -> Any:
        """The array as a plain one, without a subclass's own operators (np.matrix); the same memory."""
        return array if type(array) is np.ndarray else array.view(np.ndarray)

    def fault(self, array: Any) -> str | None:
        """Reason why a compiled kernel cannot take an array in place, or None."""
        if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
            return None
        return "must be C-contiguous, aligned and in native byte order"

    def is_writeable(self, array: Any) -> bool:
        """Whether a kernel may write into an array."""
        return bool(array.flags.writeable)

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether two arrays share an element."""
        if not (a.size and b.size and np.may_share_memory(a, b)):
            return False
        try:
            return np.shares_memory(a, b, max_work=_MOST_WORK)
        except (np.exceptions.TooHardError, OverflowError):
            return True  # strides too odd to decide: not safe to write through

    def is_same(self, a: Any, b: Any) -> bool:
        """Whether two arrays of one shape are the same elements."""
        return bool(
            a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.strides == b.strides
        )


HOST = HostMemory()


def check_arguments(
    kernel: Kernel, values: Sequence[Any], *, compiled: bool, memory: HostMemory = HOST
) -> list[Any]:
    """Return the arguments of a call as kernels take them, or raise an error, before anything is written.

    Parameters
    ----------
    kernel
        The called kernel's entry in `KERNELS`.
    values
        All arguments of the call, in order.
    compiled
        True for the C kernels, which take C-contiguous, aligned float32 or float64 arrays in native byte
        order; False for the reference, which takes any floating dtype and any layout.
    memory
        The memory that the arrays belong to.

    Returns
    -------
    list
        Python's own numbers, and plain arrays over the memory of those that were given.

    Raises
    ------
    ValueError
        Names the argument, what was expected and what was given.
    IndexError
        A label or an index is out of range; names its position.
    """
    taken: list[Any] = []
    sizes: dict[str, Any] = {}
    arrays: list[tuple[Argument, np.ndarray]] = []
    first_real: tuple[str, np.dtype[Any]] | None = None
    for argument, value in zip(kernel.arguments, values, strict=True):
        where = f"{kernel.name}: {argument.name}"
        if not argument.is_array:
            if argument.least is None:
                taken.append(as_scalar(where, value))
            else:
                sizes[argument.name] = check_integer(where, value, argument.least, LARGEST)
                taken.append(sizes[argument.name])
            continue
        if value is None and argument.optional:
            taken.append(None)
            continue
        if refusal := memory.refusal(value):
            raise ValueError(f"{where} {refusal}")
        value = memory.plain(value)
        taken.append(value)
        if argument.kind == "label":
            if value.dtype != np.int64:
                raise ValueError(f"{where} must have dtype int64, got {value.dtype}")
        elif argument.kind == "bool":
            if value.dtype != np.bool_:
                raise ValueError(f"{where} must have dtype bool, got {value.dtype}")
        elif value.dtype.kind != "f":
            raise ValueError(f"{where} must have a floating dtype, got {value.dtype}")
        elif compiled and value.dtype not in (np.float32, np.float64):
            raise ValueError(f"{where} must have dtype float32 or float64, got {value.dtype}")
        elif first_real is None:
            first_real = argument.name, value.dtype
        elif value.dtype != first_real[1]:
            raise ValueError(
                f"{where} has dtype {value.dtype}, expected {first_real[1]}, the dtype of {first_real[0]}"
            )
        _bind_shape(kernel, argument, value.shape, sizes)
        if compiled and (fault := memory.fault(value)):
            raise ValueError(f"{where} {fault}")
        if argument.is_written and not memory.is_writeable(value):
            raise ValueError(f"{where} is read-only; the kernel writes into it")
        arrays.append((argument, value))
    if "stride" in sizes:
        _check_windows(kernel, sizes)
    for argument, value in arrays:
        if not argument.is_written:
            continue
        for other, array in arrays:
            allowed = other is argument or (other.name == argument.alias and memory.is_same(array, value))
            if not allowed and memory.overlap(value, array):
                raise ValueError(f"{kernel.name}: {argument.name} overlaps {other.name} in memory")
    for argument, value in arrays:
        if argument.limit is not None and not argument.is_written and memory.checks_labels:
            limit = prod(int(size) if size.isdigit() else sizes[size] for size in argument.limit.split("*"))
            check_labels(f"{kernel.name}: {argument.name}", value, limit)
    return taken


def checked(
    function: Callable[_P, _R], *, compiled: bool, memory: HostMemory = HOST, note: str = ""
) -> Callable[_P, _R]:
    """Wrap a kernel's function, found in `KERNELS` by its name, so that every call is checked before it runs.

    `compiled` and `memory` are those of `check_arguments`; `note` follows the formula in the docstring.
    """
    kernel = KERNELS[function.__name__]
    names = [argument.name for argument in kernel.arguments]
    outputs = [] if kernel.returns_float else [i for i, a in enumerate(kernel.arguments) if a.is_written]
    run: Callable[..., _R] = function

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if len(args) + len(kwargs) != len(names) or not kwargs.keys() <= set(names[len(args) :]):
            return function(*args, **kwargs)  # raises Python's own TypeError
        values = [*args, *(kwargs[name] for name in names[len(args) :])]
        taken = check_arguments(kernel, values, compiled=compiled, memory=memory)
        if outputs and all(taken[i] is None or taken[i].size == 0 for i in outputs):
            return cast(_R, None)  # whatever the other sizes: there may be any number of empty rows
        return run(*taken)

    call.__doc__ = f"{kernel.formula}. {note}".strip()
    return call
