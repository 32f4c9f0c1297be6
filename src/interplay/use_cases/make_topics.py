"""Interplay's own topics: which are missing at the broker, and making those. What is there is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interplay.core.topics_of_ours import NAMESPACE, TOPICS, TopicShape, differences, shape_of
from interplay.ports.topic_admin import TopicAdmin


@dataclass(frozen=True, slots=True)
class TopicState:
    """`state`: `missing`, `made` (just now), `different` or `there`. `found`: in words, how it is."""

    name: str
    state: str
    found: str


class MakeTopics:
    """`replication`: copies of each topic, at most one for each broker."""

    def __init__(self, admin: TopicAdmin, replication: int, namespace: str = NAMESPACE) -> None:
        self._admin = admin
        self._namespace = namespace
        self._replication = replication

    async def look(self) -> list[TopicState]:
        """How each is. Raises Unavailable, InvalidInput."""
        wanted = await self._wanted()
        found = await self._admin.describe([one.name for one in wanted])
        return [_state(one, found.get(one.name)) for one in wanted]

    async def make(self) -> list[TopicState]:
        """Makes what is missing, and says how each is now. Raises Unavailable, InvalidInput."""
        wanted = await self._wanted()
        found = await self._admin.describe([one.name for one in wanted])
        made = set(await self._admin.make([one for one in wanted if one.name not in found]))
        if len(made) + len(found) < len(wanted):  # somebody else made one meanwhile
            found = await self._admin.describe([one.name for one in wanted])
        return [
            TopicState(one.name, "made", _words(one)) if one.name in made else _state(one, found.get(one.name))
            for one in wanted
        ]

    async def _wanted(self) -> Sequence[TopicShape]:
        brokers = await self._admin.brokers()
        return [shape_of(topic, brokers, self._replication, self._namespace) for topic in TOPICS]


def _state(wanted: TopicShape, found: TopicShape | None) -> TopicState:
    if found is None:
        return TopicState(wanted.name, "missing", f"would be made with {_words(wanted)}")
    other = differences(wanted, found)
    if other:
        return TopicState(wanted.name, "different", "; ".join(other))
    return TopicState(wanted.name, "there", _words(wanted))


def _words(shape: TopicShape) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in shape.settings.items())
    copies = "1 copy" if shape.replication == 1 else f"{shape.replication} copies"
    return f"{shape.partitions} partitions, {copies}, {settings}"
