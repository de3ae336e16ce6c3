"""The import hook: what an import of the books' `common` and `dataset`, or of a module in them, gets.

Each import looks for:

1. the user's own, from a folder `common` or `dataset` on the path, next to the script or above it. Of it, what is
   provably the books' is scratchnet's (`recognition`): the whole module under this second name, or some of its
   definitions, or none;
2. else scratchnet's module of the book, or of the other one, if this book has none of that name.

Other modules of the user's are looked at as scripts are: what they define as the books do is served.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._paths import content
from .bindings import names_set_in_modules
from .editions import HOMES, MODULES, book_by_folder, is_installed, parsed, place_of
from .recognition import Reading, Readings, may_have_some

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # slow to import, and nothing in them is needed
    Loader = MetaPathFinder = object


class Finder(MetaPathFinder):
    """Finds the books' packages and modules.

    Attributes
    ----------
    book : int
        Whose `common` and `dataset` are served, 1 or 2.
    roots : set of str
        Packages, existing or not, under which the script imports `common` or `dataset`.
    folders : list of str
        Folders that are searched for the user's own modules after the path.
    others : set of str
        Packages from elsewhere with the books' names, about which the user has been warned.
    is_quiet : bool
        Whether nothing is said of what is the user's own.
    replaced : set of (str, str)
        Modules of `common` and names in them that the script sets from outside.
    places : dict
        The user's file in the place of which a module is served, as a whole or in part, by the module's name.
    has_found, has_served : bool
        Whether anything of `common` or `dataset`, and whether anything of scratchnet's, was imported through it.
    """

    def __init__(self) -> None:
        self.book = 2
        self.roots: set[str] = set()
        self.folders: list[str] = []
        self.others: set[str] = set()
        self.is_quiet = False
        self.replaced: set[tuple[str, str]] = set()
        self.places: dict[str, str] = {}
        self.has_found = self.has_served = False
        self._has_data = False  # whether the data sets look in a folder of the user's
        self._readings: dict[tuple[str | None, ...], Readings] = {}  # by root and path
        self._named: list[tuple[Any, str]] = []  # what is served under the user's module, and its own module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module is loaded, or None if it is not one of the books'."""
        if fullname in self.roots:
            return PathFinder.find_spec(fullname) or ModuleSpec(fullname, _Package(), is_package=True)
        place = place_of(fullname)
        if place is None:
            is_theirs = any(fullname in MODULES[book]["common"] for book in (1, 2))
            own = self._from_common_itself(fullname) if is_theirs else None
            return own or self._from_a_script(fullname, path)
        root, package, module = place
        self.has_found = True
        if module is None:
            return self._package(fullname, root, path)
        if not _is_served(f"{root}.{package}" if root else package):
            return None  # `common` was imported from elsewhere before
        spec = self.find_readers_own(fullname, root, package) or next(
            filter(
                None, (_from_scratchnet(book, fullname, package, module) for book in (self.book, 3 - self.book))
            ),
            None,
        )
        if spec is None or isinstance(spec.loader, _Alias):
            self.has_served |= spec is not None
            return spec
        if not (spec.origin or "").endswith(".py") or all(module not in MODULES[b][package] for b in (1, 2)):
            return spec
        reading = self.readings(root).of(module, package)
        if reading is None or reading.path != spec.origin:
            return spec
        return self._recognised(spec, fullname, reading)

    def _package(self, fullname: str, root: str | None, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return how `common` or `dataset` is loaded, or None if that is Python's own matter."""
        if root and root not in self.roots and not _is_books_folder(path or ()):
            return None
        own = PathFinder.find_spec(fullname, path if root else [*sys.path, *self.folders])
        if own is None or own.origin is None or is_installed(own.origin):
            return ModuleSpec(fullname, _Package(), is_package=True)
        if own.submodule_search_locations is None:
            return None  # the user's file common.py or dataset.py
        with contextlib.suppress(OSError):  # Python will say it
            self.replaced |= names_set_in_modules(parsed(content(own.origin)))
        return ModuleSpec(fullname, _Package(own.origin), origin=own.origin, is_package=True)

    def _recognised(self, spec: ModuleSpec, fullname: str, reading: Reading) -> ModuleSpec:
        """Return how a module of the user's is loaded, after a look at what it is."""
        if reading.whole is not None and fullname.endswith("dataset.mnist"):
            folder = os.path.dirname(reading.path)
            if os.path.isfile(os.path.join(folder, "mnist.pkl")):
                self.say(f"{fullname}: yours, since it reads {os.path.join(folder, 'mnist.pkl')}")
                return spec
            self._look_for_data_in(folder)
        if reading.whole is not None and reading.is_as_served:
            self.has_served = True
            return ModuleSpec(fullname, _Alias(reading.whole, reading))
        line = reading.examine().line(fullname)
        self.say(f"{fullname}: yours, edition unknown" if "dataset." in fullname else line)
        if reading.served or reading.whole is not None:
            self.has_served = True
            spec.loader = _Mixed(reading)
        return spec

    def readings(self, root: str | None) -> Readings:
        """Return what is known of the user's modules under a root."""

        def locate(name: str) -> str | None:
            package = name.partition(".")[0]
            spec = self.find_readers_own(f"{root}.{name}" if root else name, root, package)
            return spec.origin if spec and spec.origin and spec.origin.endswith(".py") else None

        key = root, *sys.path  # a script may change what is found
        if key not in self._readings:
            package = f"{root}.common" if root else "common"
            self._readings[key] = Readings(locate, self.book, package, self.replaced)
        return self._readings[key]

    def _from_common_itself(self, fullname: str) -> ModuleSpec | None:
        """Return how `layers` is loaded where the user's folder `common` itself is on the path; else None."""
        spec = PathFinder.find_spec(fullname)
        if spec is None or not (spec.origin or "").endswith(".py"):
            return None
        folder = os.path.dirname(spec.origin or "")
        if os.path.basename(folder) != "common" or not os.path.isfile(os.path.join(folder, "functions.py")):
            return None

        def locate(name: str) -> str | None:
            path = os.path.join(folder, f"{name.partition('.')[2]}.py")
            return path if os.path.isfile(path) else None

        self.has_found = True
        reading = Readings(locate, self.book, "", self.replaced).of(fullname)
        return None if reading is None else self._recognised(spec, fullname, reading)

    def _from_a_script(self, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return how a module of the user's is loaded that defines something of the books', as scripts do."""
        root = fullname.partition(".")[0]
        if root in sys.stdlib_module_names or root == "scratchnet" or any(map(is_installed, path or ())):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or not (spec.origin or "").endswith(".py") or is_installed(spec.origin or ""):
            return None
        with contextlib.suppress(OSError):
            if may_have_some(content(spec.origin or "")):
                reading = self.read_script(spec.origin or "")
                if reading is not None:
                    spec.loader = _Mixed(reading)
                    return spec
        return None

    def read_script(self, path: str) -> Reading | None:
        """Return the reading of a script, and say what is served in it, or only looks so; None if nothing is."""
        reading = self.readings(None).script(path)
        said = [f"compiled, since the books have the same: {', '.join(reading.served)}"] if reading.served else []
        kept = [f"{name} ({why})" for name, why in reading.kept.items() if why != "new"]
        said += [f"yours: {', '.join(kept)}"] if kept else []
        if said:
            self.say(f"{os.path.basename(path)}: {'; '.join(said)}")
        self.has_served |= bool(reading.served)
        return reading if reading.served else None

    def name_as_the_readers(self, module: str, reading: Reading) -> None:
        """Give what is served the name of the user's module: what is pickled opens without scratchnet."""
        self.places[module] = reading.path
        for thing in reading.served_things():
            if str(getattr(thing, "__module__", "")).startswith("scratchnet."):
                with contextlib.suppress(AttributeError, TypeError):  # compiled functions
                    self._named.append((thing, thing.__module__))
                    thing.__module__ = module

    def say(self, line: str) -> None:
        """Print a line on stderr, unless nothing is to be said."""
        if line and not self.is_quiet:
            print(f"scratchnet: {line}", file=sys.stderr)

    def forget(self) -> None:
        """Read the user's files anew from now on."""
        self._readings.clear()
        self.replaced.clear()
        self.places.clear()
        while self._named:
            thing, module = self._named.pop()
            thing.__module__ = module
        self.has_found = self.has_served = False
        if self._has_data:
            self._look_for_data_in(None)

    def _look_for_data_in(self, folder: str | None) -> None:
        """Have the data sets look in the user's folder `dataset` first."""
        from ..dataset import _files

        _files.readers_folder, self._has_data = folder, folder is not None

    def find_readers_own(self, fullname: str, root: str | None, package: str) -> ModuleSpec | None:
        """Return how the module that Python itself would import is loaded, or None if the user has none."""
        above = sys.modules[root].__path__ if root else [*sys.path, *self.folders]
        return PathFinder.find_spec(fullname, [os.path.join(folder, package) for folder in above])


class _Loader(Loader):
    """What importlib requires of all loaders."""

    def create_module(self, spec: ModuleSpec) -> None:
        """The module is of Python's own class."""


class _Package(_Loader):
    """Loads `common`, `dataset`, or a root above them: a package of its modules, and of its file's names."""

    def __init__(self, file: str | None = None) -> None:
        self.file = file

    def exec_module(self, module: ModuleType) -> None:
        """Run the user's file __init__.py, if there is one: the books' are empty."""
        if self.file is not None:
            module.__file__ = self.file
            exec(compile(content(self.file), self.file, "exec", dont_inherit=True), vars(module))


class _Alias(_Loader):
    """Loads a module of the books: an alias of scratchnet's."""

    def __init__(self, name: str, reading: Reading | None = None) -> None:
        self.name, self.reading = name, reading

    def exec_module(self, module: ModuleType) -> None:
        """Put scratchnet's module into sys.modules in place of the new one."""
        sys.modules[module.__name__] = import_module(self.name)
        if self.reading is not None:
            FINDER.name_as_the_readers(module.__name__, self.reading)


class _Mixed(_Loader):
    """Loads a user's module, some of whose definitions are scratchnet's."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def exec_module(self, module: ModuleType) -> None:
        """Run the file, with scratchnet's definitions in the place of those that are the books'."""
        FINDER.name_as_the_readers(module.__name__, self.reading)
        if self.reading.whole is not None:
            self.reading.fill(module)
        else:
            exec(self.reading.code(), vars(module))


def _from_scratchnet(book: int, fullname: str, package: str, module: str) -> ModuleSpec | None:
    """Return how a book's module is loaded from scratchnet, or None if the book has none of that name."""
    if module not in MODULES[book][package]:
        return None
    return ModuleSpec(fullname, _Alias(f"{HOMES[book][package]}.{module}"))


def _is_books_folder(folders: Sequence[str]) -> bool:
    """Whether a user's folder has the books' `common`, and is not an installed package."""
    return any(
        not is_installed(folder)
        and all(os.path.isfile(os.path.join(folder, "common", f"{name}.py")) for name in ("functions", "layers"))
        for folder in folders
    )


FINDER = Finder()


def install(book: int | None = None, *, roots: Sequence[str] = ()) -> None:
    """Serve the books' `common` and `dataset` from now on.

    Parameters
    ----------
    book : 1 or 2, optional
        Which book; by default the one whose folder `common` is in the current folder or above it, else book 2.
    roots : sequence of str
        Packages under which they are imported as well ("deep2" for `deep2.common.layers`); needed only if there
        is no such folder with the book's files in it.

    Raises
    ------
    ValueError
        The book is not 1 or 2.

    Warns
    -----
    UserWarning
        `common` or `dataset` has already been imported from elsewhere, and is not replaced.

    Notes
    -----
    If the other book's were served before, the next import gets this book's; names already imported from them do
    not change.
    """
    if book is None:
        book = book_by_folder(os.getcwd()) or 2
    if book not in MODULES:
        raise ValueError(f"install: book must be 1 or 2, got {book!r}")
    if book != FINDER.book:
        _forget_served()
    FINDER.book = book
    FINDER.forget()
    _warn_of_others()
    FINDER.roots.update(roots)
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)


def uninstall() -> None:
    """Stop serving the books' `common` and `dataset`; names already imported from them do not change."""
    if FINDER in sys.meta_path:
        sys.meta_path.remove(FINDER)
    FINDER.others.clear()
    FINDER.forget()
    _forget_served()


def load_extension(ipython: Any, book: int | None) -> None:
    """Do what `%load_ext` does for a book's extension; None: the one determined by the folder, else book 2's."""
    install(book)
    FINDER.say(f"book {FINDER.book}'s common and dataset are served; what is your own in them stays yours")
    manager = getattr(ipython, "extension_manager", None)
    # The others are marked as not loaded, so that they can be loaded again: IPython skips loaded extensions.
    loaded: set[str] = getattr(manager, "loaded", set())
    loaded -= {"scratchnet", "scratchnet.book1", "scratchnet.book2"}


def _forget_served() -> None:
    """Remove the served packages, and all modules below them, from sys.modules."""
    for package in [name for name in sys.modules if _is_package(name) and _is_served(name)]:
        root, _, name = package.rpartition(".")
        vars(sys.modules.get(root, ModuleType(root))).pop(name, None)
        for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
            del sys.modules[module]


def _warn_of_others() -> None:
    """Warn, once, about packages with the books' names that were imported from elsewhere."""
    others = {name for name in sys.modules if _is_package(name) and _is_another(name)} - FINDER.others
    FINDER.others |= others
    for name in sorted(others):
        module = sys.modules[name]
        place = next(iter(getattr(module, "__path__", ())), getattr(module, "__file__", "elsewhere"))
        warnings.warn(
            f"{name!r} has already been imported from {place}, so scratchnet cannot provide it. "
            f"Restart Python (in a notebook, the kernel), and load scratchnet before {name!r} is first imported",
            stacklevel=3,
        )


def _is_another(name: str) -> bool:
    root = name.rpartition(".")[0]
    return not _is_served(name) and (not root or _is_books_folder(getattr(sys.modules.get(root), "__path__", ())))


def _is_package(name: str) -> bool:
    place = place_of(name)
    return place is not None and place[2] is None


def _is_served(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return isinstance(getattr(spec, "loader", None), _Package)
