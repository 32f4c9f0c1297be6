"""The noun of triggers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from interplay.client.noun import Noun
from interplay.contracts.http.answers import Trigger, TriggerLag, TriggerPage, TriggerPut, TriggerRotated


class Triggers(Noun):
    """Triggers: messages of topics, and calls of webhooks, that start runs."""

    async def put(
        self, name: str, topic: str | None, flow: str, inputs: Mapping[str, Any] | None = None, **more: Any
    ) -> TriggerPut:
        """Makes or changes it. More: channel, version, format (json, text, bytes), filter, dedupe, dead_letters, start
        (earliest, latest), batch, most_queued, priority, paused; and `webhook` (scheme, secret) in the place of a
        topic, for one that is called: `secret` is there when it was made, and only then."""
        body = {"topic": topic, "flow": flow, "inputs": dict(inputs or {}), **more}
        found: TriggerPut = await self._transport.request("PUT", _path(name), body=body)
        return found

    async def get(self, name: str) -> Trigger:
        """One trigger."""
        found: Trigger = await self._get(_path(name))
        return found

    async def list(self, limit: int = 100, cursor: str | None = None) -> TriggerPage:
        """A page of triggers, by name."""
        found: TriggerPage = await self._get("/triggers", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Trigger]:
        """All triggers, by name."""
        async for trigger in self._each(self.list, limit=500):
            yield trigger

    async def delete(self, name: str) -> None:
        """Forgets it; the runs stay."""
        await self._transport.request("DELETE", _path(name))

    async def pause(self, name: str) -> Trigger:
        """It reads no more until it is resumed."""
        found: Trigger = await self._transport.request("POST", f"{_path(name)}/pause", repeatable=True)
        return found

    async def resume(self, name: str) -> Trigger:
        """It reads on where it was."""
        found: Trigger = await self._transport.request("POST", f"{_path(name)}/resume", repeatable=True)
        return found

    async def replay(self, name: str, *, time: float | None = None, offset: int | None = None) -> Trigger:
        """It reads its topic anew: from a time (seconds since the epoch), from an offset in each partition, or from the
        beginning."""
        body = {"time": time, "offset": offset}
        found: Trigger = await self._transport.request("POST", f"{_path(name)}/replay", body=body)
        return found

    async def rotate(self, name: str, overlap: float = 86_400.0) -> TriggerRotated:
        """A new secret for those who call it, shown once. For `overlap` seconds the old one is believed, too."""
        body = {"overlap": overlap}
        found: TriggerRotated = await self._transport.request("POST", f"{_path(name)}/rotate", body=body)
        return found

    async def lag(self, name: str) -> TriggerLag:
        """How far it is behind its topic. A broker that does not answer is told at once (NotAvailable)."""
        found: TriggerLag = await self._transport.request("GET", f"{_path(name)}/lag", patient=False)
        return found


def _path(name: str) -> str:
    return f"/triggers/{quote(name, safe='')}"
