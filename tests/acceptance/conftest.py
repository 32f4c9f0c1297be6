"""The product as a user gets it: the built wheel, installed by plain pip into an empty environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL_SECONDS = 600


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it. `wheel` is the file that was installed."""

    wheel: Path
    bin: Path

    def environment(self, home: Path) -> dict[str, str]:
        """Nothing but a search path and a home: no settings, no site packages, no checkout."""
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "120"}

    def run(self, home: Path, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs `interplay` to its end, in the home as the working folder."""
        return subprocess.run(
            [str(self.bin / "interplay"), *arguments],
            cwd=home, env=self.environment(home), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`interplay` going on in the background; killed when the test did not end it."""
        process = subprocess.Popen(
            [str(self.bin / "interplay"), *arguments],
            cwd=home, env=self.environment(home), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def address_of(process: subprocess.Popen[str]) -> str:
    """The address that `interplay up` prints once it serves."""
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            return found.group()
    raise AssertionError(f"it ended with {process.wait()} before it printed an address:\n{''.join(said)}")


def pip(python: Path, *arguments: str) -> None:
    """Plain pip, with the machine's own settings; its words are shown when it fails."""
    done = subprocess.run(
        [str(python), "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        env={name: value for name, value in os.environ.items() if not name.startswith(("UV_", "VIRTUAL_ENV"))},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"pip {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Builds the wheel from this checkout and installs `interplay[all]` from it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True, timeout=INSTALL_SECONDS)
    python = folder / "env" / "bin" / "python"
    pip(python, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("interplay-*.whl")
    pip(python, "install", f"{wheel}[all]")
    return Installed(wheel, python.parent)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home of a user who never had Interplay."""
    made = tmp_path / "home"
    made.mkdir()
    return made
