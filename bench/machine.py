"""The machine: pins every library's threads, and describes what ran."""

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "SCRATCHNET_NUM_THREADS",
    "NPROC",  # JAX's pool on the CPU
)


def pin() -> None:
    """Give every library one thread, unless the environment says otherwise. Only NumPy's import reads this."""
    if "numpy" in sys.modules and not all(name in os.environ for name in THREAD_VARIABLES):
        raise RuntimeError("bench: NumPy was imported before its threads were pinned; run the benchmarks alone")
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")


PACKAGES = ("scratchnet", "numpy", "torch", "jax", "jaxlib", "scikit-learn", "thinc", "pytest-benchmark")


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(n: int) -> None:
    """Let scratchnet, NumPy and PyTorch use n threads. JAX has what it was started with: see `fixed_threads`."""
    import scratchnet

    if hasattr(scratchnet, "set_num_threads"):
        scratchnet.set_num_threads(n)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return  # then NumPy keeps one thread, and whoever wants more of it is left out: see `can_set_numpy`
    threadpool_limits(n, user_api="blas")


def can_set_numpy() -> bool:
    """Whether the number of NumPy's threads can be changed in a running process."""
    try:
        version("threadpoolctl")
    except PackageNotFoundError:
        return False
    return True


def fixed_threads() -> int:
    """The threads of what cannot be changed in a running process: JAX."""
    return int(os.environ.get("NPROC") or processors())


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe() -> dict[str, object]:
    """What a reader must know to compare these numbers with their own."""
    from scratchnet.backends import isa

    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu_model(),
        "processors": processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": isa(),
        "threads": {name: os.environ.get(name, "") for name in THREAD_VARIABLES},
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(),
    }
