"""Values behind `secret://name`."""

from __future__ import annotations

from typing import Protocol


class SecretStore(Protocol):
    async def reveal(self, project_id: int, name: str) -> str:
        """NotFound when there is no such secret. The value is never logged nor journaled."""
        ...
