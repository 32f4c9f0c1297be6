"""The commands in a real terminal, and Ctrl-C in the middle of them: nothing is broken, everything goes on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

CTRL_C = b"\x03"
SLOW = """
flow: slow
inputs: {x: {type: integer, default: 1}}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  pause: {wait: 4s, after: [a]}
  b: {set: {v: "${ a.v * 2 }"}, after: [pause]}
output: $b.v
"""


class Terminal:
    """A terminal of 80 columns with one command in the foreground. `said`: everything on its screen."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process, self._screen, self.said = process, screen, ""

    def until(self, wanted: str, seconds: float = 60) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while (found := re.search(wanted, self.said)) is None:
            assert time.monotonic() < deadline, f"{wanted!r} was not said:\n{self.said}"
            assert self._read(), f"it ended with {self.process.wait(10)} before it said {wanted!r}:\n{self.said}"
        return found

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def ended(self, seconds: float = 60) -> int:
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, self.said
        return self.process.wait(seconds)

    def _read(self) -> bool:
        """One piece of what is said within a second; False when the command has gone."""
        if not select.select([self._screen], [], [], 1)[0]:
            return True
        try:
            piece = os.read(self._screen, 65536)
        except OSError as gone:
            if gone.errno != errno.EIO:
                raise
            return False
        self.said += piece.decode(errors="replace")
        return bool(piece)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERPLAY_")}
    return {**kept, "INTERPLAY_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}


@contextmanager
def terminal(home: Path, *arguments: str) -> Iterator[Terminal]:
    screen, keyboard = pty.openpty()

    def take_over() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite that was started in the background ignores it

    process = subprocess.Popen(
        [sys.executable, "-m", "interplay.cli", *arguments], cwd=home, env=environment(home),
        stdin=keyboard, stdout=keyboard, stderr=keyboard, start_new_session=True, preexec_fn=take_over,
    )  # fmt: skip
    os.close(keyboard)
    try:
        yield Terminal(process, screen)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(screen)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "slow.yaml").write_text(SLOW, encoding="utf-8")
    rows = [json.dumps({"x": number}) for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


class TestCtrlC:
    def test_a_run_that_was_left_goes_on_where_it_was(self, home: Path) -> None:
        with terminal(home, "run", "slow.yaml") as first:
            run = first.until(r"run ([0-9a-f-]{36})").group(1)
            first.until(r"\ba\b.*succeeded|✓ a|a +set|\ba\b")
            first.press(CTRL_C)
            assert first.ended() == 130
        assert "Traceback" not in first.said
        assert "--resume" in first.said
        with terminal(home, "run", "--resume", run) as second:
            assert second.ended() == 0, second.said
        assert re.search(r"^4\s*$", second.said, re.MULTILINE), second.said

    def test_a_batch_that_was_left_finds_its_rows(self, home: Path) -> None:
        batch = ("batch", "slow.yaml", "rows.jsonl", "--out", "out.jsonl", "--concurrency", "4")
        with terminal(home, *batch) as first:
            first.until(r"[1-9]\d*/12", 90)
            first.press(CTRL_C)
            assert first.ended() == 130
        assert "Traceback" not in first.said
        with terminal(home, *batch) as second:
            assert second.ended(120) == 0, second.said
        results = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
        assert sorted(result["output"] for result in results) == [2 * (number + 1) for number in range(12)]
        with terminal(home, "run", "slow.yaml", "--json") as last:
            assert last.ended() == 0, "the home is free again"

    def test_up_drains_and_says_so(self, home: Path) -> None:
        with terminal(home, "up", "--port", "0") as machine:
            machine.until(r"Interplay is up at http")
            machine.press(CTRL_C)
            assert machine.ended() == 0
        assert "stopped" in machine.said
        assert "Traceback" not in machine.said
        assert not (home / "server.json").exists()

    def test_twice_in_a_row_is_no_harder(self, home: Path) -> None:
        with terminal(home, "up", "--port", "0") as machine:
            machine.until(r"Interplay is up at http")
            machine.press(CTRL_C + CTRL_C)
            machine.ended()
        with terminal(home, "up", "--port", "0") as again:
            again.until(r"Interplay is up at http")
            again.press(CTRL_C)
            assert again.ended() == 0
