"""What people do to triggers: make, change, pause, replay, look how far they are."""

from __future__ import annotations

from collections.abc import Mapping

from interplay.core.errors import Conflict, InvalidInput, NotFound
from interplay.core.failures import StepFailure
from interplay.core.triggers.feeding import compile_feed
from interplay.core.triggers.messages import compile_trigger
from interplay.core.triggers.trigger import BY_SCHEMA, Trigger, trigger_name
from interplay.ports.event_bus import EventBus
from interplay.ports.flow_store import FlowStore
from interplay.ports.topic_reader import StartAt, TopicReader
from interplay.ports.trigger_store import KeptTrigger, NewTrigger, TriggerStore
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.run_trigger import TOPIC


class ManageTriggers:
    """`readers` None: no broker is set up here; `schemas` False: no registry of schemas."""

    def __init__(
        self,
        store: TriggerStore,
        flows: FlowStore,
        calls: CallModel,
        readers: TopicReader | None,
        bus: EventBus,
        schemas: bool,
    ) -> None:
        self._schemas = schemas
        self._store = store
        self._flows = flows
        self._calls = calls
        self._readers = readers
        self._bus = bus

    async def put(self, wanted: NewTrigger, expected: int | None = None) -> tuple[KeptTrigger, bool]:
        """Whether it was made, too. What cannot work is told now, as far as it can be known.

        Raises InvalidInput, NotFound (flow, channel, version), Conflict.
        """
        self._broker()
        trigger = wanted.trigger.checked()
        trigger_name(wanted.name)
        if trigger.format in BY_SCHEMA and not self._schemas:
            raise InvalidInput(
                f"This server has no schema registry, so triggers cannot read {trigger.format}.",
                where="format",
                advice="Start it with INTERPLAY_SCHEMA_REGISTRY_URL.",
            )
        compile_trigger(trigger)
        await self._look(wanted.project_id, trigger)
        found = await self._store.put(wanted, expected)
        self._changed()
        return found

    async def _look(self, project_id: int, trigger: Trigger) -> None:
        """Raises NotFound, InvalidInput."""
        if trigger.model is not None:
            try:
                model = await self._calls.model(project_id, trigger.model)
            except StepFailure as missing:
                raise NotFound(missing.detail, where="model", advice=missing.advice) from None
            compile_feed(trigger, model.task)
        elif trigger.version is not None:
            await self._flows.get(project_id, trigger.version, trigger.flow)
        else:
            await self._flows.resolve(project_id, str(trigger.flow), trigger.channel)

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
        found = await self._store.replay(project_id, name, start)
        self._changed()
        return found

    async def lag(self, project_id: int, name: str) -> Mapping[int, int | None]:
        """Messages of each partition that are not worked on yet; None where nobody has begun. Raises NotFound,
        Unavailable."""
        kept = await self._store.get(project_id, name)
        return await self._broker().lag(kept.group, kept.trigger.topic)

    def _broker(self) -> TopicReader:
        if self._readers is None:
            raise Conflict(
                "This server has no broker, so there is nothing that a trigger could read.",
                advice="Start it with INTERPLAY_KAFKA_BOOTSTRAP.",
            )
        return self._readers

    def _changed(self) -> None:
        self._bus.publish(TOPIC, {})
