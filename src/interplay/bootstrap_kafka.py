"""The part of the composition that speaks to a Kafka, where one is set up."""

from __future__ import annotations

from dataclasses import dataclass

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.reach import KafkaReach
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.kafka.topic_writer import KafkaTopicWriter
from interplay.adapters.memory.topic_writer import NoTopicWriter
from interplay.core.errors import SetupError
from interplay.ports.topic_reader import TopicReader
from interplay.ports.topic_writer import TopicWriter
from interplay.settings import Settings


@dataclass(slots=True)
class Broker:
    """`connection` and `readers` None: there is none, and what would write to a topic says so."""

    connection: KafkaConnection | None
    producer: KafkaProducer | None
    writer: TopicWriter
    readers: TopicReader | None
    reach: KafkaReach | None = None

    async def close(self) -> None:
        if self.reach is not None:
            self.reach.close()
        if self.producer is not None:
            await self.producer.close()


def make_broker(settings: Settings) -> Broker:
    """Reaches nobody yet. Raises SetupError where settings do not fit together."""
    connection = kafka_connection(settings)
    if connection is None:
        return Broker(None, None, NoTopicWriter(), None)
    producer = KafkaProducer(connection)
    readers = KafkaTopicReader(connection, settings.kafka_session_seconds)
    return Broker(connection, producer, KafkaTopicWriter(producer), readers, KafkaReach(connection))


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
