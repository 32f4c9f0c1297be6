"""`TopicAdmin` over a Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from interplay.adapters.kafka.connection import KafkaConnection, forbidden, made, words
from interplay.adapters.kafka.library import admin_library, library
from interplay.adapters.kafka.own_thread import OwnThread
from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.topics_of_ours import TopicShape

T = TypeVar("T")
_ANSWER: Final = 10.0  # seconds that the broker has for an answer
_WITHIN: Final = 30.0  # seconds for all answers to one question
_MATTERS: Final = ("cleanup.policy", "retention.ms", "min.insync.replicas")


class KafkaTopicAdmin:
    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection

    async def brokers(self) -> int:
        return await self._asked(lambda admin: len(admin.list_topics(timeout=_ANSWER).brokers))

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicShape]:
        return await self._asked(lambda admin: _described(admin, names))

    async def make(self, topics: Sequence[TopicShape]) -> Sequence[str]:
        return await self._asked(lambda admin: _made(admin, topics)) if topics else []

    async def _asked(self, work: Callable[[Any], T]) -> T:
        thread = OwnThread("kafka-admin")  # one that hangs holds up no later question
        try:
            return await thread.run(lambda: self._told(work), _WITHIN)
        except TimeoutError:
            raise Unavailable(f"The broker did not answer within {_WITHIN:g} s.", retry_after=2.0) from None
        finally:
            thread.end()

    def _told(self, work: Callable[[Any], T]) -> T:
        admin = made(admin_library().AdminClient, self._connection.configured())
        try:
            return work(admin)
        except library().KafkaException as wrong:
            raise _problem(wrong.args[0], "describe its topics") from None


def _described(admin: Any, names: Sequence[str]) -> dict[str, TopicShape]:
    kafka = admin_library()
    there = admin.list_topics(timeout=_ANSWER).topics
    found = [name for name in names if name in there]
    if not found:
        return {}
    asked = admin.describe_configs(
        [kafka.ConfigResource(kafka.ResourceType.TOPIC, name) for name in found], request_timeout=_ANSWER
    )
    shapes = {}
    for resource, answer in asked.items():
        entries = answer.result(_ANSWER)
        partitions = there[resource.name].partitions
        copies = min((len(one.replicas) for one in partitions.values()), default=0)
        settings = {name: str(entries[name].value) for name in _MATTERS if name in entries}
        shapes[resource.name] = TopicShape(resource.name, len(partitions), copies, settings)
    return shapes


def _made(admin: Any, topics: Sequence[TopicShape]) -> list[str]:
    wanted = [
        admin_library().NewTopic(one.name, one.partitions, one.replication, config=dict(one.settings)) for one in topics
    ]
    made_now = []
    for name, answer in admin.create_topics(wanted, operation_timeout=_ANSWER, request_timeout=_ANSWER).items():
        try:
            answer.result(_ANSWER * 2)
            made_now.append(name)
        except library().KafkaException as wrong:
            error = wrong.args[0]
            if error.code() != library().KafkaError.TOPIC_ALREADY_EXISTS:
                raise _problem(error, f"make topic {name!r}") from None
    return made_now


def _problem(error: Any, what: str) -> InvalidInput | Unavailable:
    kinds = library().KafkaError
    if forbidden(error):
        return InvalidInput(
            f"The broker does not let Interplay {what}: {words(error)}.",
            advice="Give its user the right to, or make the topics by hand as docs/reference/topics.md has them.",
        )
    if error.code() in (kinds.POLICY_VIOLATION, kinds.INVALID_REPLICATION_FACTOR, kinds.INVALID_CONFIG):
        return InvalidInput(f"The broker does not {what}: {words(error)}.")
    return Unavailable(f"The broker does not answer: {words(error)}.", retry_after=2.0)
