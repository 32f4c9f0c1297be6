"""What whoever runs the workers adds to them: Python tools, MCP servers started by command, runnables.

It stands in a file that `INTERPLAY_EXTENSIONS` names, never in a flow or behind the API: it is code that
runs in the worker's process, or beside it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import SetupError, near_names
from interplay.core.flows.source import read_yaml

_PARTS: Final = ("tools", "servers", "runnables")


class ServerCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An MCP server that is started as a child process and spoken to over its standard input and output."""

    command: list[str]
    env: dict[str, str] = {}
    cwd: str | None = None


class Extensions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tools` and `runnables`: a name to `package.module:object`."""

    tools: dict[str, str] = {}
    servers: dict[str, ServerCommand] = {}
    runnables: dict[str, str] = {}


def is_extensions(text: str) -> bool:
    """Whether this YAML is such a file, and so no flow."""
    data = read_yaml(text).data
    return isinstance(data, dict) and bool(data) and set(data) <= set(_PARTS)


def read_extensions(text: str, file: str) -> Extensions:
    """Raises SetupError that says where and what was expected."""
    source = read_yaml(text, file)
    if source.problems:
        raise SetupError(str(source.problems[0]), where=file)
    data: Any = source.data if source.data is not None else {}
    if isinstance(data, dict):
        for name in data:
            if name not in _PARTS:
                near = near_names(str(name), _PARTS)
                advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_PARTS)}."
                raise SetupError(f"{name!r} is not known here.", where=str(source.key((name,))), advice=advice)
    try:
        made = msgspec.convert(data, Extensions)
    except msgspec.ValidationError as wrong:
        raise SetupError(f"{wrong}.", where=file, advice="See docs/howto/use-tools.md.") from None
    for name, server in made.servers.items():
        if not server.command:
            raise SetupError(f"The server {name!r} has an empty command.", where=file)
        if "." in name:
            raise SetupError(f"{name!r}: the name of a server has no dot.", where=file)
    return made
