"""Everything static is in pyproject.toml; this file only says how the one extension is compiled."""

from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

# No -ffast-math: it would change results, and the floating-point mode of the whole process.
# -ffp-contract=off keeps a product and a sum two operations, as NumPy's are.
FLAGS = {
    "unix": [
        "-std=c11",
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fvisibility=hidden",
        "-pthread",
        "-Wall",
        "-Wextra",
        "-g0",
    ],
    "msvc": ["/std:c11", "/O2", "/fp:precise"],
}


class BuildExt(build_ext):
    """Chooses the flags when the compiler is known."""

    def build_extension(self, ext):
        ext.extra_compile_args = FLAGS["msvc" if self.compiler.compiler_type == "msvc" else "unix"]
        super().build_extension(ext)


class Sdist(sdist):
    """Adds what a packager wants beside the package: the tests whole, the benchmarks, the other texts."""

    def add_defaults(self):
        super().add_defaults()
        self.filelist.extend(
            glob("tests/**/*.py", recursive=True) + glob("tests/cuda/*.h") + glob("bench/*.py") + glob("bench/*.c")
        )
        self.filelist.extend(
            ["Makefile", "CHANGELOG.md", "README.ko.md", ".github/decision_boundary.png", ".github/scaling.png"]
        )


cpu = Extension(
    "scratchnet.backends.cpu",
    sources=["scratchnet/backends/cpu.pyx", *sorted(glob("csrc/*.c"))],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
    ],
    depends=sorted(glob("scratchnet/backends/*.px[di]") + glob("csrc/*.h") + glob("csrc/*.inc")),
)

setup(
    ext_modules=cythonize([cpu], build_dir="build/cython"),
    cmdclass={"build_ext": BuildExt, "sdist": Sdist},
)
