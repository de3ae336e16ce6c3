"""Write the API's pages, a module each, and the command line's page, as Sphinx reads them.

What is public is what the modules say: `__all__`, or what they define without an underscore. A class or function
is described once, in the first module of the order below that has it; other modules link to it.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import layer_pages

import scratchnet
from scratchnet.__main__ import _parser

# Pages in the order of the navigation. A public module that is not here comes last, under "More".
GROUPS = {
    "Networks and training": "models trainer callbacks checkpoint optimizer gradient base_model rnnlm_trainer "
    "estimators",
    "Layers and functions": "layers time_layers functions",
    "Data, files and pictures": "dataset.spiral dataset.mnist dataset.ptb dataset.sequence dataset.table weights "
    "export plotting util language evaluation",
    "Book 1, in scratchnet.book1": "book1 book1.layers book1.functions book1.gradient book1.optimizer "
    "book1.multi_layer_net book1.multi_layer_net_extend book1.simple_convnet book1.trainer book1.util "
    "book1.dataset book1.dataset.mnist",
    "Book 2, in scratchnet.book2": "book2 book2.layers book2.time_layers book2.functions book2.optimizer "
    "book2.trainer book2.util book2.base_model book2.dataset book2.np book2.config",
    "Your own files": "dropin",
    "Switches": "config np",
}
# Rooms without names of their own for users: what they hold is described where users import it from.
INNER = {"loss_layers", "image_layers", "batch_normalization", "dataset", "plan", "backends", "distributed"}
# Members that are the library's own business, though their names have no underscore.
INTERNAL = {"step_role", "has_classes", "what_delta_adds", "count_steps", "step_numbers", "step_state",
            "step_chain", "decayed", "prepare_labels"}  # fmt: skip


def members_of(cls: type) -> list[str]:
    """The public members of a class that have a docstring, as its sources have them, those of bases first."""
    bases = [c for c in cls.__mro__ if c.__module__.startswith("scratchnet")]
    found = dict.fromkeys(name for base in reversed(bases) for name in vars(base) if not name.startswith("_"))
    return [name for name in found if name not in INTERNAL and _has_text(cls, name)]


def _has_text(cls: type, name: str) -> bool:
    if not str(getattr(getattr(cls, name), "__module__", "scratchnet")).startswith("scratchnet"):
        return False  # what scikit-learn gives to its estimators
    member = inspect.getattr_static(cls, name)
    is_method = inspect.isroutine(member) or isinstance(member, classmethod | staticmethod)
    return bool((is_method or hasattr(member, "__get__")) and inspect.getdoc(getattr(cls, name)))


def public_modules() -> list[str]:
    """All public modules, without the package's name; of `dropin` and `backends` those that users import."""
    found = []
    for info in pkgutil.walk_packages(scratchnet.__path__, "scratchnet."):
        name = info.name.removeprefix("scratchnet.")
        inside = name.partition(".")[0] in ("backends", "dropin") and "." in name
        if not any(part.startswith("_") for part in name.split(".")) and not inside and name not in INNER:
            found.append(name)
    return found


def names_of(module: ModuleType) -> list[str]:
    """A module's public names."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__]
    return [n for n in own if not n.startswith("_")]


def heading(text: str, underline: str = "=") -> list[str]:
    """A heading, of any width of letters."""
    return [text, underline * len(text) * 2, ""]


def shown_by(cls: Any) -> str | None:
    """The name of the page that shows a layer or optimizer, or None."""
    return next((page.name for page in layer_pages.pages() if cls in page.classes), None)


def homes_of(order: list[str]) -> dict[Any, str]:
    """Where each public class and function is described, by its full name there.

    That is the module that defines it, under its own name, else the first that has it.
    """
    homes: dict[Any, str] = {}
    for own in (True, False):
        for name in order:
            module = importlib.import_module(f"scratchnet.{name}".rstrip("."))
            for public in names_of(module):
                value = getattr(module, public, None)
                if _is_described(value) and (
                    not own or (value.__module__, value.__name__) == (module.__name__, public)
                ):
                    homes.setdefault(value, f"{module.__name__}.{public}")
    return homes


def _is_described(value: Any) -> bool:
    is_ours = str(getattr(value, "__module__", "")).startswith("scratchnet")
    return is_ours and (inspect.isclass(value) or inspect.isroutine(value))


def module_page(name: str, homes: dict[Any, str]) -> str:
    """The page of one module; `homes` has where each object is described."""
    full = f"scratchnet.{name}".rstrip(".")
    module = importlib.import_module(full)
    lines = [*heading(full), f".. automodule:: {full}", "   :no-members:", ""]
    elsewhere = []
    described: list[tuple[str, str]] = []
    for public in names_of(module):
        value = getattr(module, public, None)
        if _is_described(value) and homes[value] == f"{full}.{public}":
            described.append((public, "autoclass" if inspect.isclass(value) else "autofunction"))
        elif _is_described(value):
            elsewhere.append(f":py:obj:`{public} <{homes[value]}>`")
    if elsewhere:
        lines += ["Also here: " + ", ".join(elsewhere) + ".", ""]
    for public, directive in described:
        lines += heading(public, "-")
        if page := shown_by(getattr(module, public)):
            lines += [f":doc:`Its graph, formulas, code and cost </layers/{page}>`", ""]
        lines.append(f".. {directive}:: {full}.{public}")
        if directive == "autoclass" and (members := members_of(getattr(module, public))):
            lines.append(f"   :members: {', '.join(members)}")
        lines.append("")
    return "\n".join(lines)


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command line's commands, by their names."""
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(subparsers.choices)


def command_line_page() -> str:
    """The page of the command line, from its own help."""
    parser = _parser(only_run=False)
    lines = [*heading("Command line"), "``scratchnet`` and ``python -m scratchnet`` are the same.", ""]
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    said = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    for name, command in commands(parser).items():
        lines += [*heading(f"scratchnet {name}", "-"), said.get(name) or command.description or "", ""]
        usage = command.format_usage().removeprefix("usage: ").rstrip()
        lines += [".. code-block:: text", "", *(f"   {line}" for line in usage.splitlines()), ""]
        lines += [f".. program:: scratchnet {name}", ""]
        formatter = command._get_formatter()
        for action in command._actions:
            if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
                continue
            names = formatter._format_action_invocation(action)
            text = formatter._expand_help(action) if action.help else ""
            lines += [f".. option:: {names}", "", f"   {text}", ""]
        if command.epilog:
            lines += [command.epilog, ""]
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Write all pages of the API and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    present = public_modules()
    grouped = [name for names in GROUPS.values() for name in names.split()]
    groups = {title: [n for n in names.split() if _exists(n)] for title, names in GROUPS.items()}
    groups["More"] = [name for name in present if name not in grouped]
    order = [*(n for names in groups.values() for n in names), ""]  # the package last: it only passes names on
    homes = homes_of(order)
    for name in order:
        (folder / f"{name or 'scratchnet'}.rst").write_text(module_page(name, homes), "utf-8")
    (folder / "command-line.rst").write_text(command_line_page(), "utf-8")
    index = [*heading("API"), "Every public class and function, from its docstring.", ""]
    groups = {"": ["scratchnet", "command-line"]} | groups
    for title, names in groups.items():
        if names:
            index += [".. toctree::", "   :maxdepth: 1", f"   :caption: {title}" if title else "", ""]
            index += [*(f"   {name}" for name in names), ""]
    (folder / "index.rst").write_text("\n".join(index), "utf-8")


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"scratchnet.{name}") is not None
    except ModuleNotFoundError:
        return False
