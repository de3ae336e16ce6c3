"""Where the user's own data files and downloaded ones are found."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The folder `dataset` of a reader whose own module `scratchnet run` has recognised: its MNIST comes first.
readers_folder: str | None = None


def places() -> list[Path]:
    """Return the folders that are searched for data files, in order of priority.

    ``SCRATCHNET_DATA``; the folder of the script, and ``dataset`` in it and next to it, as in the books; the
    same for the folder in which Python was started.
    """
    given = os.environ.get("SCRATCHNET_DATA")
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    homes = [Path(script).resolve().parent] if script else []
    homes.append(Path.cwd())
    found = [Path(given)] if given else []
    for home in homes:
        found += [home, home / "dataset", home.parent / "dataset"]
    return list(dict.fromkeys(found))


def find(name: str) -> Path | None:
    """Return the first file with a name in `places`, or None."""
    return next((folder / name for folder in places() if (folder / name).is_file()), None)


def cache_folder(name: str) -> Path:
    """Where ``pooch.os_cache("scratchnet") / name`` is, computed without pooch so that files can be read."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local, "scratchnet", "scratchnet", "Cache", name)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # unset, or invalid under the XDG rules
        base = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return base / "scratchnet" / name
