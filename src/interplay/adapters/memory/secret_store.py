"""Secrets from a mapping, such as the environment's."""

from __future__ import annotations

from collections.abc import Mapping

from interplay.core.errors import NotFound


class MemorySecretStore:
    """The same secrets for every project: what a process was started with. Their names in any case, as they are
    written in capitals where they are set and in small letters where they are used."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = {name.lower(): value for name, value in (values or {}).items()}

    async def reveal(self, project_id: int, name: str) -> str:  # noqa: ARG002
        value = self._values.get(name.lower())
        if value is None:
            raise NotFound(
                f"There is no secret {name!r}.",
                where=f"secret://{name}",
                advice=f"Start with INTERPLAY_SECRET_{name.upper().replace('-', '_')} set.",
            )
        return value
