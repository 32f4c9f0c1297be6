"""What all triggers do at work, whatever their messages are for: read, try again, say what is wrong, bury the dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from interplay.core.errors import InterplayError, Unavailable
from interplay.core.failures import StepFailure
from interplay.core.triggers.messages import Message
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import RunStore
from interplay.ports.topic_reader import TopicMember, TopicReader
from interplay.ports.topic_writer import TopicRecord, TopicWriter
from interplay.ports.trigger_store import KeptTrigger, Tally, TriggerStore
from interplay.use_cases.submit_run import SubmitRun

WITHIN: Final = 1.0  # seconds that a batch waits for its first message
_LOG: Final = logging.getLogger("interplay.triggers")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds after something went wrong
_MOST_REASON: Final = 1000  # characters of a reason in a header
_MOST_LINES, _MINUTE = 10, 60.0  # lines of the log about dead messages in so many seconds


@dataclass(frozen=True, slots=True)
class TriggerParts:
    store: TriggerStore
    readers: TopicReader
    writer: TopicWriter
    submit: SubmitRun
    runs: RunStore
    bus: EventBus


class TriggerWork:
    """One trigger, in this process, as it is kept now."""

    def __init__(self, parts: TriggerParts, kept: KeptTrigger) -> None:
        self.parts = parts
        self.kept = kept
        self._problem = kept.problem
        self._lines = _Lines(kept.name, asyncio.get_running_loop().time)

    async def prepare(self) -> None:
        """Before it reads. Raises InterplayError for what holds it up."""
        raise NotImplementedError

    async def turn(self, reader: TopicMember) -> None:
        """One batch, from being read to being committed. Raises InterplayError for what holds it up."""
        raise NotImplementedError

    async def run(self) -> None:
        """Until it is cancelled. What goes wrong is told in its `problem`, and tried again."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.prepare()
                async with self.parts.readers.join(self.kept.group, self.kept.trigger.topic, self.kept.start) as reader:
                    while True:
                        await self.turn(reader)
                        self._lines.settle()
                        pause = _FIRST_PAUSE
            except InterplayError as wrong:
                await self.stuck(wrong)
            except Exception as defect:  # noqa: BLE001 - the edge of a trigger: logged, told, and tried again
                _LOG.exception("trigger %s met a defect", self.kept.name)
                said = f"A defect of Interplay holds it up: {type(defect).__name__}: {defect}"
                await self.stuck(InterplayError(said))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def bury(self, dead: Sequence[tuple[Message, str]]) -> None:
        """With the reason and the place in the headers. Raises StepFailure where the topic for them takes none: they
        are not given up."""
        for message, reason in dead:
            self._lines.dead(message.place, reason)
        topic = self.kept.trigger.dead_letters
        if topic is not None:
            await asyncio.gather(*(self._written(topic, message, reason) for message, reason in dead))

    async def _written(self, topic: str, message: Message, reason: str) -> None:
        """As it came; without its value where the topic does not take it, so that it blocks nothing."""
        ours = {"interplay-trigger": self.kept.name, "interplay-message": message.place}
        ours["interplay-reason"] = reason[:_MOST_REASON]
        headers = tuple((name, value.encode("utf-8", "replace")) for name, value in ours.items())
        try:
            await self.parts.writer.write(TopicRecord(topic, message.value, message.key, (*message.headers, *headers)))
        except StepFailure as refused:
            if refused.failure.code != "bad_request":
                raise
            size = len(message.value or b"")
            left_out = ("interplay-left-out", f"{size} bytes, and the headers of the message".encode())
            try:
                await self.parts.writer.write(TopicRecord(topic, None, None, (*headers, left_out)))
            except StepFailure as again:
                if again.failure.code != "bad_request":
                    raise
                _LOG.exception("trigger %s: the dead letter of %s is not kept", self.kept.name, message.place)

    async def stuck(self, wrong: InterplayError) -> None:
        """Tells why it does not get on."""
        if str(wrong) != self._problem:
            _LOG.warning("trigger %s does not get on: %s", self.kept.name, wrong)
        try:
            await self.note(Tally(), str(wrong))
        except Unavailable:
            self._problem = str(wrong)  # the database is what is away

    async def note(self, more: Tally, problem: str | None) -> None:
        """Adds to its tally, and says how it gets on."""
        if more == Tally() and problem == self._problem:
            return
        await self.parts.store.note(self.kept.trigger_id, more, problem)
        self._problem = problem


class _Lines:
    """Some lines of the log about dead messages in each minute, then how many there were beside them."""

    def __init__(self, name: str, now: Callable[[], float]) -> None:
        self._name, self._now = name, now
        self._since, self._said, self._unsaid = now(), 0, 0

    def dead(self, place: str, reason: str) -> None:
        self.settle()
        if self._said == 0:
            self._since = self._now()
        if self._said < _MOST_LINES:
            self._said += 1
            _LOG.warning("trigger %s: message %s is dead: %s", self._name, place, reason)
        else:
            self._unsaid += 1

    def settle(self) -> None:
        """Says how many were left out, once the minute is over."""
        if self._now() - self._since < _MINUTE:
            return
        if self._unsaid:
            _LOG.warning("trigger %s: %s more messages were dead in that minute", self._name, f"{self._unsaid:,}")
        self._since, self._said, self._unsaid = self._now(), 0, 0
