"""Write what binds the kernels of contract.py to C and to Python, so that a kernel is declared once.

    python tools/generate_bindings.py           writes the files
    python tools/generate_bindings.py --check   fails where a file is not what would be written

Written, and committed, each with a first line that says so:

    csrc/kernels.h                          the C prototypes, with shapes, formula and accuracy
    csrc/table.inc                          the kernels of one type as a table of functions
    csrc/table_entries.inc                  what an instruction set fills it with
    csrc/dispatch.c                         from the prototypes to the table of the type and instruction set
    scratchnet/backends/kernels.pxd         the prototypes for Cython
    scratchnet/backends/cpu_kernels.pxi     the functions that Python calls: check, let go of the GIL, call C
    scratchnet/backends/cpu.pyi             their types, between the two marked lines

It reads contract.py alone and needs neither NumPy's headers nor a built package.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchnet.backends.contract import Argument, Kernel

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 115


def _contract() -> types.ModuleType:
    """Import contract.py from this tree, without the package's own start, which needs the compiled kernels."""
    for name, folder in (("scratchnet", "scratchnet"), ("scratchnet.backends", "scratchnet/backends")):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / folder)]
        sys.modules[name] = package
    from scratchnet.backends import contract

    return contract


contract = _contract()
KERNELS = contract.KERNELS.values()
UPDATES = [kernel.name for kernel in KERNELS if kernel.name.endswith("_update")]

HEADER = "written by tools/generate_bindings.py from backends/contract.py: change that, not this."


