"""A broker that wants TLS and a user: the settings for both, and what is said when they are wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.bootstrap_kafka import kafka_connection
from interplay.core.errors import SetupError, Unavailable
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicRecord
from interplay.settings import load_settings
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker, free_port

PASSWORD = "pass-word"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, its own authority, with its key in one PEM file beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "ca.pem").read_bytes())
    return folder / "ca.pem"


class SecuredBroker(KafkaBroker):
    """`secured`: the address for others."""

    secured: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[SecuredBroker]:
    """A broker with a plain listener for itself, and one for the rest by TLS and SASL."""
    broker = SecuredBroker(tmp_path_factory.mktemp("kafka"))
    port = free_port()
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    broker.secured = f"127.0.0.1:{port}"
    broker.settings |= {
        "listeners": f"PLAINTEXT://{broker.bootstrap},CONTROLLER://{broker.controller},SECURED://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://{broker.bootstrap},SECURED://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": f'{login} required user_team="{PASSWORD}";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate.with_name("both.pem")),
    }
    broker.start()
    yield broker
    broker.stop()


async def write(broker: SecuredBroker, **settings: object) -> None:
    connection = kafka_connection(load_settings(kafka_bootstrap=broker.secured, **settings))
    assert connection is not None
    producer = KafkaProducer(connection, patience=4.0)
    try:
        await producer.send(TopicRecord(fresh_topic(broker), b"x"))
    finally:
        await producer.close()


class TestSecured:
    async def test_tls_and_a_user_let_in(self, guarded: SecuredBroker, certificate: Path) -> None:
        await write(
            guarded,
            kafka_security="tls",
            kafka_ca=certificate,
            kafka_sasl="PLAIN",
            kafka_username="team",
            kafka_password=PASSWORD,
        )

    @pytest.mark.parametrize(
        "wrong",
        [{"kafka_password": "no"}, {"kafka_ca": None}, {"kafka_security": "plaintext"}, {"kafka_sasl": None}],
        ids=["password", "authority", "protocol", "nobody"],
    )
    async def test_anything_else_does_not(
        self, guarded: SecuredBroker, certificate: Path, wrong: dict[str, object]
    ) -> None:
        right = {"kafka_security": "tls", "kafka_ca": certificate, "kafka_sasl": "PLAIN"}
        with pytest.raises(StepFailure) as refused:
            await write(guarded, **{**right, "kafka_username": "team", "kafka_password": PASSWORD, **wrong})
        assert refused.value.failure.code in ("unavailable", "unauthorized")
        assert PASSWORD not in str(refused.value)


class TestSettings:
    def test_a_user_without_a_password_is_told(self) -> None:
        with pytest.raises(SetupError) as wrong:
            kafka_connection(load_settings(kafka_bootstrap="a:1", kafka_sasl="PLAIN", kafka_username="team"))
        assert wrong.value.where == "INTERPLAY_KAFKA_PASSWORD"

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SetupError) as wrong:
            kafka_connection(load_settings(kafka_bootstrap="a:1", kafka_security="tls", kafka_ca=tmp_path / "none"))
        assert wrong.value.where == "INTERPLAY_KAFKA_CA"

    async def test_a_file_that_is_none_is_told_when_it_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing of that kind")
        connection = kafka_connection(
            load_settings(kafka_bootstrap="127.0.0.1:1", kafka_security="tls", kafka_ca=tmp_path / "ca.pem")
        )
        assert connection is not None
        with pytest.raises(Unavailable, match="settings of the broker do not work"):
            await KafkaTopicReader(connection).lag("group", "topic")
        with pytest.raises(StepFailure, match="settings of the broker do not work"):
            await KafkaProducer(connection).send(TopicRecord("topic", b"x"))

    def test_no_password_is_shown(self) -> None:
        connection = kafka_connection(
            load_settings(kafka_bootstrap="a:1", kafka_sasl="PLAIN", kafka_username="team", kafka_password=PASSWORD)
        )
        assert PASSWORD not in repr(connection)
