"""Secrets from a mapping, such as the environment's."""

from __future__ import annotations

from collections.abc import Mapping

from interplay.core.errors import NotFound


class MemorySecretStore:
    """The same secrets for every project: what a process was started with."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    async def reveal(self, project_id: int, name: str) -> str:  # noqa: ARG002
        if name not in self._values:
            raise NotFound(
                f"There is no secret {name!r}.",
                where=f"secret://{name}",
                advice=f"Start with INTERPLAY_SECRET_{name.upper().replace('-', '_')} set.",
            )
        return self._values[name]
