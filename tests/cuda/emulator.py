"""Runs CUDA C kernels on the CPU with CuPy's call signatures, to test them without a GPU.

`RawModule` compiles the source behind emulator.h with the C++ compiler and keeps the library in a cache.
Whatever CuPy or the hardware would refuse, or take and compute nonsense from, raises an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HEADER = Path(__file__).with_name("emulator.h")
SCHEDULES = ("forward", "reverse", "shuffled", "warp ahead")
FLAGS = ("-std=c++17", "-O1", "-g1", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-strict-aliasing")
ARITHMETIC = ("-ffp-contract=off",)  # a*b + c is two roundings, as with -fmad=false; fma() is one
IGNORED_OPTIONS = re.compile(r"--?(fmad|std|use_fast_math|ftz|prec-div|prec-sqrt|extra-device-vectorization)\b")
LAUNCH_BOUNDS = r"(?:__launch_bounds__\s*\([^{;]*?\)\s*)?"
KERNEL = re.compile(rf"__global__\s+{LAUNCH_BOUNDS}(?:static\s+)?void\s+{LAUNCH_BOUNDS}(\w+)\s*\(")

WARP = 32
MOST_THREADS = 1024  # of a block
BLOCK_LIMITS = (MOST_THREADS, MOST_THREADS, 64)
FENCE = 512  # bytes
GRID_LIMITS = (2**31 - 1, 65535, 65535)
SHARED_LIMIT = 48 * 1024  # bytes of shared memory that a kernel gets without asking
SHARED_OPT_IN_LIMIT = 227 * 1024


class EmulatorError(RuntimeError):
    """A kernel or its call is wrong, or there is no way to run it here."""


launches: list[str] = []  # the kernels that have run, in order; tests clear it
recorder: Callable[[Launch], None] | None = None  # takes launches instead of running them: a capturing stream

_schedule = (0, 0)
_one_at_a_time = threading.Lock()  # the engine's state is global


@contextlib.contextmanager
def schedule(name: str, seed: int = 0) -> Iterator[None]:
    """Choose the order in which threads and blocks run."""
    global _schedule
    before, _schedule = _schedule, (SCHEDULES.index(name), seed)
    try:
        yield
    finally:
        _schedule = before


def compiler() -> str | None:
    """The C++ compiler's path."""
    names = (os.environ.get("CXX", "").split() or [""])[0], "g++", "clang++", "c++"
    return next((path for name in names if name and (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why kernels cannot run here, or None."""
    if not sys.platform.startswith("linux"):
        return f"the CUDA emulator runs on Linux, not on {sys.platform}"
    if compiler() is None:
        return "the CUDA emulator needs a C++ compiler (g++ or clang++)"
    return None


def _run(command: list[str], source: str = "") -> str:
    result = subprocess.run(command, input=source, capture_output=True, text=True)
    if result.returncode:
        raise EmulatorError(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def _definitions(options: tuple[str, ...]) -> list[str]:
    """The options that the C++ compiler shall have; NVRTC's others mean nothing to it."""
    unknown = [o for o in options if not o.startswith("-D") and not IGNORED_OPTIONS.match(o)]
    if unknown:
        raise EmulatorError(f"unknown options {unknown}")
    return [o for o in options if o.startswith("-D")]


def _cache() -> Path:
    """A folder for libraries that nobody else can write into."""
    folder = Path(tempfile.gettempdir()) / f"scratchnet-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmulatorError(f"{folder} belongs to somebody else")
    return folder


def _build(code: str, definitions: list[str], expressions: tuple[str, ...]) -> Path:
    """Compile the kernels, unless the same have been compiled before."""
    if reason := missing():
        raise EmulatorError(reason)
    cxx = compiler()
    command = [cxx, *FLAGS, *ARITHMETIC, *definitions]
    if os.environ.get("EMULATOR_SANITIZE"):
        command += ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"]
    parts = [HEADER.read_text("utf-8"), code, repr((command, expressions, os.stat(cxx).st_mtime))]
    library = _cache() / (hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24] + ".so")
    if library.exists():
        return library
    # The preprocessor says which kernels there are, after #if and macros; without the header __global__ stays.
    bare = _run([cxx, "-E", "-P", "-x", "c++", "-DSN_EMULATED", *definitions, "-"], code)
    names = (*dict.fromkeys(KERNEL.findall(re.sub(r"template\s*<[^{;]*", "", bare))), *expressions)
    table = ", ".join(f'describe("{name}", {name})' for name in names)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source = Path(folder) / "kernels.cpp"
        source.write_text(
            f'#include "{HEADER}"\n'
            # No name is visible outside: a shared array in an inline function or template stays in its section.
            f'namespace {{\n#line 1 "kernels.cu"\n{code}\n}}\n'
            "static const std::vector<emulator::Kernel> &emulator::kernels() {\n"
            f"    static const std::vector<Kernel> table = {{{table}}};\n    return table;\n}}\n",
            "utf-8",
        )
        built = Path(folder) / "kernels.so"
        _run([*command, str(source), "-o", str(built)])
        os.replace(built, library)  # several processes may build the same at once
    return library


# A signalling NaN: what is computed from it is a quiet NaN, so that even += shows in a fence, and keeps most of
# its bits, so that a result that came from a fence can be told from other NaN.
FENCES = {"float32": np.uint32(0x7FA5A5A5), "float64": np.uint64(0x7FF5A5A5A5A5A5A5)}
KEPT_BITS = {"float32": np.uint32(0x7FBFFFFF), "float64": np.uint64(0x7FF7FFFFFFFFFFFF)}
OTHER_FENCE = np.uint8(0xFF)


class Memory(np.ndarray):
    """The bytes of an array, and before and behind them a fence that no kernel may read or write."""

    kind: str  # the dtype's name
    fence: bytes

    @property
    def was_written_outside(self) -> bool:
        plain = self.view(np.ndarray)
        return plain[:FENCE].tobytes() != self.fence or plain[-FENCE:].tobytes() != self.fence

    @property
    def came_from_outside(self) -> bool:
        if self.kind not in FENCES:
            return False
        bits = FENCES[self.kind]
        inside = self.view(np.ndarray)[FENCE:-FENCE].view(bits.dtype)
        return bool((inside & KEPT_BITS[self.kind] == bits).any())


def allocate(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Make an array whose memory lies between fences."""
    dtype = np.dtype(dtype)
    bits = FENCES.get(dtype.name, OTHER_FENCE)
    memory = Memory(int(np.prod(shape)) * dtype.itemsize + 2 * FENCE, np.uint8)
    memory.fill(0)
    memory.kind = dtype.name
    memory.fence = bits.tobytes() * (FENCE // bits.itemsize)
    memory[:FENCE] = memory[-FENCE:] = np.frombuffer(memory.fence, np.uint8)
    return np.ndarray(shape, dtype, memory, FENCE, order=order)


class RawModule:
    """The kernels of a CUDA C source; the arguments are CuPy's."""

    def __init__(
        self,
        code: str,
        *,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"options must be a tuple, not {type(options).__name__}")
        if backend != "nvrtc":
            raise EmulatorError(f"unknown backend {backend!r}")
        library = ctypes.CDLL(str(_build(code, _definitions(options), tuple(name_expressions or ()))))
        library.emulator_name.restype = library.emulator_parameters.restype = ctypes.c_char_p
        library.emulator_launch.restype = ctypes.c_char_p
        library.emulator_launch.argtypes = [
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_uint),
            ctypes.c_uint64,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_uint64,
        ]
        self.loaded = library
        self.is_cooperative = bool(enable_cooperative_groups)
        self.numbers = {library.emulator_name(i).decode(): i for i in range(library.emulator_count())}

    def compile(self, log_stream: Any = None) -> None:
        """Nothing is left to do."""

    def get_function(self, name: str) -> RawKernel:
        if name not in self.numbers:
            raise AttributeError(f"there is no kernel {name!r}; there are {sorted(self.numbers)}")
        return RawKernel(self, name)


class RawKernel:
    """A kernel, to be called as kernel(grid, block, arguments)."""

    def __init__(self, module: RawModule, name: str) -> None:
        self.module = module
        self.name = name
        self.number = module.numbers[name]
        self.parameters = module.loaded.emulator_parameters(self.number).decode().split()
        self.max_dynamic_shared_size_bytes = SHARED_LIMIT

    def __call__(self, grid: tuple, block: tuple, args: Any, *, shared_mem: int = 0, stream: Any = None) -> None:
        launch = Launch(self, grid, block, args, shared_mem, stream)
        if recorder is None:
            launch.run()
        else:
            recorder(launch)


class Launch:
    """A checked call of a kernel, with its pointers and numbers as they were."""

    def __init__(self, kernel: RawKernel, grid: Any, block: Any, args: Any, shared_mem: int, stream: Any) -> None:
        self.kernel = kernel
        self.stream = stream
        self.shared_mem = self._checked_shared_memory(shared_mem)
        self.shape = (ctypes.c_uint * 6)(*self._checked_shape(grid, block))
        self.owners: list[weakref.ref] = []  # of the memory behind pointers
        if len(args) != len(kernel.parameters):
            raise self._error(f"{len(args)} arguments for {len(kernel.parameters)} parameters")
        self.cells = [self._cell(i, a, p) for i, (a, p) in enumerate(zip(args, kernel.parameters, strict=True))]

    def _error(self, text: str) -> EmulatorError:
        return EmulatorError(f"{self.kernel.name}: {text}")

    def _checked_shared_memory(self, size: int) -> int:
        limit = self.kernel.max_dynamic_shared_size_bytes
        if not 0 <= size <= min(limit, SHARED_OPT_IN_LIMIT):
            raise self._error(f"illegal launch: {size} bytes of dynamic shared memory, {limit} allowed")
        return int(size)

    def _checked_shape(self, grid: Any, block: Any) -> list[int]:
        shape = []
        for name, sizes, limits in (("grid", grid, GRID_LIMITS), ("block", block, BLOCK_LIMITS)):
            if not isinstance(sizes, tuple):
                raise TypeError(f"{name} must be a tuple, not {type(sizes).__name__}")
            full = [int(size) for size in (*sizes, 1, 1, 1)[: max(3, len(sizes))]]
            if len(full) > 3 or not all(1 <= size <= limit for size, limit in zip(full, limits, strict=True)):
                raise self._error(f"illegal launch: {name} {sizes}, limits {limits}, each at least 1")
            shape += full
        threads = shape[3] * shape[4] * shape[5]
        if threads > MOST_THREADS:
            raise self._error(f"illegal launch: {threads} threads in a block, {MOST_THREADS} allowed")
        return shape

    def _cell(self, number: int, argument: Any, parameter: str) -> Any:
        """The memory that holds the argument's value: the launch gets its address."""
        if isinstance(argument, np.ndarray):
            raise TypeError(f"Unsupported type {type(argument)}")  # CuPy's words
        where = f"argument {number}"
        if parameter == "unknown" or parameter.startswith("**"):
            raise self._error(f"{where}: a parameter of this type cannot be passed")
        if not parameter.startswith("*"):
            if not isinstance(argument, np.generic) or argument.dtype != np.dtype(parameter):
                given = type(argument).__name__
                raise self._error(f"{where}: the parameter needs np.{parameter} by value, got {given}")
            return np.array(argument)
        if argument is None:
            raise self._error(f"{where}: some versions of CuPy pass None as another address than 0")
        host = getattr(argument, "_host", None)
        if not isinstance(host, np.ndarray):
            raise self._error(f"{where}: the parameter is a pointer, got {type(argument).__name__}")
        number = np.dtype(np.uint8) if host.dtype == bool else host.dtype  # C++ has no name for NumPy's bool
        if parameter != "*void" and number != np.dtype(parameter[1:]):
            raise self._error(f"{where}: {host.dtype} array for a pointer to {parameter[1:]}")
        if not host.flags.c_contiguous:
            raise self._error(f"{where}: the array is not C-contiguous, and kernels see no strides")
        self.owners.append(weakref.ref(_owner(host)))
        return np.array(host.ctypes.data if host.size else 0, np.uintp)  # CuPy's empty arrays have no memory

    def run(self) -> None:
        """Run the kernel under the chosen schedule."""
        if any(owner() is None for owner in self.owners):
            raise self._error("an array of the recorded launch has been freed")
        module = self.kernel.module
        pointers = (ctypes.c_void_p * len(self.cells))(*(cell.ctypes.data for cell in self.cells))
        number = self.kernel.number
        with _one_at_a_time:
            error = module.loaded.emulator_launch(
                number, self.shape, self.shared_mem, pointers, module.is_cooperative, *_schedule
            )
        launches.append(self.kernel.name)
        if error is not None:
            raise EmulatorError(error.decode())
        for memory in {id(memory): memory for owner in self.owners if (memory := owner()) is not None}.values():
            if not isinstance(memory, Memory):
                continue
            if memory.was_written_outside:
                raise self._error("wrote outside the memory of an array")
            if memory.came_from_outside:
                raise self._error("read outside the memory of an array, and the result shows it")


def _owner(host: np.ndarray) -> np.ndarray:
    """The array that owns the memory of a view."""
    while isinstance(host.base, np.ndarray):
        host = host.base
    return host
