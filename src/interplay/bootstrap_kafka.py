"""The part of the composition that speaks to a Kafka, where one is set up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.event_bus import KafkaEventBus
from interplay.adapters.kafka.event_log import KafkaEventLog
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.reach import KafkaReach
from interplay.adapters.kafka.topic_admin import KafkaTopicAdmin
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.kafka.topic_writer import KafkaTopicWriter
from interplay.adapters.kafka.usage_log import KafkaUsageLog
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.topic_writer import NoTopicWriter
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.core.errors import InterplayError, SetupError
from interplay.core.runs.topics import Subscriptions
from interplay.core.topics_of_ours import HINTS, RUNS, USAGE, named
from interplay.ports.event_bus import EventBus
from interplay.ports.event_log import EventLog
from interplay.ports.topic_reader import TopicReader
from interplay.ports.topic_writer import TopicWriter
from interplay.ports.usage_log import UsageLog
from interplay.settings import Settings
from interplay.use_cases.make_topics import MakeTopics

_LOG = logging.getLogger("interplay.kafka")
_MAKE_EVERY = 10.0  # seconds between two tries to make topics


@dataclass(slots=True)
class Broker:
    """`connection` and `readers` None: there is none, and what would write to a topic says so. `events` and `usage`
    None: nobody publishes them."""

    connection: KafkaConnection | None
    producer: KafkaProducer | None
    writer: TopicWriter
    readers: TopicReader | None
    reach: KafkaReach | None = None
    publisher: KafkaProducer | None = None
    events: EventLog | None = None
    usage: UsageLog | None = None

    async def close(self) -> None:
        if self.reach is not None:
            self.reach.close()
        for producer in (self.producer, self.publisher):
            if producer is not None:
                await producer.close()


def make_broker(settings: Settings) -> Broker:
    """Reaches nobody yet. Raises SetupError where settings do not fit together."""
    connection = kafka_connection(settings)
    if connection is None:
        return Broker(None, None, NoTopicWriter(), None)
    producer = KafkaProducer(connection)
    readers = KafkaTopicReader(connection, settings.kafka_session_seconds)
    broker = Broker(connection, producer, KafkaTopicWriter(producer), readers, KafkaReach(connection))
    if settings.kafka_events:
        # one of its own: what a flow writes must not end what is published, and the other way round
        broker.publisher = KafkaProducer(connection, gapless=True)
        names = settings.kafka_namespace
        broker.events = KafkaEventLog(broker.publisher, named(RUNS, names))
        broker.usage = KafkaUsageLog(broker.publisher, named(USAGE, names))
    return broker


@dataclass(slots=True)
class Buses:
    """What processes wake one another through: `bus`, and what it is made of."""

    bus: EventBus
    parts: Sequence[PostgresEventBus | KafkaEventBus] = ()

    async def start(self) -> None:
        for part in self.parts:
            await part.start()

    async def close(self) -> None:
        for part in reversed(self.parts):
            await part.close()


def make_bus(settings: Settings, database: Database, connection: KafkaConnection | None, alone: bool) -> Buses:
    """`alone`: nobody else is to be woken."""
    if alone:
        return Buses(MemoryEventBus())
    subscriptions = Subscriptions()
    ledger = PostgresEventBus(database, subscriptions)
    if connection is None or not settings.kafka_hints:
        return Buses(ledger, (ledger,))
    topic = KafkaEventBus(connection, subscriptions, ledger, named(HINTS, settings.kafka_namespace))
    return Buses(topic, (ledger, topic))


def topics_of_ours(settings: Settings) -> MakeTopics | None:
    """None: there is no broker. Raises SetupError."""
    connection = kafka_connection(settings)
    if connection is None:
        return None
    return MakeTopics(KafkaTopicAdmin(connection), settings.kafka_replication, settings.kafka_namespace)


async def make_topics(settings: Settings) -> None:
    """Makes what is missing of Interplay's own topics, and says so in the log; waits for the broker where that is
    away. Raises SetupError."""
    topics = topics_of_ours(settings)
    while topics is not None:
        try:
            found = await topics.make()
        except InterplayError as away:
            _LOG.warning("Interplay's own topics are not made yet: %s", away)
            await asyncio.sleep(_MAKE_EVERY)
        else:
            for one in found:
                if one.state in ("made", "different"):
                    _LOG.info("topic %s: %s, %s", one.name, one.state, one.found)
            return


def kafka_connection(settings: Settings) -> KafkaConnection | None:
    """How the broker of the settings is reached. Raises SetupError."""
    if settings.kafka_bootstrap is None:
        return None
    made: dict[str, str] = {}
    tls = settings.kafka_security == "tls"
    if settings.kafka_sasl is not None:
        if settings.kafka_username is None or settings.kafka_password is None:
            missing = "INTERPLAY_KAFKA_USERNAME" if settings.kafka_username is None else "INTERPLAY_KAFKA_PASSWORD"
            raise SetupError(f"INTERPLAY_KAFKA_SASL is set, and {missing} is not.", where=missing)
        made |= {
            "security.protocol": "sasl_ssl" if tls else "sasl_plaintext",
            "sasl.mechanism": settings.kafka_sasl,
            "sasl.username": settings.kafka_username,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    elif tls:
        made["security.protocol"] = "ssl"
    files = {
        "ssl.ca.location": settings.kafka_ca,
        "ssl.certificate.location": settings.kafka_certificate,
        "ssl.key.location": settings.kafka_certificate_key,
    }
    for name, path in files.items():
        if path is None:
            continue
        if not path.is_file():
            raise SetupError(f"There is no file {path}.", where=_VARIABLES[name])
        made[name] = str(path)
    return KafkaConnection(settings.kafka_bootstrap, made)


_VARIABLES = {
    "ssl.ca.location": "INTERPLAY_KAFKA_CA",
    "ssl.certificate.location": "INTERPLAY_KAFKA_CERTIFICATE",
    "ssl.key.location": "INTERPLAY_KAFKA_CERTIFICATE_KEY",
}
