"""Write the table of editions: which definitions of the books' `common` scratchnet may serve in a reader's place.

    python tools/build_editions.py CHECKOUT ...      # git directories of public repositories, with their history

Every version of every definition that one of them ever had is tried on random inputs against ours
(`edition_trials.py`). Those that gave the same, each time, enter `scratchnet/dropin/editions.txt` by their
fingerprints; `tools/editions.tsv` says where each was seen. Of the repositories named in OFFICIAL, files all of
whose definitions passed enter by their digests, and so do the versions of `dataset`, `config` and `np`, which
were compared by reading. Nothing of anyone's text is kept.
"""

from __future__ import annotations

import argparse
import ast
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
from scratchnet.dropin.fingerprint import file_digest, fingerprint
from scratchnet.dropin.recognition import KOREAN

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "scratchnet/dropin/editions.txt"
SOURCES = ROOT / "tools/editions.tsv"
OFFICIAL = ("oreilly-japan", "WegraLee")
SEEDS = range(8)
KOREAN_NAMES = ("Trainer", "RnnlmTrainer")
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
        if path.endswith(".py") and len(parts) > 1 and parts[-2] in ("common", "dataset"):
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
    """Yield the definitions in a note's blocks of code: name, tree, and the object, made among our functions."""
    text = note.read_text("utf-8")
    if '"cells"' in text[:2000]:
        cells = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        blocks = ["".join(c) if isinstance(c, list) else c for c in cells]
    else:
        blocks = re.findall(r"```(?:python|py)?\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        try:
            tree = ast.parse(block)
        except SyntaxError:
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
                module = run_module(b"import numpy as np\nfrom common.functions import *\n", 2)
                with contextlib.suppress(Exception):
                    exec(compile(ast.Module([node], []), note.name, "exec"), vars(module))
                    yield node.name, node, vars(module)[node.name]


def passes(theirs: Any, book: int, module: str, name: str, home: str | None = None) -> list[str]:
    """Return why their definition differs from ours, or from that of another home; nothing if it does not."""
    ours = getattr(import_module(home or f"{HOMES[book]['common']}.{module}"), name, None)
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


def main() -> None:
    """Try everything, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--notes", nargs="*", type=Path, default=[], help="notes with definitions typed in")
    parser.add_argument("--why", action="store_true", help="say of each version that did not pass what differs")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    vars(np).update(int=int, float=float)  # which NumPy had when the editions were written
    entries: dict[str, set[str]] = {}
    rows: dict[tuple[str, str], str] = {}
    failed: dict[tuple[str, str], str] = {}
    silent: dict[tuple[str, str], str] = {}
    files: dict[str, tuple[Blob, str]] = {}
    for checkout in arguments.checkouts:
        for blob in blobs_of(checkout):
            source = blob.read()
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError):
                continue
            books = [b for b in (1, 2) if blob.module in MODULES[b].get(blob.package, ())]
            definitions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            for book in books:
                name_of_file = f"{book}.{blob.package}.{blob.module}"
                if (name := f"{blob.package}.{blob.module}") in MODULE_TRIALS:
                    if blob.repository.split("/")[0] in OFFICIAL and (digest := file_digest(source)) not in files:
                        if why := module_differs(source, name, book):
                            failed[digest, name_of_file] = f"{blob.repository} {blob.path}: {why}"
                        else:
                            files[digest] = blob, name_of_file
                    continue
                module = None
                for name, node in definitions.items():
                    key = fingerprint(node), f"{book}.{blob.module}.{name}"
                    if key in rows or key in failed:
                        continue
                    is_official = blob.repository.split("/")[0] in OFFICIAL
                    if (book, blob.module, name) in READ_DEFINITIONS and is_official:
                        rows[key] = f"{blob.repository}\t{blob.commit()}\t{blob.path}"
                        entries.setdefault(key[0], set()).add(key[1])
                    if (book, blob.module, name) not in TRIALS:
                        continue
                    module = module or run_module(source, book)
                    theirs = getattr(module, name, None)
                    why = ["the file does not run"] if theirs is None else passes(theirs, book, blob.module, name)
                    may_be_korean = why and theirs is not None and name in KOREAN_NAMES and book == 2
                    if may_be_korean and not passes(theirs, book, blob.module, name, KOREAN):
                        key, why = (key[0], f"2ko.{blob.module}.{name}"), []
                    if theirs is None:
                        silent[key] = f"{blob.repository} {blob.path}: {why[0]}"  # another file may run
                    elif why:
                        failed[key] = f"{blob.repository} {blob.path}: {why[0]}"
                    else:
                        rows[key] = f"{blob.repository}\t{blob.commit()}\t{blob.path}"
                        entries.setdefault(key[0], set()).add(key[1])
                known = {
                    f"{book}.{blob.module}.{n}" in entries.get(fingerprint(d), ()) for n, d in definitions.items()
                }
                plain = all(
                    isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Expr)
                    for n in tree.body
                )
                if definitions and known == {True} and plain and blob.repository.split("/")[0] in OFFICIAL:
                    files[file_digest(source)] = blob, name_of_file
    failed |= {key: why for key, why in silent.items() if key not in rows}
    for note in arguments.notes:
        for name, node, theirs in typed_in(note):
            for book, module, served in TRIALS:
                key = fingerprint(node), f"{book}.{module}.{name}"
                if served == name and key not in rows and not passes(theirs, book, module, name):
                    rows[key] = f"reader's note\t{note.stem}\t-"
                    entries.setdefault(key[0], set()).add(key[1])
    if arguments.why:
        for (_, target), why in sorted(failed.items(), key=lambda item: item[0][1]):
            print(f"{target}: {why}")
    lines = [
        f"{digest} {' '.join(sorted(targets))}"
        for digest, targets in sorted(entries.items(), key=lambda e: sorted(e[1]))
    ]
    lines += [f"{digest} ={name}" for digest, (_, name) in sorted(files.items(), key=lambda f: f[1][1])]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")
    told = [
        f"{digest}\t{target}\t{where}\t{len(SEEDS)}"
        for (digest, target), where in sorted(rows.items(), key=lambda r: r[0][1])
    ]
    told += [
        f"{d}\t={n}\t{b.repository}\t{b.commit()}\t{b.path}\t-"
        for d, (b, n) in sorted(files.items(), key=lambda f: f[1][1])
    ]
    SOURCES.write_text(
        "fingerprint\tserved by\trepository\tcommit\tpath\tinputs\n" + "\n".join(told) + "\n", "utf-8"
    )
    print(f"{len(rows)} versions of definitions, {len(failed)} that differ; {len(files)} files")


if __name__ == "__main__":
    main()
