"""The recorder: what becomes of the events of runs, once and in order.

    topic (or the ledger, without a broker) ──▶ drop what was had ──▶ takers (webhooks …) ──▶ counts ──▶ commit

What is committed is durable with each taker. A recorder that dies in between leaves its batch to be read again, and
takers have to know an event by its run and number. Any number of recorders work on one log: they share its partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from interplay.core.errors import InterplayError, InvalidInput, Unavailable
from interplay.core.runs.log import LoggedEvent
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt, TopicMember, TopicReader
from interplay.use_cases.tell_away import TellAway

_LOG: Final = logging.getLogger("interplay.recorder")
_MOST: Final = 1000  # messages of a batch
_WITHIN: Final = 1.0  # seconds that a batch waits for its first
_RUNS: Final = 100_000  # whose last events are remembered
_MOST_ENDS: Final = 10_000
_LAG_EVERY: Final = 15.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
BUCKETS: Final = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)


class Taker(Protocol):
    """Who wants events: durable when it returns, and the same events may come again."""

    async def take(self, events: Sequence[LoggedEvent]) -> None: ...


@dataclass(slots=True)
class Recorded:
    """What a recorder has had since it started. `ends`: of runs, by project, flow and how they ended; past `_MOST_ENDS`
    of them, those that are new count as of no project and no flow."""

    events: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    unreadable: int = 0
    unknown: int = 0
    ends: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    seconds: dict[int, int] = field(default_factory=dict)
    seconds_sum: float = 0.0
    lag: int | None = None


class RecordEvents:
    """Is itself an `EventLog`: where there is no topic in between, events are published to it."""

    def __init__(self, takers: Sequence[Taker]) -> None:
        self._takers = takers
        self._last: OrderedDict[UUID, int] = OrderedDict()
        self.counted = Recorded()

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        fresh: list[LoggedEvent] = []
        last: dict[UUID, int] = {}
        for event in events:
            if event.seq > last.get(event.run_id, self._last.get(event.run_id, 0)):
                last[event.run_id] = event.seq
                fresh.append(event)
        self.counted.doubled += len(events) - len(fresh)
        if fresh:
            for taker in self._takers:
                await taker.take(fresh)
            for event in fresh:
                self._count(event)

    def _count(self, event: LoggedEvent) -> None:
        last, counted = self._last, self.counted
        last[event.run_id] = max(event.seq, last.get(event.run_id, 0))
        last.move_to_end(event.run_id)
        if len(last) > _RUNS:
            last.popitem(last=False)
        counted.events[event.kind.wire_name] += 1
        if not event.kind.terminal:
            return
        how = event.kind.wire_name.removeprefix("run.")
        place = (event.project_id, event.flow, how)
        if place not in counted.ends and len(counted.ends) >= _MOST_ENDS:
            place = (0, "", how)
        counted.ends[place] += 1
        seconds = event.facts.get("seconds")
        if isinstance(seconds, int | float):
            bucket = next((number for number, most in enumerate(BUCKETS) if seconds <= most), len(BUCKETS))
            counted.seconds[bucket] = counted.seconds.get(bucket, 0) + 1
            counted.seconds_sum += seconds


class RecordTopic:
    """Reads the event log's topic, and records it. `decode` gives None for an event of a newer release, and raises
    InvalidInput for what is none: such a message is counted, told, and passed over."""

    def __init__(
        self,
        readers: TopicReader,
        topic: str,
        decode: Callable[[bytes | None], LoggedEvent | None],
        record: RecordEvents,
        group: str,
    ) -> None:
        self._readers, self._topic, self._decode, self._record, self._group = readers, topic, decode, record, group
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()
        self._away = TellAway(_LOG, "the event log is not read for now")

    @property
    def away(self) -> str | None:
        """Why it does not get on right now."""
        return self._away.reason

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`: then what is in hand is recorded."""
        pause = _FIRST_PAUSE
        looking = asyncio.create_task(self._look_at_lag())
        try:
            while not self._stopping.is_set():
                try:
                    async with self._readers.join(self._group, self._topic, StartAt("earliest")) as member:
                        while not self._stopping.is_set():
                            await self._turn(member)
                            self._away.over()
                            pause = _FIRST_PAUSE
                            self.ready.set()
                except Exception as wrong:  # noqa: BLE001 - told, and tried again
                    self._away.met(wrong)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._stopping.wait()
                    pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _turn(self, member: TopicMember) -> None:
        messages = await member.batch(_MOST, _WITHIN)
        if not messages:
            return
        events = [event for message in messages if (event := self._read(message)) is not None]
        await self._recorded(events)
        await member.commit(messages)

    async def _recorded(self, events: list[LoggedEvent]) -> None:
        """One event that nobody can take is found, told and passed over: it blocks no other."""
        try:
            await self._record.publish(events)
        except Unavailable:
            raise
        except Exception as wrong:  # noqa: BLE001 - the edge of an event
            if len(events) > 1:
                half = len(events) // 2
                await self._recorded(events[:half])
                await self._recorded(events[half:])
                return
            self._record.counted.unreadable += 1
            self._away.tell("event %s is passed over: %s", events[0].identity, wrong, defect=wrong)

    def _read(self, message: Message) -> LoggedEvent | None:
        counted = self._record.counted
        try:
            event = self._decode(message.value)
        except InvalidInput as wrong:
            counted.unreadable += 1
            self._away.tell("message %s is passed over: %s", message.place, wrong)
            return None
        if event is None:
            counted.unknown += 1
        return event

    async def _look_at_lag(self) -> None:
        while True:
            try:
                found = await self._readers.lag(self._group, self._topic)
                self._record.counted.lag = sum(lag or 0 for lag in found.values())
            except InterplayError:
                self._record.counted.lag = None
            await asyncio.sleep(_LAG_EVERY)


def metric_lines(counted: Recorded) -> list[str]:
    """As Prometheus reads them."""
    lines = [f'interplay_events_total{{type="{kind}"}} {count}' for kind, count in sorted(counted.events.items())]
    lines += [
        f'interplay_runs_ended_total{{project="{project}",flow="{flow}",how="{how}"}} {count}'
        for (project, flow, how), count in sorted(counted.ends.items())
    ]
    below = 0
    for place in range(len(BUCKETS) + 1):
        below += counted.seconds.get(place, 0)
        bound = f"{BUCKETS[place]:g}" if place < len(BUCKETS) else "+Inf"
        lines.append(f'interplay_run_seconds_bucket{{le="{bound}"}} {below}')
    lines += [f"interplay_run_seconds_sum {counted.seconds_sum:.6f}", f"interplay_run_seconds_count {below}"]
    lines += [
        f"interplay_events_doubled_total {counted.doubled}",
        f"interplay_events_unreadable_total {counted.unreadable}",
        f"interplay_events_unknown_total {counted.unknown}",
    ]
    return lines if counted.lag is None else [*lines, f"interplay_recorder_lag {counted.lag}"]
