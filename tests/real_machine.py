"""`interplay up` as a process of its own, with the models of this machine, for clients that others wrote."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interplay.adapters.local_models.assets import install

WEIGHTS = Path(__file__).resolve().parents[1] / ".cache" / "models"
_END_SECONDS = 60


@dataclass(frozen=True)
class RealMachine:
    """`key` may do everything."""

    home: Path
    url: str
    key: str

    def command(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """An `interplay` command against it."""
        settings = {"INTERPLAY_HOME": str(self.home), "INTERPLAY_URL": self.url, "INTERPLAY_KEY": self.key}
        return subprocess.run(
            [sys.executable, "-m", "interplay.cli", *arguments], cwd=cwd, env={**os.environ, **settings},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip


@contextmanager
def real_machine(home: Path, **settings: str) -> Iterator[RealMachine]:
    """`home` is empty, or has models of its own; the weights beside them are those that every test uses."""
    asyncio.run(install(WEIGHTS, print))
    (home / "models").mkdir(parents=True, exist_ok=True)
    for weights in WEIGHTS.iterdir():
        (home / "models" / weights.name).symlink_to(weights)
    environment = {**os.environ, "INTERPLAY_HOME": str(home), "INTERPLAY_PORT": "0", **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "interplay.cli", "up"], env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found is not None:
                break
        else:
            raise AssertionError(f"it ended with {process.wait()}:\n{''.join(said)}")
        rest = threading.Thread(target=process.stdout.read, daemon=True)  # so that it never waits for a reader
        rest.start()
        yield RealMachine(home, found.group(), (home / "token").read_text(encoding="utf-8").strip())
    finally:
        process.terminate()
        assert process.wait(_END_SECONDS) == 0