def wrapped(start: str, parts: list[str], end: str) -> str:
    """Return start, parts joined by commas, end; in lines that go on under the first part."""
    return fill(
        start + ", ".join(part.replace(" ", "\0") for part in parts) + end,
        WIDTH,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\0", " ")


def declared(argument: Argument) -> str:
    """Return an argument in the notation of the contract."""
    mark = {"in": "", "out": ">", "inout": "="}[argument.role]
    shape = f"[{','.join(argument.shape)}]" if argument.shape else ""
    limit = f"<{argument.limit}" if argument.limit else ""
    alias = f"~{argument.alias}" if argument.alias else ""
    least = "" if argument.least is None else f":{argument.least}"
    kind = ":bool" if argument.kind == "bool" else ""
    return f"{mark}{argument.name}{shape}{'?' * argument.optional}{limit}{alias}{least}{kind}"


def in_words(kernel: Kernel) -> str:
    """Return the arguments, the formula, and the accuracy where it is not a bound of its own."""
    end = "" if kernel.formula.endswith("...") else "."
    text = f"{', '.join(map(declared, kernel.arguments))}: {kernel.formula}{end}"
    return text if kernel.accuracy == "derived" else f"{text} Accuracy: {kernel.accuracy}."


def topics() -> Iterator[tuple[str, Iterator[Kernel]]]:
    """Return the kernels by topic, in the contract's order."""
    return groupby(KERNELS, lambda kernel: kernel.topic)


# C


def c_type(argument: Argument, real: str) -> str:
    """Return the type of an argument in C, `real` being that of the numbers in arrays."""
    if not argument.is_array:
        return "double " if argument.least is None else "sn_size "
    number = {"real": real, "label": "sn_label", "bool": "sn_bool"}[argument.kind]
    return f"{'' if argument.is_written else 'const '}{number} *"


def c_parameters(kernel: Kernel, real: str) -> list[str]:
    """Return the parameters of a kernel in C: sizes, then arguments."""
    sizes = [f"sn_size {letter}" for letter in kernel.letters]
    return sizes + [c_type(a, real) + a.name for a in kernel.arguments]


def c_returns(kernel: Kernel) -> str:
    """Return what a kernel returns in C."""
    return "double" if kernel.returns_float else "void"


def names(kernel: Kernel) -> list[str]:
    """Return the names of a kernel's parameters in C."""
    return [*kernel.letters, *(a.name for a in kernel.arguments)]


def kernels_h() -> str:
    """Return the C prototypes."""
    lines = [f"/* kernels.h: {HEADER}", " *"]
    lines += [" * Included by scratchnet.h, which says what the types and the accuracy are. */", ""]
    for topic, kernels in topics():
        lines += [f"/* ---- {topic} ".ljust(WIDTH - 3, "-") + " */", ""]
        for kernel in kernels:
            text = f"/* {in_words(kernel)} */"
            lines.append(fill(text, WIDTH, subsequent_indent=" * ", break_on_hyphens=False))
            start = f"{c_returns(kernel)} sn_{kernel.name}("
            lines += [wrapped(start, ["sn_type type", *c_parameters(kernel, "void")], ");"), ""]
    codes = ", ".join(f"SN_{name.removesuffix('_update').upper()}" for name in UPDATES)
    lines.append("/* The optimizers' kernels, in the order of the contract. */")
    lines.append(f"typedef enum {{ {codes} }} sn_optimizer;")
    return "\n".join(lines) + "\n"


def table_inc() -> str:
    """Return the type of the table of functions."""
    lines = [f"/* table.inc: {HEADER}", " * Included by table.h once per type, with REAL and FN(name). */", ""]
    lines.append("typedef struct {")
    for kernel in KERNELS:
        lines.append(wrapped(f"    {c_returns(kernel)} (*{kernel.name})(", c_parameters(kernel, "REAL"), ");"))
    return "\n".join([*lines, "} FN(sn_table);"]) + "\n"


def table_entries_inc() -> str:
    """Return the table of an instruction set."""
    lines = [f"/* table_entries.inc: {HEADER}", " * Included by loops.inc once per type. */", ""]
    lines.append("static const FN(sn_table) FN(table) = {")
    lines += [f"    .{kernel.name} = FN({kernel.name})," for kernel in KERNELS]
    return "\n".join([*lines, "};"]) + "\n"


def dispatch_c() -> str:
    """Return the functions of the prototypes."""
    lines = [f"/* dispatch.c: {HEADER} */", "", '#include "processor.h"', ""]
    lines += ["#define CALL(kernel, ...) \\"]
    lines += ["    (type == SN_FLOAT64 ? isa->f64->kernel(__VA_ARGS__) : isa->f32->kernel(__VA_ARGS__))", ""]
    for kernel in KERNELS:
        start = f"{c_returns(kernel)} sn_{kernel.name}("
        lines.append(wrapped(start, ["sn_type type", *c_parameters(kernel, "void")], ")"))
        call = wrapped(f"    {'return ' * kernel.returns_float}CALL(", [kernel.name, *names(kernel)], ");")
        lines += ["{", call, "}", ""]
    return "\n".join(lines[:-1]) + "\n"


# Cython


TYPES = [
    "    ctypedef enum sn_type:",
    "        SN_FLOAT32",
    "        SN_FLOAT64",
    "    ctypedef Py_ssize_t sn_size",
    "    ctypedef int64_t sn_label",
    "    ctypedef unsigned char sn_bool",
    "",
]


def kernels_pxd() -> str:
    """Return the prototypes for Cython."""
    lines = [f"# {HEADER}", "", "from libc.stdint cimport int64_t", ""]
    lines += ['cdef extern from "scratchnet.h" nogil:', *TYPES]
    for kernel in KERNELS:
        start = f"    {c_returns(kernel)} sn_{kernel.name}("
        lines.append(wrapped(start, ["sn_type type", *c_parameters(kernel, "void")], ")"))
    lines += ["", "    ctypedef enum sn_optimizer:"]
    lines += [f"        SN_{name.removesuffix('_update').upper()}" for name in UPDATES]
    return "\n".join(lines) + "\n"


def terms(kernel: Kernel) -> dict[str, str]:
    """Return how many terms each output's sums have, as Cython: from an accuracy such as sum(D+2)."""
    outputs = [a.name for a in kernel.arguments if a.is_written]
    found = {}
    for i, part in enumerate(kernel.accuracy.split(", ")):
        if "sum(" in part:
            name, _, terms_of = part.rpartition("sum(")
            found[name.strip() or outputs[i]] = in_sizes(terms_of.rstrip(")"))
    return found


def in_sizes(expression: str) -> str:
    """Return N*L+3 as Cython: call.size[N] * call.size[L] + 3."""
    products = [product.split("*") for product in expression.split("+")]
    return " + ".join(" * ".join(f if f.isdigit() else f"call.size[{f}]" for f in factors) for factors in products)


def work(kernel: Kernel) -> list[str]:
    """Return how many numbers a call writes, each times the terms of its sum, and reads as labels, as Cython."""
    arrays = [a for a in kernel.arguments if a.is_array]
    counted = [a for a in arrays if a.is_written or a.kind == "label"] or arrays[-1:]
    of_sum = terms(kernel)
    parts = []
    for a in counted:
        product = [axis for letter in a.shape for axis in in_factors(letter)]
        if a.name in of_sum:
            product.append(f"({of_sum[a.name]})" if "+" in of_sum[a.name] else of_sum[a.name])
        parts.append(" * ".join(product))
    return [f"<double>{part}" if "*" in part else part for part in dict.fromkeys(parts)]


def in_factors(axis: str) -> list[str]:
    """Return an axis such as 4D as factors."""
    if axis == "...":
        return ["call.size[n]"]
    return [f"call.size[{axis[-1]}]", *([axis[:-1]] if axis[:-1] else [])]


def conditions(kernel: Kernel) -> list[str]:
    """Return what a call must pass to go to C as it is."""
    arrays = [f"<PyObject *>{a.name}" for a in kernel.arguments if a.is_array]
    found = [f"bind(&_{kernel.name}, [{', '.join(arrays)}], &call)"]
    for a in kernel.arguments:
        if not a.is_array and a.least is None:
            found.append(f"real({a.name}, &{a.name}_)")
        elif not a.is_array:
            found.append(f"whole({a.name}, {a.least}, &{a.name}_)")
    given = {a.name for a in kernel.arguments}
    if "stride" in given:
        window = [f"{letter}_" if letter in given else f"call.size[{letter}]" for letter in "PQ"]
        found.append(f"windows_fit(&call, {', '.join(window)}, stride_, {'pad_' if 'pad' in given else 0})")
        if "pad" not in given:
            found.append(f"<double>({window[0]} - 1) * call.size[W] + {window[1]} <= LARGEST")
    return found


def cython_function(kernel: Kernel) -> str:
    """Return the function that Python calls."""
    name = kernel.name
    arguments = [a.name for a in kernel.arguments]
    assert not set(arguments) & {*kernel.letters, "call", "state"}, "an argument that hides a size or a local"
    doubles = [f"{a.name}_" for a in kernel.arguments if not a.is_array and a.least is None]
    wholes = [f"{a.name}_" for a in kernel.arguments if not a.is_array and a.least is not None]
    lines = [wrapped(f"def {name}(", arguments, "):")]
    doc = fill(f'    """{in_words(kernel)}', WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    lines.append(doc + ('\n    """' if "\n" in doc or len(doc) + 3 > WIDTH else '"""'))
    lines += ["    cdef Call call", "    cdef PyThreadState *state"]
    if doubles:
        lines.append(f"    cdef double {', '.join(doubles)}")
    if wholes:
        lines.append(f"    cdef Py_ssize_t {', '.join(wholes)}")
    if kernel.returns_float:
        lines.append("    cdef double result")
    bound, *others = conditions(kernel)
    if others:
        lines.append(cython_wrapped("    if not (", bound, ""))
        lines += [f"            and {other}" for other in others]
        lines[-1] += "):"
    else:
        lines.append(cython_wrapped("    if not ", bound, ":"))
    lines.append(wrapped(f"        return {name}(*_prepared(", [f'"{name}"', *arguments], "))"))
    lines.append(fill(f"    state = release({' + '.join(work(kernel))})", WIDTH, subsequent_indent=" " * 20))
    lines.append(wrapped(f"    {'result = ' * kernel.returns_float}sn_{name}(", c_values(kernel), ")"))
    lines.append("    restore(state)")
    if kernel.returns_float:
        lines.append("    return result")
    return "\n".join(lines)


def cython_wrapped(start: str, text: str, end: str) -> str:
    """Break a call's list of arrays under its first one."""
    before, _, rest = text.partition("[")
    arrays, _, after = rest.partition("]")
    return wrapped(f"{start}{before}[", arrays.split(", "), f"]{after.replace(' ', chr(0))}{end}")


def c_values(kernel: Kernel) -> list[str]:
    """Return what C is called with."""
    values = ["call.type", *(f"call.size[{letter}]" for letter in kernel.letters)]
    i = 0
    for a in kernel.arguments:
        if a.is_array:
            cast = {"real": "", "label": "<sn_label *>", "bool": "<sn_bool *>"}[a.kind]
            values.append(f"{cast}call.data[{i}]")
            i += 1
        else:
            values.append(f"{a.name}_")
    return values


def c_declared(argument: Argument, arrays: list[str]) -> str:
    """Return an array argument as a Declared of cpu.pyx; what is left out is 0, or not read."""
    fields = [f".kind = KIND_{argument.kind.upper()}"]
    if argument.optional:
        fields.append(".optional = 1")
    if argument.is_written:
        fields += [".written = 1", f".alias = {arrays.index(argument.alias) if argument.alias else -1}"]
    if argument.shape == ("...",):
        fields.append(".ndim = ANY_SHAPE")
    else:
        letters = ", ".join(str(contract.LETTERS.index(axis[-1])) for axis in argument.shape)
        times = ", ".join(axis[:-1] or "1" for axis in argument.shape)
        fields += [f".ndim = {len(argument.shape)}", f".axis = {{{letters}}}", f".times = {{{times}}}"]
    if argument.limit and not argument.is_written:
        limits = argument.limit.split("*")
        sizes = [-1 if limit.isdigit() else contract.LETTERS.index(limit) for limit in limits] + [-1]
        fields += [".limited = 1", f".limit = {limits[0] if limits[0].isdigit() else 1}"]
        fields.append(f".limit_letter = {{{sizes[0]}, {sizes[1]}}}")
    return wrapped("        {", fields, "},")


def contracts() -> list[str]:
    """Return what `bind` compares each kernel's arrays with, as constants of C, and their names in Cython."""
    lines = ["# What `bind` compares a call's arrays with; an axis is the place of its letter in LETTERS", ""]
    lines += ["cdef extern from *:", '    """']
    for kernel in KERNELS:
        arrays = [a for a in kernel.arguments if a.is_array]
        fits = len(arrays) <= 8 and all(len(a.shape) <= 6 for a in arrays)  # MOST_ARRAYS, MOST_AXES of cpu.pyx
        assert fits and all(not (a.limit or "").isdigit() or int(a.limit or 0) < 128 for a in arrays), kernel.name
        lines.append(f"    static const Contract contract_{kernel.name} = {{{len(arrays)}, {{")
        names = [a.name for a in arrays]
        for a in arrays:
            lines += [f"        /* {declared(a)} */", c_declared(a, names)]
        lines.append("    }};")
    lines.append('    """')
    lines += [f'    const Contract _{kernel.name} "contract_{kernel.name}"' for kernel in KERNELS]
    updates = [f'"{name}": SN_{name.removesuffix("_update").upper()}' for name in UPDATES]
    return [*lines, "", wrapped("cdef dict _UPDATES = {", updates, "}"), ""]


def cpu_kernels_pxi() -> str:
    """Return all functions that Python calls."""
    lines = [f"# {HEADER}", "", *contracts()]
    for topic, kernels in topics():
        lines += ["", f"# {topic.partition(':')[0]}", ""]
        lines.append("\n\n\n".join(map(cython_function, kernels)))
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


# The stub

BEGIN = "# Kernels, " + HEADER + "\n"
END = "\n# End of the kernels.\n"


def stub() -> str:
    """Return the types of all functions."""

    def parameter(a) -> str:
        kind = ("float" if a.least is None else "int") if not a.is_array else "_Array"
        return f"{a.name}: {kind}{' | None' * a.optional}"

    lines = []
    for kernel in KERNELS:
        returns = "float" if kernel.returns_float else "None"
        parameters = [parameter(a) for a in kernel.arguments]
        line = f"def {kernel.name}({', '.join(parameters)}) -> {returns}: ..."
        if len(line) > WIDTH:
            line = f"def {kernel.name}(\n    {', '.join(parameters)}\n) -> {returns}: ..."
        if max(map(len, line.split("\n"))) > WIDTH:
            body = "".join(f"    {p},\n" for p in parameters)
            line = f"def {kernel.name}(\n{body}) -> {returns}: ..."
        lines.append(line + "\n")
    return BEGIN + "".join(lines) + END


def cpu_pyi() -> str:
    """Return the stub with its kernels anew, the rest as it is."""
    text = (ROOT / "scratchnet/backends/cpu.pyi").read_text("utf-8")
    before, after = text[: text.index("# Kernels, written by")], text[text.index(END) + len(END) :]
    return before + stub() + after


FILES = {
    "csrc/kernels.h": kernels_h,
    "csrc/table.inc": table_inc,
    "csrc/table_entries.inc": table_entries_inc,
    "csrc/dispatch.c": dispatch_c,
    "scratchnet/backends/kernels.pxd": kernels_pxd,
    "scratchnet/backends/cpu_kernels.pxi": cpu_kernels_pxi,
    "scratchnet/backends/cpu.pyi": cpu_pyi,
}


def main() -> None:
    """Write the files, or say which are stale."""
    stale = []
    for name, make in FILES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text, "utf-8")
                print("wrote", name)
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"stale: {', '.join(stale)}; run python tools/generate_bindings.py")


if __name__ == "__main__":
    main()
