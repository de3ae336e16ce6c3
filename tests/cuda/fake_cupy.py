"""A fake `cupy` module: its arrays are in host memory, its kernels run in the emulator.

As strict as CuPy where host code could go wrong: arrays of the two kinds do not mix, nothing is converted
silently, nothing synchronises in a capture, and `empty` holds no zeros. `install` puts it in CuPy's place.
Every operation runs at once; what streams do at the same time is not seen.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import emulator
import numpy as np
from emulator import RawModule as RawModule

__version__ = "14.2.0"
available = True  # a test sets it to False to have no device

DTYPES = "?bhilqBHILQefdFD"
VIEWS = ("reshape", "ravel", "transpose", "swapaxes", "squeeze", "view")  # no work for the device
METHODS = (*VIEWS, "all", "any", "argmax", "argmin", "astype", "clip", "copy", "cumsum", "dot", "flatten", "max")
METHODS += ("mean", "min", "nonzero", "prod", "repeat", "round", "std", "sum", "take", "var")
CUBLAS = ("dot", "einsum", "inner", "matmul", "outer", "tensordot", "vdot")


# ---- arrays ----------------------------------------------------------------------------------------------


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the emulated device; `_host` is where it really lies."""

    __slots__ = ("__weakref__", "_host", "base")

    def __init__(self, shape: Any, dtype: Any = float, *, order: str = "C") -> None:
        self._host = emulator.allocate(shape, _checked_dtype(dtype), order)
        self.base: ndarray | None = None
        # What a kernel or copy has not written must show.
        if self._host.dtype.kind in "fc":
            self._host.fill(np.nan)
        elif self._host.dtype.kind in "iu":
            self._host.fill(np.iinfo(self._host.dtype).max)
        else:
            self._host.fill(True)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return _call(ufunc, *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        namesake = globals().get(function.__name__)
        if namesake is not None:
            return namesake(*args, **kwargs)
        return _call(function, *args, **kwargs)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = self._host.__array_interface__
        strides = None if self._host.flags.c_contiguous else self._host.strides
        parts = {name: interface[name] for name in ("shape", "typestr", "descr")}
        return {**parts, "data": (self.data.ptr, False), "strides": strides, "version": 3, "stream": 1}

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    size = property(lambda self: self._host.size)
    ndim = property(lambda self: self._host.ndim)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: Device(0))
    T = property(lambda self: self.transpose())

    @property
    def flags(self) -> SimpleNamespace:
        """CuPy's flags: there is no `writeable` and no `aligned`."""
        f = self._host.flags
        return SimpleNamespace(
            c_contiguous=f.c_contiguous, f_contiguous=f.f_contiguous, forc=f.forc, owndata=self.base is None
        )

    @property
    def data(self) -> SimpleNamespace:
        """The pointer; an empty array has none."""
        ptr = self._host.ctypes.data if self._host.size else 0
        return SimpleNamespace(ptr=ptr, device=Device(0), device_id=0)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        """Copy to the host."""
        _refuse_in_capture()
        if out is None:
            return self._host.copy(order)
        if out.dtype != self.dtype or out.shape != self.shape:
            raise TypeError(f"{out.dtype}{out.shape} cannot be obtained from {self.dtype}{self.shape}")
        out[...] = self._host
        return out

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        """Copy from the host."""
        _refuse_in_capture()
        if not isinstance(array, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if array.dtype != self.dtype:
            raise TypeError(f"{array.dtype} array cannot be set to {self.dtype} array")
        if array.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {array.shape}")
        if not self._host.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        self._host[...] = array

    def fill(self, value: Any) -> None:
        plain = _unwrap(value)
        _enqueue(lambda: self._host.fill(plain))

    def __getitem__(self, index: Any) -> ndarray:
        plain = _plain_index(index)
        host = self._host[plain]
        if isinstance(host, np.generic):  # CuPy gives a view of the element
            host = self._host[(*plain, ...) if isinstance(plain, tuple) else (plain, ...)]
        if capturing is not None and not np.may_share_memory(host, self._host):
            raise NotImplementedError("the fake CuPy captures no index arrays")
        return _wrap(host, [self])

    def __setitem__(self, index: Any, value: Any) -> None:
        plain_index, plain = _plain_index(index), _unwrap(value)
        if isinstance(value, (list, tuple)):
            raise TypeError(f"Unsupported type {type(value)}")
        _enqueue(lambda: self._host.__setitem__(plain_index, plain))

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def item(self, *index: Any) -> Any:
        return self.get().item(*index)

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __reduce__(self) -> Any:
        return array, (self.get(),)

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return _call(getattr(np.ndarray, name), self, *args, **kwargs)

    return method


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


# ---- from NumPy's functions to ours ----------------------------------------------------------------------


def _checked_dtype(dtype: Any) -> np.dtype:
    checked = np.dtype(dtype)
    if checked.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {checked}")
    return checked


def _unwrap(value: Any) -> Any:
    """What NumPy shall see of an argument; arrays of the host are refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (list, tuple):
        return type(value)(_unwrap(v) for v in value)
    return value


def _plain_index(index: Any) -> Any:
    """The index as NumPy's; lists and arrays of the host would be hidden copies to the device."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray)):
            raise IndexError(f"index of type {type(part)}; arrays that index must lie on the device")
    return _unwrap(index)


def _wrap(value: Any, inputs: list[ndarray]) -> Any:
    """A result as ours. Reductions to one number are arrays without axes, as in CuPy."""
    if type(value) in (list, tuple):
        return type(value)(_wrap(v, inputs) for v in value)
    if isinstance(value, np.generic):
        value = np.array(value)
    if not isinstance(value, np.ndarray):
        return value
    for other in inputs:
        if value is other._host:
            return other
        if np.may_share_memory(value, other._host):
            view = ndarray.__new__(ndarray)
            view._host = value
            view.base = other if other.base is None else other.base
            return view
    is_fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    fresh = ndarray(value.shape, value.dtype, order="F" if is_fortran else "C")
    fresh._host[...] = value
    return fresh


def _arrays_in(values: Any) -> list[ndarray]:
    found = []
    for value in values:
        if isinstance(value, ndarray):
            found.append(value)
        elif type(value) in (list, tuple):
            found += _arrays_in(value)
    return found


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function of NumPy on our arrays."""
    name = function.__name__
    if isinstance(function, np.ufunc) and any(isinstance(a, (list, tuple)) for a in args):
        raise TypeError("Unsupported type <class 'list'> or <class 'tuple'>")
    plain, named = _unwrap(args), {key: _unwrap(value) for key, value in kwargs.items()}
    out = kwargs.get("out")
    if capturing is not None and name not in VIEWS:
        if name in CUBLAS:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if out is None:
            raise NotImplementedError(f"the fake CuPy captures {name} only with out=, not into new memory")
        _enqueue(lambda: function(*plain, **named))
        return out
    result = _wrap(function(*plain, **named), _arrays_in((*args, *kwargs.values())))
    if capturing is not None and result.base is None:
        raise NotImplementedError(f"{name} copies here, which the fake CuPy does not capture")
    return result if out is None else out


def __getattr__(name: str) -> Any:
    """NumPy's namesake: types and constants as they are, functions on our arrays."""
    if name.startswith("_"):
        raise AttributeError(name)
    value = getattr(np, name)
    if isinstance(value, type) or not callable(value):
        return value

    def function(*args: Any, **kwargs: Any) -> Any:
        return _call(value, *args, **kwargs)

    return function


def array(obj: Any, dtype: Any = None, copy: bool = True, order: str | None = "K", ndmin: int = 0) -> ndarray:
    if isinstance(obj, ndarray):
        if not copy and dtype in (None, obj.dtype):
            return obj
        return obj.astype(obj.dtype if dtype is None else dtype, order=order or "K")
    _refuse_in_capture()
    if isinstance(obj, (list, tuple)) and (inside := _arrays_in(obj)):
        return _wrap(np.array(_unwrap(obj), dtype), inside)
    host = np.array(obj, dtype, order=order, ndmin=ndmin)
    _checked_dtype(host.dtype)
    return _wrap(host, [])


def asarray(a: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    return array(a, dtype, copy=False, order=order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    device = asarray(a, dtype)
    return device if device._host.flags.c_contiguous else device.copy("C")


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    host = np.empty_like(_unwrap(prototype), dtype, order, shape=shape)
    return ndarray(host.shape, host.dtype, order="C" if host.flags.c_contiguous else "F")


def get_array_module(*args: Any) -> Any:
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in args) else np


class _Random:
    """CuPy's own stream of random numbers: it has nothing to do with NumPy's."""

    def __init__(self) -> None:
        self.state = np.random.RandomState(0)

    def __getattr__(self, name: str) -> Any:
        draw = getattr(self.state, name)

        def function(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
            if capturing is not None:
                raise NotImplementedError("calling cuRAND API during stream capture is currently unsupported")
            result = _wrap(draw(*_unwrap(args), **kwargs), _arrays_in(args))
            return result if dtype is None else result.astype(dtype)

        return function


random = _Random()


# ---- devices, streams and graphs -------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for the CUDA runtime's errors."""


class Device:
    """The one device there is."""

    compute_capability = "90"

    def __init__(self, device: int | None = None) -> None:
        if device not in (None, 0):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __hash__(self) -> int:
        return self.id

    def use(self) -> Device:
        return self

    def synchronize(self) -> None:
        _refuse_in_capture()


class Graph:
    """Recorded work; `launch` does it, with the pointers and numbers of the recording."""

    def __init__(self, work: list[Callable[[], Any]]) -> None:
        self.work = work

    def upload(self, stream: Any = None) -> None:
        pass

    def launch(self, stream: Any = None) -> None:
        if capturing is not None:
            raise NotImplementedError("the fake CuPy captures no launches of graphs")
        for step in self.work:
            step()


class Stream:
    """A queue whose work is done at once, or recorded while it captures."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.ptr = 0 if null else id(self)
        self.recorded: list[Callable[[], Any]] = []
        self.before: list[Stream] = []

    def __enter__(self) -> Stream:
        global current
        self.before.append(current)
        current = self
        return self

    def __exit__(self, *error: Any) -> None:
        global current
        current = self.before.pop()

    def use(self) -> Stream:
        global current
        current = self
        return self

    def synchronize(self) -> None:
        _refuse_in_capture()

    def is_capturing(self) -> bool:
        return capturing is self

    def begin_capture(self, mode: Any = None) -> None:
        global capturing
        if self.ptr == 0:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the null stream cannot be captured")
        if capturing is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: a capture has begun already")
        capturing = self
        self.recorded = []
        emulator.recorder = _record_launch

    def end_capture(self) -> Graph:
        global capturing
        if capturing is not self:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream does not capture")
        capturing = None
        emulator.recorder = None
        return Graph(self.recorded)


Stream.null = Stream(null=True)
current = Stream.null
capturing: Stream | None = None


def _refuse_in_capture() -> None:
    """Copies between host and device, and whatever waits."""
    if capturing is not None:
        raise RuntimeError("the current stream is capturing, so synchronous API calls are disallowed")


def _enqueue(work: Callable[[], Any], stream: Stream | None = None) -> None:
    """Do work of the device now, or record it."""
    if capturing is None:
        work()
    elif (stream or current) is not capturing:
        raise RuntimeError("work on another stream than the one that captures")
    else:
        capturing.recorded.append(work)


def _record_launch(launch: emulator.Launch) -> None:
    _enqueue(launch.run, launch.stream)


def is_available() -> bool:
    return available


def _device_count() -> int:
    if not available:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    return 1


def _device_properties(device: int) -> dict[str, Any]:
    return {
        "name": b"emulated",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 2,
        "warpSize": emulator.WARP,
        "maxThreadsPerBlock": emulator.MOST_THREADS,
        "sharedMemPerBlock": emulator.SHARED_LIMIT,
        "sharedMemPerBlockOptin": emulator.SHARED_OPT_IN_LIMIT,
        "totalGlobalMem": 2**34,
        "l2CacheSize": 2**25,
    }


cuda = SimpleNamespace(
    Device=Device,
    Graph=Graph,
    Stream=Stream,
    get_current_stream=lambda: current,
    is_available=is_available,
    nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
    runtime=SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        deviceSynchronize=_refuse_in_capture,
        driverGetVersion=lambda: 12090,
        getDevice=lambda: 0,
        getDeviceCount=_device_count,
        getDeviceProperties=_device_properties,
        runtimeGetVersion=lambda: 12090,
    ),
)


@contextlib.contextmanager
def install() -> Iterator[Any]:
    """Be `cupy` for a while, in a fresh state."""
    global available, capturing, current
    names = ("cupy", "cupy.cuda")
    before = {name: sys.modules.get(name) for name in names}
    available, capturing, current = True, None, Stream.null
    emulator.recorder = None
    sys.modules["cupy"] = sys.modules[__name__]
    sys.modules["cupy.cuda"] = cuda  # type: ignore[assignment]
    try:
        yield sys.modules[__name__]
    finally:
        available, capturing, current = True, None, Stream.null
        emulator.recorder = None
        for name in names:
            sys.modules.pop(name)
            if before[name] is not None:
                sys.modules[name] = before[name]
