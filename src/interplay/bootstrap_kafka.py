"""The part of the composition that speaks to a Kafka, where one is set up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.event_bus import KafkaEventBus
from interplay.adapters.kafka.event_log import KafkaEventLog
from interplay.adapters.kafka.msk import msk_token
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
from interplay.adapters.schema_registry.value_decoder import RegistryDecoder
from interplay.core.errors import InterplayError, SetupError
from interplay.core.runs.topics import Subscriptions
from interplay.core.topics_of_ours import HINTS, RUNS, USAGE, named
from interplay.ports.event_bus import EventBus
from interplay.ports.event_log import EventLog
from interplay.ports.topic_reader import TopicReader
from interplay.ports.topic_writer import TopicWriter
from interplay.ports.usage_log import UsageLog
from interplay.ports.value_decoder import ValueDecoder
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
    writer = KafkaTopicWriter(producer, f"{settings.kafka_namespace}.")
    broker = Broker(connection, producer, writer, readers, KafkaReach(connection))
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


def schema_decoder(settings: Settings) -> ValueDecoder | None:
    """None: there is no registry of schemas. Reaches nobody yet. Raises SetupError."""
    if settings.schema_registry_url is None:
        return None
    if not settings.schema_registry_url.startswith(("http://", "https://")):
        raise SetupError(
            "INTERPLAY_SCHEMA_REGISTRY_URL is no address of HTTP.",
            where="INTERPLAY_SCHEMA_REGISTRY_URL",
            advice="Such as https://registry.example:8081.",
        )
    user, password = settings.schema_registry_username, settings.schema_registry_password
    more = {}
    if user is not None:
        more["basic.auth.user.info"] = f"{user}:{password.get_secret_value() if password is not None else ''}"
    return RegistryDecoder(settings.schema_registry_url, more)


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
    made = _who(settings)
    if made:
        made["security.protocol"] = "sasl_ssl" if settings.kafka_security == "tls" else "sasl_plaintext"
    elif settings.kafka_security == "tls":
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
    token = msk_token(str(settings.kafka_aws_region)) if settings.kafka_sasl == "AWS_MSK_IAM" else None
    return KafkaConnection(settings.kafka_bootstrap, made, token)


def _who(settings: Settings) -> dict[str, str]:
    """How Interplay says who it is. Raises SetupError that names what is missing."""
    sasl = settings.kafka_sasl
    if sasl is None:
        return {}
    needed: dict[str, object] = {
        "INTERPLAY_KAFKA_USERNAME": settings.kafka_username,
        "INTERPLAY_KAFKA_PASSWORD": settings.kafka_password,
    }
    if sasl == "OAUTHBEARER":
        needed["INTERPLAY_KAFKA_OAUTH_URL"] = settings.kafka_oauth_url
    if sasl == "AWS_MSK_IAM":
        needed = {"INTERPLAY_KAFKA_AWS_REGION": settings.kafka_aws_region}
        if settings.kafka_security != "tls":
            raise SetupError(
                "Amazon MSK takes IAM over TLS only.", where="INTERPLAY_KAFKA_SECURITY", advice="Set it to tls."
            )
    for name, value in needed.items():
        if value is None:
            raise SetupError(f"INTERPLAY_KAFKA_SASL is {sasl}, and {name} is not set.", where=name)
    if sasl == "AWS_MSK_IAM":
        return {"sasl.mechanism": "OAUTHBEARER"}
    assert settings.kafka_password is not None
    user, password = str(settings.kafka_username), settings.kafka_password.get_secret_value()
    if sasl != "OAUTHBEARER":
        return {"sasl.mechanism": sasl, "sasl.username": user, "sasl.password": password}
    scope = {} if settings.kafka_oauth_scope is None else {"sasl.oauthbearer.scope": settings.kafka_oauth_scope}
    return {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": user,
        "sasl.oauthbearer.client.secret": password,
        "sasl.oauthbearer.token.endpoint.url": str(settings.kafka_oauth_url),
        **scope,
    }


_VARIABLES = {
    "ssl.ca.location": "INTERPLAY_KAFKA_CA",
    "ssl.certificate.location": "INTERPLAY_KAFKA_CERTIFICATE",
    "ssl.key.location": "INTERPLAY_KAFKA_CERTIFICATE_KEY",
}
