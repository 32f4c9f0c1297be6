"""Triggers that `apply` takes from files: checked against the flows that come with them, put when these are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from interplay.client import ApiError, AsyncClient
from interplay.core.errors import InvalidInput, near_names
from interplay.core.flows.ir import Flow
from interplay.core.triggers.reading import WrittenTrigger

Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class TriggerFiles:
    """What files say, and the triggers that the server has, by name."""

    written: Sequence[WrittenTrigger]
    there: Mapping[str, Mapping[str, Any]]

    @classmethod
    async def of(
        cls, client: AsyncClient, written: Sequence[WrittenTrigger], coming: Mapping[str, Flow]
    ) -> TriggerFiles:
        """Raises InvalidInput for a trigger whose flow neither comes nor is there."""
        if not written:
            return cls((), {})
        for one in written:
            if one.trigger.flow not in coming:
                await _look(client, one, coming)
        return cls(written, {entry["name"]: entry async for entry in client.triggers.each()})

    async def apply(self, client: AsyncClient, plan: bool, say: Say) -> None:
        for one in self.written:
            fields = one.trigger.__struct_fields__
            body: dict[str, Any] = {name: msgspec.to_builtins(getattr(one.trigger, name)) for name in fields}
            if one.paused is not None:
                body["paused"] = one.paused
            there = self.there.get(one.name, {})
            same = all(there.get(field) == value for field, value in body.items())
            say("trigger", one.name, not same, "as it is" if same else "would change" if plan else "changed")
            if not same and not plan:
                await client.triggers.put(one.name, **body)


async def _look(client: AsyncClient, one: WrittenTrigger, coming: Mapping[str, Flow]) -> None:
    trigger = one.trigger
    try:
        await client.flows.get(trigger.flow, version=trigger.version, channel=trigger.channel)
    except ApiError as missing:
        if missing.status != 404:
            raise
        near = near_names(trigger.flow, coming)
        advice = f"Did you mean {near[0]!r}?" if near else missing.advice
        raise InvalidInput(f"{one.name}: {missing.detail}", where=one.where, advice=advice) from None
