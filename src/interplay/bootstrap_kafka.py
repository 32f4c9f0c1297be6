"""The part of the composition that speaks to a Kafka, where one is set up."""

from __future__ import annotations

from dataclasses import dataclass

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.msk import msk_token
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_admin import KafkaTopicAdmin
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.kafka.topic_writer import KafkaTopicWriter
from interplay.adapters.memory.topic_writer import NoTopicWriter
from interplay.adapters.schema_registry.value_decoder import RegistryDecoder
from interplay.core.errors import SetupError
from interplay.ports.topic_reader import TopicReader
from interplay.ports.topic_writer import TopicWriter
from interplay.ports.value_decoder import ValueDecoder
from interplay.settings import Settings
from interplay.use_cases.make_topics import MakeTopics


@dataclass(slots=True)
class Broker:
    """`connection` and `readers` None: there is none, and what would write to a topic says so."""

    connection: KafkaConnection | None
    producer: KafkaProducer | None
    writer: TopicWriter
    readers: TopicReader | None

    async def close(self) -> None:
        if self.producer is not None:
            await self.producer.close()


def make_broker(settings: Settings) -> Broker:
    """Reaches nobody yet. Raises SetupError where settings do not fit together."""
    connection = kafka_connection(settings)
    if connection is None:
        return Broker(None, None, NoTopicWriter(), None)
    producer = KafkaProducer(connection)
    return Broker(
        connection, producer, KafkaTopicWriter(producer), KafkaTopicReader(connection, settings.kafka_session_seconds)
    )


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
    return MakeTopics(KafkaTopicAdmin(connection), settings.kafka_replication) if connection is not None else None


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
