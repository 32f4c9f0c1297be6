"""Avro and Protobuf into plain values, by a schema with all that it refers to."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A schema as the registry has it. `files`: those that it refers to, each after what it refers to itself."""

    text: str
    files: tuple[tuple[str, str], ...] = ()


class NoSchema(Exception):
    """In words: it is no schema of that form."""


def avro(written: Written) -> Decode:
    """Raises NoSchema. Bytes become base64, times their ISO form, decimals text."""
    import fastavro
    from fastavro import _read_py

    named: dict[str, Any] = {}
    try:
        for _, text in written.files:
            fastavro.parse_schema(msgspec.json.decode(text), named_schemas=named)
        parsed = fastavro.parse_schema(msgspec.json.decode(written.text), named_schemas=named)
        walk = _Walk(named)
        walk.look(parsed)
    except NoSchema:
        raise
    except Exception as wrong:  # noqa: BLE001 - the edge of a schema: whatever is wrong with it
        raise NoSchema(f"{type(wrong).__name__}: {wrong}") from None
    # The compiled reader ends the process where a value is nested very deep; the other one says so.
    read = _read_py.schemaless_reader if walk.holds_itself else fastavro.schemaless_reader

    def decode(raw: bytes) -> Any:
        rest = io.BytesIO(raw)
        found = read(rest, parsed, None)
        if rest.read(1):
            raise ValueError("there is more than its schema says")
        return msgspec.to_builtins(found)

    return decode


class _Walk:
    """Through an Avro schema: whether it holds itself. Raises NoSchema for lists of what has no bytes: a value of ten
    bytes would be a list of any length."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named
        self._open: list[str] = []
        self._known: dict[str, bool] = {}
        self.holds_itself = False

    def look(self, schema: Any) -> bool:
        """Whether its values may have no bytes."""
        if isinstance(schema, list):
            for one in schema:
                self.look(one)
            return False  # a union says which of them it is
        if isinstance(schema, str):
            return self._name(schema) if schema in self._named else schema == "null"
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._name(str(schema["name"]), schema)
        if kind == "fixed":
            return int(schema["size"]) == 0
        if kind == "array" and self.look(schema["items"]):
            raise NoSchema("it has lists of what has no bytes")
        if kind == "map":
            self.look(schema["values"])
        return self.look(kind) if isinstance(kind, dict | list) else kind == "null"

    def _name(self, name: str, schema: Any = None) -> bool:
        if name in self._open:
            self.holds_itself = True
            return False
        if name in self._known:
            return self._known[name]
        schema = schema if schema is not None else self._named[name]
        if schema["type"] not in ("record", "error"):
            return schema["type"] == "fixed" and int(schema["size"]) == 0
        self._open.append(name)
        empty = [self.look(one["type"]) for one in schema["fields"]]
        self._open.pop()
        self._known[name] = all(empty)
        return self._known[name]


def protobuf(written: Written) -> Decode:
    """Raises NoSchema. As Protobuf's own JSON has it, with the names of the schema; whole numbers of 64 bits are text.

    Schemas are the registry's serialized form: a FileDescriptorProto in base64.
    """
    import base64

    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

    pool = descriptor_pool.DescriptorPool()
    try:
        _add_known(pool)
        for name, text in (*written.files, ("", written.text)):
            read = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
            read.name = name or read.name or "schema.proto"
            pool.Add(read)
            file = pool.FindFileByName(read.name)
        order = [one.name for one in read.message_type]
    except Exception as wrong:  # noqa: BLE001 - the edge of a schema: whatever is wrong with it
        raise NoSchema(f"{type(wrong).__name__}: {wrong}") from None

    def decode(raw: bytes) -> Any:
        path, start = _indexes(raw)
        kind = file.message_types_by_name[order[path[0]]]
        for place in path[1:]:
            kind = kind.nested_types[place]
        found = message_factory.GetMessageClass(kind).FromString(raw[start:])
        return json_format.MessageToDict(found, preserving_proto_field_name=True)

    return decode


def _add_known(pool: Any) -> None:
    """Google's own types, which schemas import without the registry knowing them."""
    from google.protobuf import (
        any_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    for module in (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        known = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(known)
        pool.Add(known)


def _indexes(raw: bytes) -> tuple[list[int], int]:
    """Which message of the schema it is: a list of numbers in zigzag, its length first; 0 alone is the first."""
    count, start = _number(raw, 0)
    if count == 0:
        return [0], start
    if not 0 < count <= 32:
        raise ValueError("it names no message of its schema")
    found = []
    for _ in range(count):
        place, start = _number(raw, start)
        found.append(place)
    return found, start


def _number(raw: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    while start < len(raw) and shift < 35:
        byte = raw[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), start
        shift += 7
    raise ValueError("it ends in the middle of its beginning")
