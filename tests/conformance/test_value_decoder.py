"""Values by schemas: Confluent's client against a registry that speaks its REST, and schemas in memory."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2

from interplay.adapters.memory.value_decoder import MemoryValueDecoder
from interplay.adapters.schema_registry.value_decoder import RegistryDecoder
from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.triggers.messages import Message
from interplay.ports.value_decoder import ValueDecoder
from tests.scripted_server import answer, listening, serving

REVIEW = {
    "type": "record", "name": "Review", "namespace": "shop",
    "fields": [{"name": "text", "type": "string"}, {"name": "stars", "type": ["null", "int"]}],
}  # fmt: skip
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "review", "type": "shop.Review"}]}


def message(value: bytes | None) -> Message:
    return Message("reviews", 0, 0, 0.0, None, value)


def framed(number: int, payload: bytes) -> bytes:
    return b"\x00" + struct.pack(">I", number) + payload


def avro(value: Any, schema: Any = REVIEW) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def proto_files() -> tuple[str, str]:
    """Two files in the registry's serialized form: `mood.proto`, and `review.proto` that imports it and a time."""
    mood = descriptor_pb2.FileDescriptorProto(name="mood.proto", package="shop", syntax="proto3")
    kind = mood.message_type.add(name="Mood")
    kind.field.add(name="label", number=1, type=9, label=1)
    review = descriptor_pb2.FileDescriptorProto(name="review.proto", package="shop", syntax="proto3")
    review.dependency.extend(["mood.proto", "google/protobuf/timestamp.proto"])
    outer = review.message_type.add(name="Review")
    outer.field.add(name="text", number=1, type=9, label=1)
    outer.field.add(name="star_count", number=2, type=5, label=1)
    outer.field.add(name="mood", number=3, type=11, label=1, type_name=".shop.Mood")
    outer.field.add(name="at", number=4, type=11, label=1, type_name=".google.protobuf.Timestamp")
    inner = outer.nested_type.add(name="Line")
    inner.field.add(name="n", number=1, type=5, label=1)
    return tuple(base64.b64encode(one.SerializeToString()).decode() for one in (mood, review))  # type: ignore[return-value]


class Registry:
    """Speaks the registry's REST for `schemas`, by number; `status`: what it answers instead. `asked`: its paths."""

    def __init__(self) -> None:
        mood, review = proto_files()
        subject = {"subject": "review", "version": 3}
        self.schemas: dict[str, Any] = {
            "/schemas/ids/1": {"schema": json.dumps(REVIEW)},
            "/schemas/ids/2": {
                "schema": json.dumps(ORDER), "references": [{"name": "shop.Review", **subject}],
            },
            "/subjects/review/versions/3": {**subject, "id": 1, "schema": json.dumps(REVIEW)},
            "/schemas/ids/3": {
                "schema": review, "schemaType": "PROTOBUF",
                "references": [{"name": "mood.proto", "subject": "mood", "version": 1}],
            },
            "/subjects/mood/versions/1": {
                "subject": "mood", "version": 1, "id": 9, "schema": mood, "schemaType": "PROTOBUF",
            },
            "/schemas/ids/4": {"schema": "{}"},
        }  # fmt: skip
        self.status: int | None = None
        self.asked: list[str] = []
        self.who: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        self.who = dict(scope["headers"]).get(b"authorization", b"").decode() or None
        found = self.schemas.get(scope["path"])
        status = self.status or (200 if found is not None else 404)
        body = found if status == 200 else {"error_code": 40403 if status == 404 else status * 100, "message": "no"}
        await answer(send, status, json.dumps(body).encode())


@pytest.fixture
def registry() -> Iterator[tuple[Registry, str]]:
    made = Registry()
    with listening() as listener, serving(made, listener):
        yield made, f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(params=["registry", "memory"])
def decoder(request: pytest.FixtureRequest) -> ValueDecoder:
    if request.param == "registry":
        return RegistryDecoder(request.getfixturevalue("registry")[1])
    memory = MemoryValueDecoder()

    def read(raw: bytes) -> Any:
        try:
            return fastavro.schemaless_reader(io.BytesIO(raw), fastavro.parse_schema(REVIEW), None)
        except (EOFError, IndexError) as short:
            raise ValueError("it is short") from short

    memory.schemas["avro", 1] = read
    return memory


class TestValueDecoder:
    async def test_a_value_says_what_its_schema_makes_of_it_and_stays_as_it_came(self, decoder: ValueDecoder) -> None:
        raw = framed(1, avro({"text": "söder", "stars": None}))
        (found,) = await decoder.decode("avro", [message(raw)])
        assert found.value == raw
        assert found.decoded is not None
        assert (found.decoded.value, found.decoded.problem) == ({"text": "söder", "stars": None}, None)

    async def test_what_cannot_be_read_is_told_of_that_message_alone(self, decoder: ValueDecoder) -> None:
        whole = framed(1, avro({"text": "a", "stars": 3}))
        bad = [b"{}", b"", b"\x01abcdefgh", framed(77, b"x"), whole[:6]]
        found = await decoder.decode("avro", [*map(message, bad), message(whole), message(None)])
        problems = [one.decoded.problem for one in found if one.decoded is not None]
        assert all(problems[:5])
        assert "no schema 77" in str(problems[3])
        assert "schema 1" in str(problems[4])
        assert problems[5:] == [None, None]


