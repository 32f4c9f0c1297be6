"""What tests and targets of make bring from a registry: once for each version of it, kept below `.cache`."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"
INSTALL_SECONDS = 240


def made_once(name: str, sources: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled for these sources; processes that ask at once wait for the first of them."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:16]
    folder = CACHE / name / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "ready").touch()
    return folder


def npm_packages(name: str, sources: Iterable[Path]) -> Path:
    """The folder with these files and what their `package-lock.json` names."""
    sources = tuple(sources)

    def make(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder / source.name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_SECONDS)

    return made_once(name, sources, make)
