"""A broker that wants tokens: they are fetched, made anew before they end, and what is wrong with them is told."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.msk import msk_token
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_admin import KafkaTopicAdmin
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.bootstrap_kafka import kafka_connection
from interplay.core.errors import SetupError
from interplay.core.failures import StepFailure
from interplay.ports.topic_reader import StartAt
from interplay.ports.topic_writer import TopicRecord
from interplay.settings import load_settings
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker, free_port

pytestmark = pytest.mark.timeout(120)
SECONDS = 4.0  # that a token counts
SASL = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER"}


def jwt(seconds: float = SECONDS) -> tuple[str, float]:
    """A token without a signature, which Kafka's own validator for development takes."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": "interplay", "iat": now, "exp": now + seconds})
    made = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{made[0]}.{made[1]}.", now + seconds


class TokenBroker(KafkaBroker):
    tokened: str


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenBroker]:
    """It asks again on a connection whose token has ended."""
    made = TokenBroker(tmp_path_factory.mktemp("kafka"))
    port = free_port()
    made.tokened = f"127.0.0.1:{port}"
    login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
    made.settings |= {
        "listeners": f"PLAINTEXT://{made.bootstrap},CONTROLLER://{made.controller},TOKENED://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://{made.bootstrap},TOKENED://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TOKENED:SASL_PLAINTEXT",
        "listener.name.tokened.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.tokened.oauthbearer.sasl.jaas.config": f'{login} required unsecuredLoginStringClaim_sub="b";',
        "listener.name.tokened.oauthbearer.connections.max.reauth.ms": "3600000",
    }
    made.start()
    yield made
    made.stop()


async def goes_on(connection: KafkaConnection, broker: KafkaBroker, seconds: float) -> None:
    """Writes and reads over the same clients for so long."""
    topic, producer = fresh_topic(broker), KafkaProducer(connection, patience=15.0)
    loop = asyncio.get_running_loop()
    until, sent, read = loop.time() + seconds, 0, 0
    try:
        assert await KafkaTopicAdmin(connection).describe([topic])
        async with KafkaTopicReader(connection).join("tokens", topic, StartAt("earliest")) as member:
            while loop.time() < until or read < sent:
                if loop.time() < until:
                    await producer.send(TopicRecord(topic, b"%d" % sent))
                    sent += 1
                found = await member.batch(100, 0.5)
                read += len(found)
                if found:
                    await member.commit(found)
        assert (await KafkaTopicReader(connection).lag("tokens", topic)) == {0: 0}
    finally:
        await producer.close()


class TestTokens:
    async def test_one_is_made_anew_before_it_ends_and_connections_go_on(self, broker: TokenBroker) -> None:
        asked: list[float] = []

        def token() -> tuple[str, float]:
            asked.append(time.monotonic())
            return jwt()

        await goes_on(KafkaConnection(broker.tokened, SASL, token), broker, 3 * SECONDS)
        assert len(asked) > 6, "admin, writer and reader have one each at least, the last two more than one"

    async def test_one_that_the_broker_does_not_take_is_told(self, broker: TokenBroker) -> None:
        producer = KafkaProducer(KafkaConnection(broker.tokened, SASL, lambda: ("no.token.", time.time() + 60)), 4.0)
        with pytest.raises(StepFailure) as refused:
            await producer.send(TopicRecord(fresh_topic(broker), b"x"))
        assert refused.value.failure.code in ("unavailable", "unauthorized")
        await producer.close()

    async def test_who_cannot_make_one_is_told_why(self, broker: TokenBroker, caplog: pytest.LogCaptureFixture) -> None:
        def none() -> tuple[str, float]:
            raise RuntimeError("there are no credentials")

        producer = KafkaProducer(KafkaConnection(broker.tokened, SASL, none), 4.0)
        with pytest.raises(StepFailure) as refused:
            await producer.send(TopicRecord(fresh_topic(broker), b"x"))
        assert refused.value.failure.code == "unavailable"
        assert "there are no credentials" in caplog.text
        await producer.close()


