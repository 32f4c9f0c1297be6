"""Schedules that `apply` takes from files: checked against the flows that come with them, put when these are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from interplay.client import ApiError, AsyncClient
from interplay.core.errors import InvalidInput, near_names
from interplay.core.flows.canonical import from_bytes
from interplay.core.flows.ir import Flow
from interplay.core.schedules.reading import WrittenSchedule

Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class ScheduleFiles:
    """What files say, and the schedules that the server has, by name."""

    written: Sequence[WrittenSchedule]
    there: Mapping[str, Mapping[str, Any]]

    @classmethod
    async def of(
        cls, client: AsyncClient, written: Sequence[WrittenSchedule], coming: Mapping[str, Flow]
    ) -> ScheduleFiles:
        """Raises InvalidInput for a schedule whose flow neither comes nor is there, or takes other inputs."""
        if not written:
            return cls((), {})
        for one in written:
            one.checked_for(coming.get(one.schedule.flow) or await _flow(client, one, coming))
        return cls(written, {entry["name"]: entry async for entry in client.schedules.each()})

    async def apply(self, client: AsyncClient, plan: bool, say: Say) -> None:
        for one in self.written:
            body: dict[str, Any] = {
                "zone": "UTC",
                "overlap": "skip",
                "catch_up": "last",
                "most": 100,
                "channel": None,
                "version": None,
            }
            body |= {"inputs": {}, **msgspec.to_builtins(one.schedule)}
            if one.paused is not None:
                body["paused"] = one.paused
            there = self.there.get(one.name, {})
            same = all(there.get(field) == value for field, value in body.items())
            say("schedule", one.name, not same, "as it is" if same else "would change" if plan else "changed")
            if not same and not plan:
                await client.schedules.put(one.name, **body)


async def _flow(client: AsyncClient, one: WrittenSchedule, coming: Mapping[str, Flow]) -> Flow:
    schedule = one.schedule
    try:
        found = await client.flows.get(schedule.flow, version=schedule.version, channel=schedule.channel)
    except ApiError as missing:
        if missing.status != 404:
            raise
        near = near_names(schedule.flow, coming)
        advice = f"Did you mean {near[0]!r}?" if near else missing.advice
        raise InvalidInput(f"{one.name}: {missing.detail}", where=one.where, advice=advice) from None
    return from_bytes(json.dumps(found["ir"]).encode())
