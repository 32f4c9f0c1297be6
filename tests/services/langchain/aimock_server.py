"""aimock: a mock of the providers' APIs that others wrote, installed from its lock file and started as a process."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.made_once import npm_packages

HERE = Path(__file__).resolve().parent / "aimock"


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


@contextmanager
def aimock_server() -> Iterator[Aimock]:
    folder = npm_packages("aimock", [HERE / name for name in ("package.json", "package-lock.json", "serve.mjs")])
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
