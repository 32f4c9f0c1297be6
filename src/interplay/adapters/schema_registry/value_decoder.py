"""`ValueDecoder` over a schema registry: Confluent's wire format (a zero, the schema's number, the value)."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from interplay.adapters.schema_registry.forms import Decode, NoSchema, Written, avro, protobuf
from interplay.core.errors import InvalidInput, SetupError, Unavailable
from interplay.core.triggers.messages import Decoded, Message

_FORMS: Final = {"avro": (avro, "AVRO", None), "protobuf": (protobuf, "PROTOBUF", "serialized")}
_MOST: Final = 1000  # schemas that are remembered
_ABSENT: Final = 30.0  # seconds that a schema is believed not to be there
_REFERENCES: Final = 100  # of one schema, with those of its own
_LONGEST_TURN: Final = 0.02  # seconds of one turn of the loop
_ANSWER: Final = 10.0  # seconds


class _Absent(str):
    """Why there is no such schema, and until when that is believed."""

    until: float


class RegistryDecoder:
    """`settings`: of Confluent's client beside the address."""

    def __init__(self, url: str, settings: Mapping[str, Any] | None = None) -> None:
        self._settings = {"url": url, "timeout": _ANSWER, "max.retries": 1, "retries.wait.ms": 200, **(settings or {})}
        self._client: Any = None
        self._known: OrderedDict[tuple[str, int], Decode | _Absent] = OrderedDict()

    async def decode(self, form: str, messages: Sequence[Message]) -> list[Message]:
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_TURN
        found = []
        for message in messages:
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + _LONGEST_TURN
            found.append(replace(message, decoded=await self._decoded(form, message.value)))
        return found

    async def _decoded(self, form: str, raw: bytes | None) -> Decoded:
        if raw is None:
            return Decoded()
        if len(raw) < 5 or raw[0] != 0:
            return Decoded(problem="its value does not begin as those with a schema in a registry do")
        (number,) = struct.unpack(">I", raw[1:5])
        decode = await self._schema(form, number)
        if isinstance(decode, _Absent):
            return Decoded(problem=str(decode))
        try:
            return Decoded(decode(raw[5:]))
        except Exception as wrong:  # noqa: BLE001 - the edge of a message: whatever is wrong with it stops no other
            return Decoded(problem=f"its value does not fit schema {number}: {type(wrong).__name__}: {wrong}")

    async def _schema(self, form: str, number: int) -> Decode | _Absent:
        known = self._known.get((form, number))
        if known is not None and not (isinstance(known, _Absent) and time.monotonic() > known.until):
            self._known.move_to_end((form, number))
            return known
        made = await self._asked(form, number)
        if isinstance(made, _Absent):
            made.until = time.monotonic() + _ABSENT
        self._known[form, number] = made
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return made

    async def _asked(self, form: str, number: int) -> Decode | _Absent:
        """Raises Unavailable, InvalidInput, SetupError."""
        make, kind, wanted = _FORMS[form]
        errors = _library()
        try:
            schema = await self._started().get_schema(number, fmt=wanted)
            if (schema.schema_type or "AVRO") != kind:
                return _Absent(f"schema {number} is one for {schema.schema_type}, and not for {form}")
            files = await self._files(schema.references or (), wanted)
            return make(Written(str(schema.schema_str), tuple(files.items())))
        except NoSchema as wrong:
            return _Absent(f"schema {number} is none for {form}: {wrong}")
        except errors.error.SchemaRegistryError as refused:
            if refused.http_status_code == 404:
                return _Absent(f"the registry has no schema {number}")
            if refused.http_status_code in (401, 403):
                raise InvalidInput(f"The schema registry does not let Interplay read: {refused}.") from None
            raise Unavailable(f"The schema registry does not answer: {refused}.", retry_after=5.0) from None
        except ImportError:
            raise _missing() from None
        except (OSError, _http_error()) as away:
            said = str(away) or type(away).__name__
            raise Unavailable(f"The schema registry does not answer: {said}.", retry_after=5.0) from None

    async def _files(self, references: Sequence[Any], wanted: str | None) -> dict[str, str]:
        """All that it refers to, in an order in which each comes after what it needs."""
        found: dict[str, str] = {}
        for reference in references:
            if reference.name in found:
                continue
            there = await self._started().get_version(reference.subject, reference.version, fmt=wanted)
            found |= await self._files(there.schema.references or (), wanted)
            found[str(reference.name)] = str(there.schema.schema_str)
            if len(found) > _REFERENCES:
                raise NoSchema(f"it refers to more than {_REFERENCES} others")
        return found

    def _started(self) -> Any:
        if self._client is None:
            self._client = _library().AsyncSchemaRegistryClient(dict(self._settings))
        return self._client


def _library() -> Any:
    try:
        from confluent_kafka import schema_registry
    except ImportError:
        raise _missing() from None
    return schema_registry


def _missing() -> SetupError:
    return SetupError(
        "To read values by the schemas of a registry, more is needed.",
        where="INTERPLAY_SCHEMA_REGISTRY_URL",
        advice="Install it with: pip install 'interplay[schema-registry]'.",
    )


def _http_error() -> type[Exception]:
    import httpx2

    return httpx2.HTTPError
