"""Test what people have and this machine has not: newer Pythons, 64-bit Arm, Windows. `make platforms` runs this.

Debian's unstable has the Pythons. Their packages are downloaded by debootstrap and only unpacked, which is enough
to run them: amd64's in a chroot, in namespaces that take every mount and process with them when they end; arm64's
by qemu-user, which looks for each file in the unpacked folder first. The sdist in dist/ is built for each, for
arm64 by a cross compiler beside the amd64 Pythons, and its tests run with no checkout near. windows.py does the
same for Windows, under wine. What cannot be had (root, a tool, the mirror, what unstable has broken today) is
skipped, by name and reason; so is what does not end in the time for all. Only a build or a test that fails is an
error.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from attempts import SAFE, FailedError, attempt, get_tools, mirror, print_end, pytest, run
from installed import QUICK, ROOT, tests_alone
from windows import on_windows

PYTHONS = {"3.15": (), "3.14": QUICK}  # the newest runs all files; the order is that in which they start
ON_ARM = "3.14"
CORTEX = "cortex-a72"  # qemu's default has SVE, with which OpenBLAS makes NumPy wrong under it
TESTS_ON_ARM = ("test_kernels", "test_threads", "test_layers", "test_plan", "test_trainer")
NOT_ON_ARM = "not forked_children and not training_has_the_same_bits"  # they only take long under emulation

TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static"}
COMPILERS = ("gcc", "libc6-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
WHEELS_FOR = ("linux", "manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's names, Python's
INSIDE = 'mount -t proc proc $0/proc && mount --rbind /dev $0/dev && chroot $0 "$@"; exit $?'


def inside(root: Path, *command: str, **settings: str) -> str:
    """Run a command in an unpacked amd64."""
    path = {"PATH": "/usr/bin:/usr/sbin", "HOME": "/root", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8"}
    return run("sh", "-c", INSIDE, root, *command, error=FailedError, **path | settings)


def unpack(arch: str, packages: Iterable[str], root: Path) -> Path:
    """Unpack packages of Debian's unstable, with all that they need. Nothing is configured."""
    run("debootstrap", "--download-only", "--variant=minbase", f"--arch={arch}", f"--include={','.join(packages)}",
        "sid", root / "debs", mirror())  # fmt: skip
    for deb in (root / "debs" / "var" / "cache" / "apt" / "archives").glob("*.deb"):
        run("dpkg-deb", "-x", deb, root)
    shutil.rmtree(root / "debs")
    return root


def install(root: Path, arch: str, python: str, *requirements: str | Path) -> None:
    """Install wheels where an unpacked Debian's Python looks for them, by this Python's pip and its settings."""
    run(sys.executable, "-P", "-m", "pip", "install", "-q", "--target", site(root, python), "--upgrade",
        "--implementation", "cp", "--python-version", python, "--only-binary", ":all:",
        *(f"--platform={system}_{MACHINES[arch]}" for system in WHEELS_FOR), *requirements)  # fmt: skip


def site(root: Path, python: str) -> Path:
    """Where a Python of Debian looks for what its owner installed."""
    return root / "usr" / "local" / "lib" / f"python{python}" / "dist-packages"


def build(amd64: Path, arm64: Path | None, python: str, sdist: Path) -> Path:
    """Build the sdist's wheel with an amd64 Python; with `arm64`, for that by the cross compiler."""
    wheels, settings = f"/wheels-{python}-{'arm64' if arm64 else 'amd64'}", {"CC": "gcc"}
    if arm64:
        compiler, data = "aarch64-linux-gnu-gcc", "_sysconfigdata__aarch64-linux-gnu"
        headers = Path("usr", "include", "aarch64-linux-gnu", f"python{python}")
        shutil.copytree(arm64 / headers, amd64 / headers)
        (amd64 / "cross").mkdir()
        for file in (arm64 / "usr" / "lib" / f"python{python}").glob("_sysconfig*aarch64*"):
            shutil.copy(file, amd64 / "cross")
        settings = {"CC": compiler, "LDSHARED": f"{compiler} -shared", "PYTHONPATH": "/cross",
                    "_PYTHON_HOST_PLATFORM": "linux-aarch64", "_PYTHON_SYSCONFIGDATA_NAME": data}  # fmt: skip
    inside(amd64, f"python{python}", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index",
           "-w", wheels, f"/{sdist.name}", **settings)  # fmt: skip
    (wheel,) = (amd64 / wheels[1:]).glob("*.whl")
    return wheel


