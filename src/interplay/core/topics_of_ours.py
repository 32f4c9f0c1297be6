"""The topics that Interplay itself writes: what each is for, and how it should be made. One table, for the migration,
for those who write and read, and for the page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HOUR: Final = 3600
DAY: Final = 24 * HOUR
REPLICATION: Final = 3  # copies of each topic, where there are so many brokers
_LEAST_IN_STEP: Final = 2  # copies that have a record before it counts as written


@dataclass(frozen=True, slots=True)
class OurTopic:
    """`key`: what keeps its order. `retention`: seconds that a record is kept. `about`: what it is for."""

    name: str
    key: str
    partitions: int
    retention: int
    about: str
    cleanup: str = "delete"


HINTS: Final = OurTopic(
    "interplay.hints.v1",
    "none",
    4,
    HOUR,
    "Wakes workers when there is something to do. Lost, doubled, late or shuffled ones change nothing but time.",
)
RUNS: Final = OurTopic(
    "interplay.runs.v1",
    "run",
    12,
    7 * DAY,
    "Every event of every run, after it is durable, in the order of its run. At least once: run and number tell "
    "doubles.",
)
USAGE: Final = OurTopic(
    "interplay.usage.v1",
    "run, or call of the gateway",
    6,
    30 * DAY,
    "What each call of a model used and cost. At least once: the id of the record tells doubles.",
)
TOPICS: Final = (HINTS, RUNS, USAGE)
NAMESPACE: Final = "interplay"  # of the names, unless an installation has another one


@dataclass(frozen=True, slots=True)
class TopicShape:
    """A topic as it is at a broker, or should be. `settings`: of the topic, by Kafka's names, those that matter."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


def named(topic: OurTopic, namespace: str) -> str:
    """Its name in an installation that shares a broker with others."""
    return namespace + topic.name.removeprefix(NAMESPACE)


def shape_of(topic: OurTopic, brokers: int, replication: int = REPLICATION, namespace: str = NAMESPACE) -> TopicShape:
    """How it should be made: with as many copies as wanted, or as there are brokers."""
    copies = max(1, min(replication, brokers))
    settings = {"cleanup.policy": topic.cleanup, "retention.ms": str(topic.retention * 1000)}
    if copies > _LEAST_IN_STEP:
        settings["min.insync.replicas"] = str(_LEAST_IN_STEP)
    return TopicShape(named(topic, namespace), topic.partitions, copies, settings)


def differences(wanted: TopicShape, found: TopicShape) -> list[str]:
    """In words, what is not as it should be."""
    said = []
    if found.partitions != wanted.partitions:
        said.append(f"{found.partitions} partitions instead of {wanted.partitions}")
    if found.replication != wanted.replication:
        said.append(f"{found.replication} copies instead of {wanted.replication}")
    for name, value in wanted.settings.items():
        other = found.settings.get(name)
        if other != value:
            said.append(f"{name} is {other} instead of {value}")
    return said
