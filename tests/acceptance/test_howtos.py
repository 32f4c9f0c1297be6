"""What the how-to pages show, done as they say: their files, then their commands in order, with a machine running.

A page that starts a machine of its own gets none beside it. What goes on until it is stopped (`up`, `serve`) is
awaited until it is ready and ended with the page; the PostgreSQL that a page names is one of the test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT

pytestmark = pytest.mark.timeout(180)

FILE = re.compile(r"^`([\w.-]+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"export (\w+)=(\S+?\([^)]*\)|\S+)")
READY = re.compile(r"Interplay is up|ready: ")


def commands_of(page: Path) -> list[str]:
    lines = [line for block in SHELL.findall(page.read_text(encoding="utf-8")) for line in block.splitlines()]
    return [line for line in lines if line.startswith(("interplay ", "python ", "export "))]


def goes_on(line: str) -> bool:
    words = shlex.split(line, comments=True)
    return words[:2] in (["interplay", "up"], ["interplay", "serve"]) and "--check" not in words


PAGES = [page for page in sorted((ROOT / "docs" / "howto").glob("*.md")) if commands_of(page)]


class Terminal:
    """A person's terminals in one folder, which is the home too."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self.broker = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERPLAY_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        self.environment = {
            **kept, "PATH": path, "INTERPLAY_HOME": str(folder), "INTERPLAY_PORT": "0", "COLUMNS": "100",
        }  # fmt: skip
        self._going: list[subprocess.Popen[str]] = []

    def type(self, line: str) -> None:
        if assigned := ASSIGNED.match(line):
            self.environment[assigned[1]] = self._given(assigned[2])
        elif goes_on(line):
            self.start(*shlex.split(line, comments=True))
        else:
            self.run(*(self._meant(word) for word in shlex.split(line, comments=True)))

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> None:
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._going.append(process)
        said: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if READY.search(line):
                threading.Thread(target=process.stdout.read, daemon=True).start()  # or its pipe fills up
                return
        raise AssertionError(f"{shlex.join(command)} ended with {process.wait()}:\n{''.join(said)}")

    def close(self) -> None:
        for process in reversed(self._going):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, process.args

    def _given(self, text: str) -> str:
        """A page names places and keys as they usually are; here they are those of the test."""
        if text.startswith("postgresql://"):
            return self.database
        if text.startswith("broker-1:"):
            return self.broker
        if text.startswith("http://127.0.0.1:8080"):
            found: str = json.loads((self.folder / "server.json").read_text())["url"]
            return text.replace("http://127.0.0.1:8080", found)
        if text.startswith("ik_"):
            return (self.folder / "token").read_text().strip()
        return self._value(text)

    def _value(self, text: str) -> str:
        done = subprocess.run(["bash", "-c", f"echo {text}"], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    def _meant(self, word: str) -> str:
        """RUN is the newest run of the machine; every other word is itself."""
        if word != "RUN":
            return word
        return str(json.loads(self.run("interplay", "runs", "list", "--json"))["items"][0]["run"])


@pytest.fixture
def terminal(tmp_path: Path, database_url: str) -> Iterator[Terminal]:
    made = Terminal(tmp_path, database_url)
    yield made
    made.close()


class TestHowTos:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
    def test_a_page_does_what_it_says(self, terminal: Terminal, page: Path, request: pytest.FixtureRequest) -> None:
        if "export INTERPLAY_KAFKA_BOOTSTRAP=" in page.read_text(encoding="utf-8"):
            terminal.broker = request.getfixturevalue("kafka").bootstrap
        for name, content in FILE.findall(page.read_text(encoding="utf-8")):
            (terminal.folder / name).write_text(content, encoding="utf-8")
        commands = commands_of(page)
        if not any(goes_on(line) for line in commands):
            terminal.start("interplay", "up")
        for command in commands:
            terminal.type(command)
