"""aimock: a mock of the providers' APIs that others wrote, installed from its lock file and started as a process."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent / "aimock"
INSTALL_SECONDS = 240


@dataclass(frozen=True)
class Aimock:
    url: str

    def play(self, *fixtures: dict[str, Any]) -> None:
        """Forgets what was played before; each fixture is `{match, response}` of aimock."""
        self._say("POST", "reset")
        self._say("POST", "fixtures", {"fixtures": list(fixtures)})

    def bodies(self) -> list[Any]:
        """What was asked, as aimock understood it: in OpenAI's shape."""
        return [entry["body"] for entry in self._say("GET", "journal")]

    def _say(self, method: str, what: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/__aimock/{what}", data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)


def installed() -> Path:
    """The folder with aimock in it, below `.cache`; made once for each lock file."""
    lock = (HERE / "package-lock.json").read_bytes() + (HERE / "serve.mjs").read_bytes()
    folder = ROOT / ".cache" / "aimock" / hashlib.sha256(lock).hexdigest()[:16]
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "serve.mjs"):
        shutil.copy(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_SECONDS)
    (folder / "ready").touch()
    return folder


@contextmanager
def aimock_server() -> Iterator[Aimock]:
    folder = installed()
    process = subprocess.Popen(
        ["node", "serve.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Aimock(process.stdout.readline().strip())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
