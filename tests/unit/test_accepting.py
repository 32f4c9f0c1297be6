"""What is kept as a connection or a model, and what of it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.core.errors import InvalidInput
from interplay.core.models.accepting import HIDDEN, connection_problem, is_credential, reference, shown
from interplay.core.models.registry import Connection
from interplay.use_cases.register_models import RegisterModels, read_registry

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"api_key": "sk-live"}, "api_key"),
    ({"api_key": "Bearer secret://k"}, "api_key"),
    ({"api_key": "secret://"}, "api_key"),
    ({"api_key": "secret://k and sk-live"}, "api_key"),
    ({"headers": {"Authorization": "Bearer sk-live"}}, "headers.Authorization"),
    ({"headers": {"x-api-key": "sk-live"}}, "headers.x-api-key"),
    ({"headers": {"Cookie": "s=1"}}, "headers.Cookie"),
    ({"kind": "bedrock", "options": {"secret_access_key": "plain"}}, "options.secret_access_key"),
    ({"base_url": "ftp://x"}, "base_url"),
    ({"base_url": "file:///etc/passwd"}, "base_url"),
    ({"base_url": "x"}, "base_url"),
    ({"base_url": "http://"}, "base_url"),
    ({"base_url": "http://x:99999"}, "base_url"),
    ({"base_url": "http://u:p@x"}, "base_url"),
    ({"base_url": "http://x\0"}, "base_url"),
]
FINE: list[dict[str, Any]] = [
    {"base_url": "http://x/v1", "api_key": "secret://my-key"},
    {"base_url": "http://[::1]:8000/v1?version=1"},
    {"base_url": "https://x:8443", "headers": {"Authorization": "Bearer secret://k", "OpenAI-Organization": "o"}},
    {"kind": "bedrock", "options": {"region": "eu", "access_key_id": "AKIA", "secret_access_key": "secret://k"}},
    {},
]


class TestConnections:
    @pytest.mark.parametrize(("body", "field"), REFUSED)
    async def test_what_would_show_a_credential_or_cannot_be_called_is_refused(
        self, body: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            await RegisterModels(MemoryModelRegistry()).put_connection(1, {"name": "c", **body})
        assert refused.value.where == field
        assert "Expected" in str(refused.value)
        assert "sk-live" not in str(refused.value)

    @pytest.mark.parametrize("body", FINE)
    async def test_references_are_taken(self, body: dict[str, Any]) -> None:
        assert await RegisterModels(MemoryModelRegistry()).put_connection(1, {"name": "c", **body})

    def test_a_file_is_held_to_the_same(self) -> None:
        with pytest.raises(InvalidInput, match="credential") as refused:
            read_registry("connections:\n  c: {base_url: 'http://x', api_key: sk-live}\n")
        assert refused.value.where == "connections.c.api_key"

    def test_a_name_has_a_length(self) -> None:
        assert connection_problem(Connection("c" * 201)) is not None
        assert connection_problem(Connection("c" * 200)) is None

    def test_what_an_earlier_release_kept_is_never_shown(self) -> None:
        old = Connection("c", base_url="http://x", api_key="sk-live", headers={"X-Token": "t", "X-Region": "eu"})
        seen = shown(old)
        assert (seen.api_key, seen.headers) == (HIDDEN, {"X-Token": HIDDEN, "X-Region": "eu"})
        assert shown(Connection("c", api_key="secret://k")).api_key == "secret://k"

    def test_a_secret_may_stand_after_its_scheme(self) -> None:
        assert reference("Bearer secret://my-key") == ("Bearer ", "my-key")
        assert reference("secret://k") == ("", "k")
        assert reference("Bearer x") is None
        assert not is_credential("max_tokens")


class TestModels:
    async def test_one_without_deployments_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="needs a deployment"):
            await RegisterModels(MemoryModelRegistry()).put_model(1, {"name": "m", "task": "chat", "deployments": []})
