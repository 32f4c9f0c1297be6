"""Which processes a cluster has, and what each of them is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """`count` processes of `interplay serve SERVICE`, each with a port and a home of its own."""

    service: str
    count: int


SERVICES = (
    Kind("gateway", 2),
    Kind("api", 2),
    Kind("worker", 3),
    Kind("scheduler", 2),
    Kind("model-server", 1),
)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Program:
    """One process. `port` None: it answers no HTTP. `priority`: the lower, the earlier it starts and the later it
    stops."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int | None = None
    priority: int = 10
    patience: int = 40  # seconds from SIGTERM to SIGKILL

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def names(services: Sequence[Kind] = SERVICES) -> list[str]:
    return [f"{kind.service}-{number}" for kind in services for number in range(1, kind.count + 1)]


def service_program(name: str, folder: Path, port: int, shared: Mapping[str, str]) -> Program:
    """`shared`: the settings that all services have."""
    settings = {"INTERPLAY_HOME": str(folder / "homes" / name), "INTERPLAY_PORT": str(port), **shared}
    command = [sys.executable, "-m", "interplay.cli", "serve", name.rpartition("-")[0]]
    return Program(name, command, settings, port)


def configuration(folder: Path, socket: Path, programs: Sequence[Program], user: str | None) -> str:
    """For supervisord. `user`: who runs it, where it would warn otherwise."""
    lines = [
        "[unix_http_server]",
        f"file={socket}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        "nodaemon=true",
        f"pidfile={folder / 'supervisord.pid'}",
        f"logfile={folder / 'logs' / 'supervisord.log'}",
        f"childlogdir={folder / 'logs'}",
        *([f"user={user}"] if user is not None else []),
    ]
    for program in programs:
        environment = ",".join(f'{name}="{_escaped(value)}"' for name, value in program.environment.items())
        lines += [
            f"[program:{program.name}]",
            f"command={' '.join(_quoted(word) for word in program.command)}",
            f"directory={ROOT}",
            f"environment={environment}",
            f"priority={program.priority}",
            f"stdout_logfile={folder / 'logs' / program.name}.log",
            "redirect_stderr=true",
            "autorestart=true",
            "startsecs=1",
            "startretries=1000",
            f"stopwaitsecs={program.patience}",
        ]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("%", "%%").replace('"', '\\"')


def _quoted(word: str) -> str:
    return f'"{_escaped(word)}"'
