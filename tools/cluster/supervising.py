"""Talks to a supervisord over its socket: what runs, stop and start by name, the end of all."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

_LONGEST = 100  # bytes of a path that a Unix socket takes, with some to spare
_GONE = (OSError, xmlrpc.client.ProtocolError, xmlrpc.client.Fault)


class Supervisor:
    """The supervisord of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.configuration = folder / "supervisord.conf"
        self.socket = folder / "supervisord.sock"
        if len(str(self.socket)) > _LONGEST:
            name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"interplay-{name}.sock"

    def running(self) -> bool:
        try:
            self._ask("getState")
        except _GONE:
            return False
        return True

    def start(self) -> subprocess.Popen[bytes]:
        """In a session of its own, so that Ctrl-C here does not end it there."""
        with (self._folder / "logs" / "supervisord.out").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self._folder,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self.running():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = (self._folder / "logs" / "supervisord.out").read_text()[-2000:]
                raise RuntimeError(f"the supervisor did not start:\n{said}")
            time.sleep(0.05)
        return process

    def states(self) -> dict[str, dict[str, Any]]:
        """By name: `statename`, `pid` and more."""
        return {entry["name"]: entry for entry in self._ask("getAllProcessInfo")}

    def pid(self, name: str) -> int:
        """0: it does not run right now."""
        return int(self._ask("getProcessInfo", name)["pid"])

    def stop_program(self, name: str) -> None:
        """Asks it to end, and waits."""
        with _unless("NOT_RUNNING"):
            self._ask("stopProcess", name, True)

    def start_program(self, name: str) -> None:
        with _unless("ALREADY_STARTED"):
            self._ask("startProcess", name, False)

    def shut_down(self, within: float = 120.0) -> None:
        """Ends every program and the supervisor, and returns when it is gone."""
        pid = int(self._ask("getPID"))
        self._ask("shutdown")
        deadline = time.monotonic() + within
        while _alive(pid):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the supervisor (process {pid}) does not end")
            time.sleep(0.05)

    def _ask(self, method: str, *arguments: Any) -> Any:
        with contextlib.closing(SupervisorTransport(None, None, f"unix://{self.socket}")) as transport:
            server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(server.supervisor, method)(*arguments)


@contextlib.contextmanager
def _unless(fault: str) -> Iterator[None]:
    try:
        yield
    except xmlrpc.client.Fault as refused:
        if refused.faultCode != getattr(Faults, fault):
            raise


def _alive(pid: int) -> bool:
    """A child of ours that ended and was not waited for is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