class TokenServer(ThreadingHTTPServer):
    """The token endpoint of an OpenID provider, as far as a client's credentials go."""

    asked: list[dict[str, Any]]


class _Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        who = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        assert isinstance(self.server, TokenServer)
        self.server.asked.append({"who": who, **{name: values[0] for name, values in form.items()}})
        right = who == "platform:secret-1"
        body = {"access_token": jwt()[0], "token_type": "Bearer", "expires_in": SECONDS} if right else {"error": "no"}
        raw = json.dumps(body).encode()
        self.send_response(200 if right else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def provider() -> Iterator[TokenServer]:
    server = TokenServer(("127.0.0.1", 0), _Endpoint)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def by_credentials(broker: TokenBroker, provider: TokenServer, **more: Any) -> KafkaConnection:
    settings = {
        "kafka_bootstrap": broker.tokened, "kafka_sasl": "OAUTHBEARER", "kafka_username": "platform",
        "kafka_password": "secret-1", "kafka_oauth_url": f"http://127.0.0.1:{provider.server_port}/token",
    }  # fmt: skip
    connection = kafka_connection(load_settings(**{**settings, **more}))
    assert connection is not None
    return connection


class TestClientCredentials:
    async def test_tokens_are_fetched_and_fetched_again(self, broker: TokenBroker, provider: TokenServer) -> None:
        await goes_on(by_credentials(broker, provider, kafka_oauth_scope="streams"), broker, 2 * SECONDS)
        assert provider.asked[0] == {"who": "platform:secret-1", "grant_type": "client_credentials", "scope": "streams"}
        assert len(provider.asked) > 5

    async def test_a_wrong_secret_is_told_and_not_shown(self, broker: TokenBroker, provider: TokenServer) -> None:
        connection = by_credentials(broker, provider, kafka_password="secret-2")
        producer = KafkaProducer(connection, 4.0)
        with pytest.raises(StepFailure) as refused:
            await producer.send(TopicRecord(fresh_topic(broker), b"x"))
        assert refused.value.failure.code == "unavailable"
        assert "secret-2" not in str(refused.value) + repr(connection)
        await producer.close()


class TestMsk:
    def test_a_token_is_a_signed_address_of_the_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        token, until = msk_token("eu-central-1")()
        assert 600 < until - time.time() <= 900
        url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert (url.scheme, url.hostname) == ("https", "kafka.eu-central-1.amazonaws.com")
        assert asked["Action"] == "kafka-cluster:Connect"
        assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert asked["X-Amz-Credential"].startswith("AKIDEXAMPLE/")
        assert len(asked["X-Amz-Signature"]) == 64

    def test_it_is_wired_as_oauthbearer_over_tls(self) -> None:
        settings = {"kafka_bootstrap": "a:1", "kafka_sasl": "AWS_MSK_IAM", "kafka_aws_region": "eu-central-1"}
        connection = kafka_connection(load_settings(**settings, kafka_security="tls"))
        assert connection is not None
        assert connection.token is not None
        expected = {"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}
        assert dict(connection.settings) == expected


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "where"),
        [
            ({"kafka_sasl": "AWS_MSK_IAM", "kafka_security": "tls"}, "INTERPLAY_KAFKA_AWS_REGION"),
            ({"kafka_sasl": "AWS_MSK_IAM", "kafka_aws_region": "eu-central-1"}, "INTERPLAY_KAFKA_SECURITY"),
            (
                {"kafka_sasl": "OAUTHBEARER", "kafka_username": "a", "kafka_password": "b"},
                "INTERPLAY_KAFKA_OAUTH_URL",
            ),
            ({"kafka_sasl": "OAUTHBEARER", "kafka_oauth_url": "https://a/token"}, "INTERPLAY_KAFKA_USERNAME"),
        ],
    )
    def test_what_is_missing_is_named(self, settings: dict[str, Any], where: str) -> None:
        with pytest.raises(SetupError) as wrong:
            kafka_connection(load_settings(kafka_bootstrap="a:1", **settings))
        assert wrong.value.where == where
