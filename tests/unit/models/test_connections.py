"""What a connection may be, and what is said of one that is none."""

from __future__ import annotations

import typing

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.models.connection_kinds import KINDS, Kind
from interplay.core.models.registry import Connection
from interplay.core.models.requests import ChatRequest
from interplay.use_cases.register_models import read_registry

FILE = """\
connections:
  claude: {kind: anthropic, api_key: "secret://anthropic"}
  aws: {kind: bedrock, options: {region: eu-central-1, machine_credentials: true}}
"""


class TestKinds:
    def test_a_file_may_name_them_with_their_options(self) -> None:
        found = read_registry(FILE).connections
        assert found["claude"] == Connection("claude", "anthropic", api_key="secret://anthropic")
        assert found["aws"].options == {"region": "eu-central-1", "machine_credentials": True}

    def test_an_unknown_one_is_met_with_the_nearest(self) -> None:
        with pytest.raises(InvalidInput, match="Did you mean 'anthropic'"):
            read_registry("connections: {c: {kind: antropic}}")

    def test_an_unknown_option_is_met_with_those_that_there_are(self) -> None:
        with pytest.raises(InvalidInput, match="'regio' is no option of a connection of kind bedrock"):
            read_registry("connections: {c: {kind: bedrock, options: {regio: a}}}")
        with pytest.raises(InvalidInput, match="'x' is no option of a connection of kind groq"):
            read_registry("connections: {c: {kind: groq, options: {x: a}}}")

    def test_each_is_described(self) -> None:
        assert set(typing.get_args(Kind)) == set(KINDS)

    def test_what_they_lack_are_fields_of_requests(self) -> None:
        fields = set(ChatRequest.__struct_fields__)
        assert all(kind.lacks <= fields for kind in KINDS.values())
