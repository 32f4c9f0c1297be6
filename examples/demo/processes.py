"""The processes of the demo: one server, one worker that will be killed, and its successor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

INTERPLAY = [sys.executable, "-m", "interplay.cli"]


class Process:
    """A child of ours with its output in a file. Ended by its own id."""

    def __init__(self, name: str, arguments: list[str], home: Path, **settings: str) -> None:
        self.log = home / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "INTERPLAY_HOME": str(home), **settings}
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*INTERPLAY, *arguments], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """SIGKILL: nothing of it can say goodbye."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def wait_for_server(server: Process, home: Path, within: float = 60.0) -> tuple[str, str]:
    """The address and the key, once the server has said where it is."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and server.child.poll() is None:
        try:
            found = json.loads((home / "server.json").read_text())
            if found["pid"] == server.child.pid:
                return str(found["url"]), (home / "token").read_text().strip()
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    sys.exit(f"demo: the server did not start; {server.log} says why.")
