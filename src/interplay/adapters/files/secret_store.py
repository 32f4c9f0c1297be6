"""Secrets as files of a folder, one each: how Docker, Kubernetes and systemd hand them to a process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from interplay.core.errors import NotFound
from interplay.ports.secret_store import SecretStore

_MOST_BYTES: Final = 65_536


class FolderSecretStore:
    """The same secrets for every project. A file is read each time, a new value counts from then on; what the folder
    does not have is asked of `behind`."""

    def __init__(self, folder: Path, behind: SecretStore) -> None:
        self._folder = folder
        self._behind = behind

    async def reveal(self, project_id: int, name: str) -> str:
        found = await asyncio.to_thread(self._read, name)
        return await self._behind.reveal(project_id, name) if found is None else found

    def _read(self, name: str) -> str | None:
        for spelt in dict.fromkeys(
            (name, name.lower(), name.lower().replace("-", "_"), name.upper().replace("-", "_"))
        ):
            if "/" in spelt or spelt.startswith("."):  # of this folder, and none that is hidden in it
                return None
            try:
                with (self._folder / spelt).open("rb") as file:
                    raw = file.read(_MOST_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as wrong:
                raise self._unusable(name, f"cannot be read: {wrong.strerror}") from None
            return self._checked(name, raw)
        return None

    def _checked(self, name: str, raw: bytes) -> str:
        try:
            value = raw.decode().strip()
        except UnicodeDecodeError:
            raise self._unusable(name, "is no text") from None
        if len(raw) > _MOST_BYTES or any(not character.isprintable() for character in value):
            raise self._unusable(name, "must be one line without control characters")
        return value

    def _unusable(self, name: str, why: str) -> NotFound:
        advice = f"Look at its file in {self._folder}."
        return NotFound(f"The secret {name!r} {why}.", where=f"secret://{name}", advice=advice)
