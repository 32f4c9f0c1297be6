"""What people do to triggers: make, change, pause, replay, look how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from interplay.core.errors import Conflict, InvalidInput
from interplay.core.triggers.messages import compile_trigger
from interplay.core.triggers.trigger import trigger_name
from interplay.core.webhooks.secrets import MasterKeys
from interplay.ports.event_bus import EventBus
from interplay.ports.flow_store import FlowStore
from interplay.ports.topic_reader import StartAt, TopicReader
from interplay.ports.trigger_store import KeptTrigger, NewTrigger, TriggerStore
from interplay.use_cases.manage_webhooks import MOST_OVERLAP
from interplay.use_cases.run_trigger import TOPIC


class ManageTriggers:
    """`readers` None: no broker is set up here. `keys`: for the secrets of those that are called."""

    def __init__(
        self, store: TriggerStore, flows: FlowStore, readers: TopicReader | None, bus: EventBus, keys: MasterKeys
    ) -> None:
        self._keys = keys
        self._store = store
        self._flows = flows
        self._readers = readers
        self._bus = bus

    async def put(self, wanted: NewTrigger, expected: int | None = None) -> tuple[KeptTrigger, bool]:
        """Whether it was made, too. What cannot work is told now, as far as it can be known.

        Raises InvalidInput, NotFound (flow, channel, version), Conflict.
        """
        trigger = wanted.trigger.checked()
        if trigger.webhook is None:
            self._broker()
        elif trigger.webhook.secret is None:
            wanted = replace(wanted, secret=self._keys.fresh())
        trigger_name(wanted.name)
        compile_trigger(trigger)
        if trigger.version is not None:
            await self._flows.get(wanted.project_id, trigger.version, trigger.flow)
        else:
            await self._flows.resolve(wanted.project_id, trigger.flow, trigger.channel)
        found = await self._store.put(wanted, expected)
        self._changed()
        return found

    def secret_of(self, kept: KeptTrigger) -> str | None:
        """What its callers sign with, to be shown once; None where it has none of its own. Raises Unavailable."""
        own = kept.trigger.webhook is not None and kept.trigger.webhook.secret is None
        return self._keys.shown(kept.trigger_id, kept.secret) if own and kept.secret is not None else None

    async def rotate(self, project_id: int, name: str, overlap: float, now: float) -> tuple[KeptTrigger, str]:
        """A new secret, for one that is called. For `overlap` seconds the old one is believed, too. Raises NotFound,
        Conflict."""
        if not 0 <= overlap <= MOST_OVERLAP:
            raise InvalidInput("The overlap is from 0 seconds to 30 days.", where="overlap")
        kept = await self._store.get(project_id, name)
        if kept.trigger.webhook is None or kept.trigger.webhook.secret is not None or kept.secret is None:
            raise Conflict(
                f"The trigger {name!r} has no secret that was made here.",
                advice="Only a trigger that is called, without a `secret` of its caller's, has one.",
            )
        secret = self._keys.rotated(kept.secret, now + overlap if overlap else None)
        shown = self._keys.shown(kept.trigger_id, secret)
        found = await self._store.rotate(project_id, name, kept.secret, secret)
        self._changed()
        return found, shown

    async def delete(self, project_id: int, name: str) -> None:
        await self._store.delete(project_id, name)
        self._changed()

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptTrigger:
        found = await self._store.pause(project_id, name, paused)
        self._changed()
        return found

    async def replay(self, project_id: int, name: str, start: StartAt) -> KeptTrigger:
        """It reads the topic anew from there, and starts runs anew for what it reads. Raises NotFound, InvalidInput."""
        if start.time is not None and start.offset is not None:
            raise InvalidInput("A replay begins at a time or at an offset, not at both.", where="time")
        self._reads(await self._store.get(project_id, name))
        found = await self._store.replay(project_id, name, start)
        self._changed()
        return found

    async def lag(self, project_id: int, name: str) -> Mapping[int, int | None]:
        """Messages of each partition that are not worked on yet; None where nobody has begun. Raises NotFound,
        Unavailable."""
        kept = self._reads(await self._store.get(project_id, name))
        return await self._broker().lag(kept.group, kept.trigger.topic)

    def _reads(self, kept: KeptTrigger) -> KeptTrigger:
        if kept.trigger.webhook is not None:
            raise Conflict(f"The trigger {kept.name!r} is called, and reads no topic.", where="trigger")
        return kept

    def _broker(self) -> TopicReader:
        if self._readers is None:
            raise Conflict(
                "This server has no broker, so there is nothing that a trigger could read.",
                advice="Start it with INTERPLAY_KAFKA_BOOTSTRAP.",
            )
        return self._readers

    def _changed(self) -> None:
        self._bus.publish(TOPIC, {})