def emulated(arm64: Path, python: str) -> Path:
    """A command that is arm64's Python: a script, so that the tests' own processes start it, too."""
    for name in set(os.listdir(arm64)) - {"bin", "lib", "usr"}:  # this machine's /tmp and so on
        shutil.rmtree(arm64 / name) if not (arm64 / name).is_symlink() else (arm64 / name).unlink()
    script = arm64.with_name("emulated") / f"python{python}"  # with no lib near, /usr is its prefix
    script.parent.mkdir()
    qemu = f'exec qemu-aarch64-static -L {arm64} -cpu {CORTEX} -0 "$0"'
    script.write_text(f'#!/bin/sh\n{qemu} {arm64}/usr/bin/python{python} "$@"\n')
    script.chmod(0o755)
    return script


def on_amd64(amd64: Path, python: str, sdist: Path) -> None:
    """Build and test with an amd64 Python."""
    install(amd64, "amd64", python, f"{build(amd64, None, python, sdist)}[test]")
    files = PYTHONS[python]
    said = inside(amd64, "sh", "-c", 'cd /room && exec "$0" "$@"', f"python{python}", *pytest(files), **SAFE)
    print_end(f"Python {python}, {'quick' if files else 'all'} tests", said)


def on_arm64(amd64: Path, unpacked: Future[Path], sdist: Path) -> None:
    """Build with the cross compiler, test under the emulator, file by file, so that those that ended count."""
    arm64 = unpacked.result()
    install(arm64, "arm64", ON_ARM, build(amd64, arm64, ON_ARM, sdist), "pytest", "hypothesis")
    python = emulated(arm64, ON_ARM)
    for name in TESTS_ON_ARM:
        said = run(python, *pytest((name,), NOT_ON_ARM), cwd=amd64 / "room", error=FailedError, **SAFE)
        print_end(f"Python {ON_ARM} on arm64, {name}", said)


def on_debian(sdist: Path, work: Path, pool: ThreadPoolExecutor) -> None:
    """Unpack, build and test what is Debian's."""
    get_tools(TOOLS)
    of_python = [f"python{python}{part}" for python in PYTHONS for part in ("", "-dev")]
    arm64 = pool.submit(unpack, "arm64", [f"python{ON_ARM}", f"python{ON_ARM}-dev"], work / "arm64")
    amd64 = unpack("amd64", [*of_python, *COMPILERS], work / "amd64")
    shutil.copy(sdist, amd64)
    tests_alone(sdist, amd64)
    for python in PYTHONS:
        install(amd64, "amd64", python, "cython", "numpy", "pip", "setuptools")
    steps = [pool.submit(attempt, f"Python {ON_ARM} on arm64", on_arm64, amd64, arm64, sdist)]
    steps += [pool.submit(attempt, f"Python {python}", on_amd64, amd64, python, sdist) for python in PYTHONS]
    if not all(step.result() for step in steps):
        raise FailedError("what is said above")


def main() -> None:
    """Do it all in a folder that is removed, two at a time."""
    (sdist,) = (ROOT / "dist").glob("scratchnet-*.tar.gz")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        work = Path(folder)
        on_wine = pool.submit(attempt, "Python for Windows", on_windows, sdist, work / "windows")
        if not all((attempt("newer Pythons and arm64", on_debian, sdist, work, pool), on_wine.result())):
            sys.exit(1)


if __name__ == "__main__":
    main()