class TestRegistry:
    async def test_a_schema_is_asked_for_once(self, registry: tuple[Registry, str]) -> None:
        server, url = registry
        decoder = RegistryDecoder(url)
        raw = framed(1, avro({"text": "a", "stars": 1}))
        for _ in range(20):
            await decoder.decode("avro", [message(raw), message(framed(77, b""))])
        assert sorted(server.asked) == ["/schemas/ids/1", "/schemas/ids/77"]

    async def test_schemas_that_refer_to_others_are_put_together(self, registry: tuple[Registry, str]) -> None:
        named: dict[str, Any] = {}
        fastavro.parse_schema(REVIEW, named_schemas=named)
        out = io.BytesIO()
        parsed = fastavro.parse_schema(ORDER, named_schemas=named)
        fastavro.schemaless_writer(out, parsed, {"review": {"text": "a", "stars": 2}})
        (found,) = await RegistryDecoder(registry[1]).decode("avro", [message(framed(2, out.getvalue()))])
        assert found.decoded is not None
        assert found.decoded.value == {"review": {"text": "a", "stars": 2}}

    async def test_protobuf_is_read_by_the_message_that_it_names(self, registry: tuple[Registry, str]) -> None:
        mood = b"\x0a\x04glad"
        review = b"\x0a\x02hi\x10\x05" + b"\x1a" + bytes([len(mood)]) + mood + b"\x22\x02\x08\x01"
        first, nested = framed(3, b"\x00" + review), framed(3, b"\x04\x00\x00" + b"\x08\x07")
        beyond, broken = framed(3, b"\x02\x08" + review), framed(3, b"\x00" + review[:-1])
        found = await RegistryDecoder(registry[1]).decode("protobuf", [*map(message, (first, nested, beyond, broken))])
        values = [one.decoded.value if one.decoded is not None else None for one in found]
        assert values[0] == {"text": "hi", "star_count": 5, "mood": {"label": "glad"}, "at": "1970-01-01T00:00:01Z"}
        assert values[1] == {"n": 7}
        assert [bool(one.decoded and one.decoded.problem) for one in found] == [False, False, True, True]

    async def test_a_schema_of_another_form_or_that_is_none_is_told(self, registry: tuple[Registry, str]) -> None:
        found = await RegistryDecoder(registry[1]).decode("avro", [message(framed(3, b"x")), message(framed(4, b"x"))])
        problems = [one.decoded.problem for one in found if one.decoded is not None]
        assert "PROTOBUF" in str(problems[0])
        assert "schema 4 is none for avro" in str(problems[1])

    async def test_values_that_are_nested_very_deep_or_very_long_lists_of_nothing_end_nothing(
        self, registry: tuple[Registry, str]
    ) -> None:
        server, url = registry
        chain = {"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"]}]}
        empty = {"type": "record", "name": "Empty", "fields": []}
        lists = [{"type": "array", "items": "null"}, {"type": "array", "items": empty}]
        for number, schema in enumerate([chain, *lists], 20):
            server.schemas[f"/schemas/ids/{number}"] = {"schema": json.dumps(schema)}
        deep = framed(20, b"\x02" * 200_000 + b"\x00")
        shallow = framed(20, b"\x02" * 3 + b"\x00")
        long = [framed(number, b"\xfe\xff\xff\xff\x0f\x00") for number in (21, 22)]
        found = await RegistryDecoder(url).decode("avro", [*map(message, (deep, shallow, *long))])
        problems = [str(one.decoded and one.decoded.problem) for one in found]
        assert "RecursionError" in problems[0]
        assert problems[1] == "None"
        assert all("lists of what has no bytes" in problem for problem in problems[2:])

    async def test_one_that_is_away_or_refuses_is_told_and_nothing_is_believed(
        self, registry: tuple[Registry, str]
    ) -> None:
        server, url = registry
        decoder, raw = RegistryDecoder(url), framed(1, avro({"text": "a", "stars": 1}))
        server.status = 503
        with pytest.raises(Unavailable, match="schema registry"):
            await decoder.decode("avro", [message(raw)])
        server.status = 401
        with pytest.raises(InvalidInput, match="does not let"):
            await decoder.decode("avro", [message(raw)])
        server.status = None
        (found,) = await decoder.decode("avro", [message(raw)])
        assert found.decoded is not None
        assert found.decoded.problem is None
        with pytest.raises(Unavailable, match="does not answer"):
            await RegistryDecoder("http://127.0.0.1:1").decode("avro", [message(raw)])

    async def test_it_says_who_it_is(self, registry: tuple[Registry, str]) -> None:
        server, url = registry
        decoder = RegistryDecoder(url, {"basic.auth.user.info": "team:secret"})
        await decoder.decode("avro", [message(framed(1, avro({"text": "a", "stars": 1})))])
        assert server.who == "Basic " + base64.b64encode(b"team:secret").decode()
