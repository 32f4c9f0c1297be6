"""The configuration in memory as a whole, and what changed since a version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.ports.config_store import Change, Entry


class MemoryConfigStore:
    def __init__(self, ledger: MemoryConfigLedger) -> None:
        self._ledger = ledger

    async def version(self) -> int:
        return len(self._ledger.log)

    async def changes(self, after: int) -> tuple[int, list[Change]] | None:
        return (len(self._ledger.log), self._ledger.log[after:]) if after <= len(self._ledger.log) else None

    async def everything(self, page: int = 250) -> AsyncIterator[list[Entry]]:
        found = self._entries()
        for start in range(0, len(found), page):
            yield found[start : start + page]

    def _entries(self) -> list[Entry]:
        found = [Entry("project", number, str(number), project) for number, project in self._ledger.projects.items()]
        found += [Entry("key", key.project_id, str(key.key_id), key) for key in self._ledger.keys.values()]
        for number, registry in self._ledger.registries.items():
            found += [Entry("connection", number, name, value) for name, value in registry.connections.items()]
            found += [Entry("model", number, name, model) for name, model in registry.models.items()]
        found += [Entry("price", point.project_id, point.target, point) for point in self._ledger.prices.values()]
        return found

    async def entries(self, changes: Sequence[Change]) -> list[Entry]:
        wanted = {(change.noun, change.project_id, change.name) for change in changes}
        return [entry for entry in self._entries() if (entry.noun, entry.project_id, entry.name) in wanted]
