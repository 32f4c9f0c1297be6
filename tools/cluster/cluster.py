"""A cluster in one folder: brought up, asked, troubled and ended."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import getpass
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tools.cluster.plan import SERVICES, Kind, Program, configuration, names, service_program
from tools.cluster.postgres import address
from tools.cluster.supervising import Supervisor
from tools.kafka import KafkaBroker

POSTGRES, KAFKA = "postgres", "kafka"
UP_SECONDS = 120.0


class ClusterError(Exception):
    """What is wrong, in words, with where to look."""


class Cluster:
    """Its processes go on when this object is gone; another on the same folder finds them."""

    def __init__(
        self, folder: Path, services: Sequence[Kind] = SERVICES, first_port: int | None = None, **settings: str
    ) -> None:
        """`first_port`: from which on ports are looked for; any free ones without it. `settings`: environment of
        every service, beside what makes a cluster of them."""
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self._services = services
        self._first_port = first_port
        self._settings = settings
        self._supervisor = Supervisor(self.folder)
        self.facts: dict[str, Any] = {}

    # ------------------------------------------------------------------ up and down

    def up(self, told: Callable[[str], None] = lambda _: None) -> bool:
        """Starts what does not run and waits until everything is ready. False: it was up before."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._locked():
            fresh = not self._supervisor.running()
            if fresh:
                told("making the database and the broker …")
                self._prepare()
                self._supervisor.start()
            else:
                self._recall()
                for name in [*names(self._services), POSTGRES, KAFKA]:
                    self._supervisor.start_program(name)
            self.await_ready(told)
        return fresh

    def attached(self) -> bool:
        """Whether it runs; then everything can be asked of it."""
        if not self._supervisor.running():
            return False
        self._recall()
        return True

    def down(self) -> bool:
        """Drains and ends every process, and leaves the data. False: nothing ran."""
        with self._locked():
            if not self._supervisor.running():
                return False
            for state in self._supervisor.states().values():
                if state["pid"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(state["pid"], signal.SIGCONT)  # what stands still does not hear that it is asked to end
            self._supervisor.shut_down()
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._recall()
        ports = _ports([*names(self._services), KAFKA], self.facts.get("ports", {}), self._first_port)
        properties = self.folder / KAFKA / "server.properties"
        if properties.exists() and f"127.0.0.1:{ports[KAFKA]}," not in properties.read_text():
            shutil.rmtree(self.folder / KAFKA)  # its port is somebody else's now; what was in its topics is gone
        broker = KafkaBroker(self.folder / KAFKA, ports[KAFKA])
        broker.prepare()
        self.facts = {
            "ports": ports,
            "key": self.facts.get("key") or "ik_" + secrets.token_urlsafe(32),
            "database": asyncio.run(address(self.folder / POSTGRES)),
            "broker": broker.bootstrap,
        }
        command = [sys.executable, "-m", "tools.cluster.postgres", str(self.folder / POSTGRES)]
        postgres = Program(POSTGRES, command, {}, priority=1)
        kafka = Program(KAFKA, broker.command, {}, priority=2)
        programs = [postgres, kafka, *(self.program(name) for name in names(self._services))]
        user = getpass.getuser() if os.geteuid() == 0 else None
        _write(self.folder / "cluster.json", json.dumps(self.facts))
        text = configuration(self.folder, self._supervisor.socket, programs, user)
        _write(self._supervisor.configuration, text)

    def _recall(self) -> None:
        self.facts = json.loads((self.folder / "cluster.json").read_text())

    def program(self, name: str) -> Program:
        """A service, as it is started."""
        shared = {
            "INTERPLAY_DATABASE_URL": self.facts["database"],
            "INTERPLAY_KAFKA_BOOTSTRAP": self.facts["broker"],
            "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
            **({"INTERPLAY_KEY": self.facts["key"]} if name.startswith("api-") else {}),
            **self._settings,
        }
        (self.folder / "homes" / name).mkdir(parents=True, exist_ok=True)
        return service_program(name, self.folder, self.facts["ports"][name], shared)

    # ------------------------------------------------------------------ what it says

    @property
    def key(self) -> str:
        return str(self.facts["key"])

    @property
    def database(self) -> str:
        return str(self.facts["database"])

    @property
    def broker(self) -> str:
        return str(self.facts["broker"])

    def names(self, service: str | None = None) -> list[str]:
        """Of all services, or of one."""
        return [name for name in names(self._services) if service in (None, name.rpartition("-")[0])]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.facts['ports'][name]}"

    def urls(self, service: str) -> list[str]:
        return [self.url(name) for name in self.names(service)]

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def states(self) -> dict[str, dict[str, Any]]:
        return self._supervisor.states()

    def readiness(self, name: str) -> str:
        """`ready`, `degraded`, `not ready`, or `silent`."""
        try:
            return str(httpx.get(f"{self.url(name)}/readyz", timeout=3, trust_env=False).json()["status"])
        except (httpx.HTTPError, ValueError, KeyError):
            return "silent"

    def await_ready(
        self, told: Callable[[str], None] = lambda _: None, within: float = UP_SECONDS, only: Sequence[str] = ()
    ) -> None:
        """Until every service, or `only` these, say so. Raises ClusterError that names those which do not."""
        waiting = list(only or self.names())
        deadline = time.monotonic() + within
        while waiting:
            for name in list(waiting):
                if self.readiness(name) == "ready":
                    waiting.remove(name)
                    told(f"{name} is ready")
            if waiting and time.monotonic() > deadline:
                last = "\n".join(f"{name}: {self.readiness(name)}\n{self.log(name)[-800:]}" for name in waiting)
                raise ClusterError(f"not ready within {within:.0f} s (logs in {self.logs}):\n{last}")
            time.sleep(0.1)

    # ------------------------------------------------------------------ trouble

    def pid(self, name: str) -> int:
        """0 while it does not run."""
        return self._supervisor.pid(name)

    def signal(self, name: str, number: signal.Signals) -> int:
        """To the process that has this name now, once there is one; its id."""
        deadline = time.monotonic() + 30
        while not (pid := self.pid(name)):
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} does not run:\n{self.log(name)[-2000:]}")
            time.sleep(0.02)
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """kill -9; the supervisor starts it again."""
        return self.signal(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Asks it to end, and waits; it stays away until `start`."""
        self._supervisor.stop_program(name)

    def start(self, name: str) -> None:
        self._supervisor.start_program(name)

    def restart(self, name: str) -> None:
        """Drains it and starts it again; returns when it is ready."""
        self.stop(name)
        self.start(name)
        if name not in (POSTGRES, KAFKA):
            self.await_ready(only=[name])


def _ports(wanted: Sequence[str], before: Mapping[str, int], first: int | None) -> dict[str, int]:
    """One for each: that of the last time where it is free, or the next free one from `first` on, or any."""
    found: dict[str, int] = {}
    with contextlib.ExitStack() as taken:

        def take(name: str, port: int) -> None:
            with contextlib.suppress(OSError):
                held = taken.enter_context(socket.create_server(("127.0.0.1", port)))
                found[name] = held.getsockname()[1]

        for name in wanted:
            if name in before:
                take(name, before[name])
        port = first or 0
        for name in wanted:
            while name not in found:
                take(name, port)
                port += 1 if first else 0
    return found


def _write(path: Path, text: str) -> None:
    """For its owner only: keys and passwords are in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
