"""NVIDIA's run-time compiler by ctypes: compiles CUDA C for any architecture, without a GPU and without CuPy.

It comes with the wheel nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc, for CUDA 13).
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("nvidia/cuda_nvrtc/lib/libnvrtc.so.*", "nvidia/cu1[0-9]/lib/libnvrtc.so.*")
# What CuPy adds to the options that it is given.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")


class NVRTCError(RuntimeError):
    """The source does not compile; holds the compiler's log."""


@dataclass(frozen=True)
class Kernel:
    """What the assembler says of a kernel on one architecture."""

    registers: int
    spilled: int  # bytes stored to and loaded from memory for want of registers


def find() -> Path | None:
    """The library's path, the newest first; None where the wheel is not installed."""
    found = [path for folder in sys.path for pattern in LIBRARIES for path in Path(folder).glob(pattern)]
    return max(found, key=lambda path: int(path.suffix[1:]), default=None)


class NVRTC:
    """The compiler."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise NVRTCError(f"{name}: {self._library.nvrtcGetErrorString(status).decode()}")

    def architectures(self) -> list[int]:
        """Return the architectures that it compiles for: 90 is sm_90."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return list(numbers)

    def compile(self, source: str, architecture: int, options: tuple[str, ...]) -> tuple[dict[str, Kernel], str]:
        """Compile to machine code; return what is said of each kernel, and the log.

        Raises
        ------
        NVRTCError
            It does not compile.
        """
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"cuda.cu", 0, None, None)
        try:
            words = (*options, *CUPY_OPTIONS, f"-arch=sm_{architecture}", "--ptxas-options=-v")
            encoded = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
            try:
                self._call("nvrtcCompileProgram", program, len(words), encoded)
            except NVRTCError as error:
                raise NVRTCError(f"{error}\n{self._log(program)}") from None
            log = self._log(program)
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))
        return dict(_kernels(log)), log

    def _log(self, program: ctypes.c_void_p) -> str:
        size = ctypes.c_size_t()
        self._call("nvrtcGetProgramLogSize", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call("nvrtcGetProgramLog", program, text)
        return text.value.decode()


def _kernels(log: str) -> Iterator[tuple[str, Kernel]]:
    for part in log.split("Compiling entry function ")[1:]:
        registers = re.search(r"Used (\d+) registers", part)
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", part)
        assert registers and spills, part
        yield part.split("'")[1], Kernel(int(registers[1]), sum(map(int, spills)))
