"""Write the table of editions: which definitions of the books' `common` scratchnet may serve in a reader's place.

    python tools/build_editions.py CHECKOUT ...      # git directories of public repositories, with their history

Every version of every definition that one of them ever had is tried on random inputs against ours
(`edition_trials.py`). Those that gave the same, each time, enter `scratchnet/dropin/editions.txt` by their
fingerprints; `tools/editions.tsv` says where each was seen. Of the repositories named in OFFICIAL, files enter by
their digests, with the lines of the definitions that did not pass; those of `dataset`, `config` and `np` if the
whole module did. Nothing of anyone's text is kept.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from edition_trials import MODULE_TRIALS, OWN_DTYPES, TRIALS, differences, files_of

import scratchnet
from scratchnet.dropin import install
from scratchnet.dropin.editions import HOMES, MODULES
from scratchnet.dropin.fingerprint import file_digest, fingerprint, names_used

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "scratchnet/dropin/editions.txt"
SOURCES = ROOT / "tools/editions.tsv"
OFFICIAL = ("oreilly-japan", "WegraLee")
SEEDS = range(8)
OTHER_HOMES = {  # editions of a definition that another module of ours serves
    (2, "trainer", "Trainer"): ("2ko", "scratchnet.dropin.korean"),
    (2, "trainer", "RnnlmTrainer"): ("2ko", "scratchnet.dropin.korean"),
    (2, "two_layer_net", "TwoLayerNet"): ("2ch", "scratchnet.dropin.chapters"),
    (1, "simple_convnet", "SimpleConvNet"): ("1ch", "scratchnet.book1.simple_convnet"),
}
NOTE_IMPORTS = b"""
import time
import numpy as np
from common.layers import *
from common.functions import *
from common.trainer import remove_duplicate
from common.util import clip_grads
"""
OF_CHAPTERS = {"two_layer_net": {2}, "simple_convnet": {1}}  # the books with a definition that is served in it
READ_DEFINITIONS = {(2, "util", "to_gpu")}  # which needs a GPU


@dataclass(frozen=True)
class Blob:
    """A version of a file."""

    repository: str
    git: Path
    sha: str
    path: str

    @property
    def package(self) -> str:
        """Common or dataset."""
        return self.path.split("/")[-2]

    @property
    def module(self) -> str:
        """The module's name."""
        return self.path.split("/")[-1].removesuffix(".py")

    def read(self) -> bytes:
        """Return its bytes."""
        return subprocess.run(
            ["git", "-C", self.git, "cat-file", "blob", self.sha], capture_output=True, check=True
        ).stdout

    @property
    def is_official(self) -> bool:
        """Whether it is from one of the books' own repositories."""
        return self.repository.split("/")[0] in OFFICIAL

    def is_of(self, book: int) -> bool:
        """Whether it may be a module of this book: the official repositories have one book each."""
        return not self.is_official or self.repository.endswith("-2") == (book == 2)

    def place(self) -> str:
        """Return where it was seen: repository, commit, path."""
        return f"{self.repository}\t{self.commit()}\t{self.path}"

    def commit(self) -> str:
        """Return the first commit that has it."""
        command = ["git", "-C", self.git, "log", "--all", "--reverse", "--no-renames", "--format=%H"]
        command += [f"--find-object={self.sha}", "--", self.path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def blobs_of(git: Path) -> Iterator[Blob]:
    """Yield every version of every file of `common` and `dataset`."""
    command = ["git", "-C", git, "rev-list", "--objects", "--missing=allow-any", "--all"]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        sha, _, path = line.partition(" ")
        parts = path.split("/")
        is_of_a_chapter = parts[-1].removesuffix(".py") in OF_CHAPTERS
        if path.endswith(".py") and len(parts) > 1 and (parts[-2] in ("common", "dataset") or is_of_a_chapter):
            yield Blob(git.parent.name.replace("+", "/"), git, sha, path)


def run_module(source: bytes, book: int, folder: str | Path = ROOT) -> ModuleType | None:
    """Return the module that a file makes in a folder, over our modules of a book; None if it does not run."""
    scratchnet.config.GPU, os.name = False, "posix"  # editions that ran before may have set them
    install(book)
    module = ModuleType("edition")
    sys.modules["edition"] = module
    module.__file__ = str(Path(folder) / "edition.py")
    try:
        exec(compile(source, "edition.py", "exec"), vars(module))
    except (Exception, SystemExit) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return None
    return module


def module_differs(source: bytes, name: str, book: int) -> str:
    """Return how a module of data differs from ours over the same files; "" if it does not."""
    package, _, module = name.partition(".")
    for seed in SEEDS:
        results = []
        for is_theirs in (True, False):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                files_of(Path(folder), np.random.default_rng(seed))
                os.environ["SCRATCHNET_DATA"] = folder
                made = (
                    run_module(source, book, folder)
                    if is_theirs
                    else import_module(f"{HOMES[book][package]}.{module}")
                )
                if made is None:
                    return "the file does not run"
                try:
                    results.append(MODULE_TRIALS[name](made, np.random.default_rng(seed)))
                except (Exception, SystemExit) as error:
                    return f"{'theirs' if is_theirs else 'ours'}: {type(error).__name__}: {error}"
        if found := differences(*results, dtypes=name not in OWN_DTYPES):
            return found[0]
    return ""


def typed_in(note: Path) -> Iterator[tuple[str, ast.stmt, Any]]:
    """Yield the definitions that a text has: name, tree, and the object, made among our functions."""
    text = note.read_text("utf-8")
    if '"cells"' in text[:2000]:
        cells = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        text = "\n".join("".join(c) if isinstance(c, list) else c for c in cells)
    for block in re.findall(r"^(?:class|def) .*?(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE):
        try:
            node = ast.parse(block).body[0]
        except SyntaxError:
            continue
        module = run_module(NOTE_IMPORTS, 2)
        with contextlib.suppress(Exception):
            exec(compile(ast.Module([node], []), note.name, "exec"), vars(module))
            yield node.name, node, vars(module)[node.name]  # type: ignore[attr-defined]


def passes(theirs: Any, book: int, module: str, name: str, home: str) -> list[str]:
    """Return why their definition differs from a home's; nothing if it does not."""
    ours = getattr(import_module(home), name, None)
    if ours is None:
        return ["we have none"]
    trial = TRIALS[book, module, name]
    if isinstance(theirs, type) and hasattr(ours, "backward") and not hasattr(theirs, "backward"):
        ours = type(name, (ours,), {"backward": None})  # what chapter 1 types in has only forward
    for seed in SEEDS:
        results = []
        for definition in (theirs, ours):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    results.append(trial(definition, np.random.default_rng(seed)))
            except (Exception, SystemExit) as error:
                return [f"{'theirs' if definition is theirs else 'ours'}: {type(error).__name__}: {error}"]
        if found := differences(*results, dtypes=name not in OWN_DTYPES):
            return found
    return []


class Table:
    """What was tried: definitions by fingerprint and book, and files by digest.

    Attributes
    ----------
    passed : dict
        For (fingerprint, "2ko.trainer.Trainer"), where it was seen.
    failed : dict
        For (fingerprint, "2.trainer.Trainer"), where, and what differs.
    files : dict
        For a digest, where the file was seen, and the words of its line in the table.
    """

    def __init__(self) -> None:
        self.passed: dict[tuple[str, str], str] = {}
        self.failed: dict[tuple[str, str], str] = {}
        self.files: dict[str, tuple[Blob, str]] = {}
        self._did_not_run: dict[tuple[str, str], str] = {}

    def add(self, blob: Blob) -> None:
        """Try a version of a file, as a module of each book that has one of its name."""
        source = blob.read()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return
        for book in (1, 2):
            if blob.package not in MODULES[book]:
                if book in OF_CHAPTERS.get(blob.module, ()):
                    self._try_definitions(blob, source, tree, book)
            elif blob.module in MODULES[book][blob.package]:
                if f"{blob.package}.{blob.module}" in MODULE_TRIALS:
                    self._try_module(blob, source, book)
                else:
                    self._try_definitions(blob, source, tree, book)
                    if blob.is_of(book):
                        self._add_file(blob, source, tree, book)

    def _try_module(self, blob: Blob, source: bytes, book: int) -> None:
        digest, name = file_digest(source), f"{blob.package}.{blob.module}"
        if not blob.is_official or digest in self.files:
            return
        if why := module_differs(source, name, book):
            self.failed[digest, f"{book}.{name}"] = f"{blob.repository} {blob.path}: {why}"
        else:
            self.files[digest] = blob, f"={book}.{name} 0"

    def _try_definitions(self, blob: Blob, source: bytes, tree: ast.Module, book: int) -> None:
        module = None
        for node in definitions_of(tree):
            key = fingerprint(node), f"{book}.{blob.module}.{node.name}"
            if key in self.failed or self.home_of(key[0], book, blob.module, node.name):
                continue
            if (book, blob.module, node.name) in READ_DEFINITIONS and blob.is_official:
                self.passed[key] = blob.place()
            if (book, blob.module, node.name) not in TRIALS:
                continue
            module = module or run_module(source, book)
            theirs = getattr(module, node.name, None)
            if theirs is None:  # another file may run
                self._did_not_run[key] = f"{blob.repository} {blob.path}: the file does not run"
            elif why := self._try(key[0], theirs, book, blob.module, node.name, blob.place()):
                self.failed[key] = f"{blob.repository} {blob.path}: {why[0]}"

    def _try(self, digest: str, theirs: Any, book: int, module: str, name: str, place: str) -> list[str]:
        """Return why a definition differs from each of ours; if from none of them, remember where it was seen."""
        why = ["we have none"]
        for edition, home in editions_of(book, module, name):
            if not (why := passes(theirs, book, module, name, home)):
                self.passed[digest, f"{edition}.{module}.{name}"] = place
                break
        return why

    def home_of(self, digest: str, book: int, module: str, name: str) -> str | None:
        """Return which of our editions of a definition serves it."""
        editions = [edition for edition, _ in editions_of(book, module, name)]
        return next((e for e in editions if (digest, f"{e}.{module}.{name}") in self.passed), None)

    def _add_file(self, blob: Blob, source: bytes, tree: ast.Module, book: int) -> None:
        """Add an official file of definitions, if nothing that is served in it leans on what is not.

        And if what is not served finds all names that it uses in our module.
        """
        nodes = {node.name: node for node in definitions_of(tree)}
        only_definitions = all(
            isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Expr)
            for n in tree.body
        )
        homes = {n: self.home_of(fingerprint(node), book, blob.module, n) for n, node in nodes.items()}
        kept = {name: node for name, node in nodes.items() if homes[name] is None}
        leans = any(names_used(node) & kept.keys() for name, node in nodes.items() if name not in kept)
        home = import_module(f"{HOMES[book][blob.package]}.{blob.module}")
        there = {*nodes, *vars(builtins), *vars(home), *home.__all__}
        leans |= any(not names_used(node) <= there for node in kept.values())
        is_plain = only_definitions and len(nodes) == sum(1 for n in tree.body if hasattr(n, "decorator_list"))
        if blob.is_official and is_plain and len(kept) < len(nodes) and not leans:
            words = [f"={book}.{blob.package}.{blob.module}", str(len(nodes))]
            words += [f"{name}:{node.lineno}-{node.end_lineno}" for name, node in kept.items()]
            words += [f"{name}={home}" for name, home in homes.items() if home not in (None, str(book))]
            self.files[file_digest(source)] = blob, " ".join(words)

    def add_note(self, note: Path) -> None:
        """Try the definitions that a note has typed in."""
        for name, node, theirs in typed_in(note):
            for book, module, served in TRIALS:
                if served == name and not self.home_of(digest := fingerprint(node), book, module, name):
                    self._try(digest, theirs, book, module, name, f"reader's note\t{note.stem}\t-")

    def all_failed(self) -> list[tuple[str, str]]:
        """Return what did not pass, with the reason."""
        silent = {key: why for key, why in self._did_not_run.items() if key not in self.passed}
        return sorted((target, why) for (_, target), why in (self.failed | silent).items())

    def write(self) -> None:
        """Write the table, and where everything in it was seen."""
        targets: dict[str, list[str]] = {}
        for digest, target in sorted(self.passed):
            targets.setdefault(digest, []).append(target)
        lines = [f"{digest} {' '.join(t)}" for digest, t in sorted(targets.items(), key=lambda item: item[1])]
        lines += [f"{digest} {words}" for digest, (_, words) in sorted(self.files.items(), key=_by_name)]
        TABLE.write_text("\n".join(lines) + "\n", "utf-8")
        rows = ["fingerprint\tserved by\trepository\tcommit\tpath\tinputs"]
        seen = sorted(self.passed.items(), key=lambda row: row[0][1])
        rows += [f"{digest}\t{target}\t{where}\t{len(SEEDS)}" for (digest, target), where in seen]
        rows += [
            f"{digest}\t{words}\t{blob.place()}\t-"
            for digest, (blob, words) in sorted(self.files.items(), key=_by_name)
        ]
        SOURCES.write_text("\n".join(rows) + "\n", "utf-8")


def _by_name(file: tuple[str, tuple[Blob, str]]) -> str:
    return file[1][1]


def definitions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """Return the top-level definitions that no decorator changes."""
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [node for node in nodes if not node.decorator_list]


def editions_of(book: int, module: str, name: str) -> list[tuple[str, str]]:
    """Return our editions of a definition, and the modules that they are in."""
    homes = [] if module in OF_CHAPTERS else [(str(book), f"{HOMES[book]['common']}.{module}")]
    other = OTHER_HOMES.get((book, module, name))
    return homes + ([other] if other else [])


def main() -> None:
    """Try everything, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--notes", nargs="*", type=Path, default=[], help="notes with definitions typed in")
    parser.add_argument("--why", action="store_true", help="say of each version that did not pass what differs")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    vars(np).update(int=int, float=float)  # which NumPy had when the editions were written
    table = Table()
    for checkout in arguments.checkouts:
        for blob in blobs_of(checkout):
            table.add(blob)
    for note in arguments.notes:
        table.add_note(note)
    failed = table.all_failed()
    if arguments.why:
        print("\n".join(f"{target}: {why}" for target, why in failed))
    table.write()
    print(f"{len(table.passed)} versions of definitions, {len(failed)} that differ; {len(table.files)} files")


if __name__ == "__main__":
    main()
