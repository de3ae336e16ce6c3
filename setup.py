"""Everything static is in pyproject.toml; this file only says how the one extension is compiled."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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
        "-fno-asynchronous-unwind-tables",  # nothing unwinds through it, and they are bytes of every wheel
        "-pthread",
        "-Wall",
        "-Wextra",
        "-g0",
    ],
    "msvc": ["/std:c11", "/experimental:c11atomics", "/O2", "/fp:precise"],
}

# What only GCC takes: no second copies of loops, for a stride or an argument that they do not gain from.
OF_GCC = ["-fno-version-loops-for-strides", "-fno-ipa-cp-clone"]

# GCC's for Cython's file, which has no loop over numbers: as fast with these, and a quarter smaller.
FOR_CYTHON = [
    "-O2",
    "-fno-align-functions",
    "-fno-align-jumps",
    "-fno-align-loops",
    "-fno-align-labels",
    "-fno-inline-functions-called-once",
    "-fno-jump-tables",
    "-fno-optimize-strlen",
    "-fno-tree-pre",
]

# And for the loops of processors before AVX2, of which few are left: a quarter smaller, and the products as fast;
# logarithms and some sums take 1.2 to 1.8 times as long.
FOR_BASELINE = ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic"]
SMALLER = {"cpu.c": FOR_CYTHON, "isa_baseline.c": FOR_BASELINE}

# SCRATCHNET_BUILD=debug checks every index of the .pyx; =coverage counts its lines that ran.
BUILD = os.environ.get("SCRATCHNET_BUILD", "release")
FAST = {"boundscheck": False, "wraparound": False, "cdivision": True}
CHECKED = {"boundscheck": True, "wraparound": False, "cdivision": False, "nonecheck": True}
DIRECTIVES, MORE_FLAGS, MACROS = {
    "release": (FAST, [], []),
    "debug": (CHECKED, ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"], []),
    "coverage": (FAST | {"linetrace": True}, ["-O1"], [("CYTHON_TRACE", "1")]),
}[BUILD]
C_FOLDER = None if BUILD == "coverage" else f"build/{BUILD}/cython"  # coverage looks for the .c beside the .pyx


class BuildExt(build_ext):
    """Chooses the flags when the compiler is known."""

    def build_extension(self, ext):
        msvc = self.compiler.compiler_type == "msvc"
        ext.extra_compile_args = [*FLAGS["msvc" if msvc else "unix"]]
        if not msvc:  # the folder of the build leaves no trace in the library
            ext.extra_compile_args += [f"-ffile-prefix-map={os.getcwd()}=.", *MORE_FLAGS]
            if BUILD == "release" and is_gcc(self.compiler.compiler_so):
                ext.extra_compile_args += OF_GCC
                self.compiler._compile = smaller(self.compiler._compile)
            self.compiler.compile = on_all_cores(self.compiler.compile)
        super().build_extension(ext)


def is_gcc(command):
    """Whether a compiler is GCC itself: clang defines __GNUC__ as well."""
    told = subprocess.run([*command, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True).stdout
    return "__GNUC__" in told and "__clang__" not in told


def smaller(compile_file):
    """Return the compiler's function with more flags for some files; distutils has one list for all."""

    def compile_one(obj, src, ext, cc_args, extra_postargs, pp_opts):
        more = SMALLER.get(os.path.basename(src), [])
        return compile_file(obj, src, ext, cc_args, [*extra_postargs, *more], pp_opts)

    return compile_one


def on_all_cores(compile_files):
    """Return the compiler's function with a file a core at a time; distutils compiles one after another."""

    def compile_all(sources, *options, **named):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = {
                source: pool.submit(compile_files, [source], *options, **named)
                for source in longest_first(sources)
            }
        return [name for source in sources for name in runs[source].result()]  # linked in the order of the sources

    return compile_all


def longest_first(sources):
    """Sort the files that take longest to the front, so that no core ends long before another."""
    longest = ["isa_avx512.c", "cpu.c", "isa_avx2.c", "isa_baseline.c"]  # 23, 18, 14 and 10 s; the rest 1.5 s
    names = [os.path.basename(source) for source in sources]
    place = {s: longest.index(n) if n in longest else len(longest) for s, n in zip(sources, names, strict=True)}
    return sorted(sources, key=place.__getitem__)


cpu = Extension(
    "scratchnet.backends.cpu",
    sources=["scratchnet/backends/cpu.pyx", *sorted(glob("csrc/*.c"))],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
        *MACROS,
    ],
    depends=sorted(glob("scratchnet/backends/*.px[di]") + glob("csrc/*.h") + glob("csrc/*.inc")),
)

setup(
    ext_modules=cythonize([cpu], build_dir=C_FOLDER, compiler_directives=DIRECTIVES),
    cmdclass={"build_ext": BuildExt},
    options={"build": {"build_base": f"build/{BUILD}"}},  # so that no build takes another's objects
)
