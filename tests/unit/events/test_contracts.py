"""Version 1 of what stands on the topics: old messages stay readable, and readers pass over what they do not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from interplay.contracts.events import v1

KEPT = sorted(Path(__file__).parent.joinpath("v1").glob("*.json"))
DECODE = {"run": v1.decode_run, "usage": v1.decode_usage}
TYPES = {"run": v1.RunEvent, "usage": v1.UsageEvent}


def decoder(path: Path) -> Any:
    return DECODE[path.name.split("-")[0]]


class TestKeptMessages:
    """Each of these was written by a release; they are never changed, only added to."""

    def test_there_are_some_of_each(self) -> None:
        assert {path.name.split("-")[0] for path in KEPT} == set(DECODE)

    @pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
    def test_it_is_read_as_it_was_meant(self, path: Path) -> None:
        read = msgspec.to_builtins(decoder(path)(path.read_bytes()))
        written = json.loads(path.read_text())
        data = written.pop("data")
        assert {name: read["data"][name] for name in data} == data
        assert {name: read[name] for name in written} == written

    @pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
    def test_fields_of_a_later_release_change_nothing(self, path: Path) -> None:
        later = json.loads(path.read_text())
        later["extension"], later["data"]["unheard_of"] = {"a": 1}, [1]
        assert decoder(path)(json.dumps(later).encode()) == decoder(path)(path.read_bytes())

    @pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
    def test_it_fits_the_published_schema(self, path: Path) -> None:
        schema = msgspec.json.schema(TYPES[path.name.split("-")[0]])
        jsonschema.validate(json.loads(path.read_text()), schema)


class TestReading:
    @pytest.mark.parametrize("raw", [b"", b"no json", b"{}", b'{"specversion":"0.3"}', b"[1]", b"\xff\xfe"])
    def test_what_is_no_event_is_refused(self, raw: bytes) -> None:
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            v1.decode_run(raw)
