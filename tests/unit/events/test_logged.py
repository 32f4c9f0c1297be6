"""What the log says of an event: its facts, and which of them are too large for it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.kafka.event_log import event_of, record_of
from interplay.core.errors import InvalidInput
from interplay.core.failures import Failure
from interplay.core.models.usage import Usage
from interplay.core.runs.events import (
    BODIES,
    BlobRef,
    Body,
    EventKind,
    RunFailed,
    RunSucceeded,
    StepProgressed,
    StepSucceeded,
    StepWaiting,
    encode_body,
    encode_value,
)
from interplay.core.runs.log import MOST_FACTS, LoggedEvent, LoggedRow, LoggedRun, logged_event

RUN = LoggedRun(UUID("0198c0de-0000-7000-8000-000000000001"), 4, "triage", "ab" * 32)
BLOB = BlobRef("b1", 100_000, "cd" * 32)


def logged(body: Body, output: Any = None) -> LoggedEvent:
    raw = encode_value(output) if output is not None else None
    return logged_event(RUN, LoggedRow(3, body.kind, "ask", 1, encode_body(body), 1795773600.25, raw))


class TestFacts:
    def test_they_are_what_the_event_says(self) -> None:
        event = logged(StepSucceeded({"a": [1, None]}, 5.0, 0.5, usage=Usage(3, 4, calls=1)))
        assert event.facts == {
            "output": {"a": [1, None]},
            "started_at": 5.0,
            "seconds": 0.5,
            "usage": {"input_tokens": 3, "output_tokens": 4, "calls": 1},
        }
        assert (event.identity, event.kind, event.left_out) == (f"{RUN.run_id}:3", EventKind.STEP_SUCCEEDED, ())

    def test_the_end_of_a_run_has_its_output(self) -> None:
        assert logged(RunSucceeded(1.5), {"label": "bug"}).facts == {"seconds": 1.5, "output": {"label": "bug"}}

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            (StepSucceeded(None, 1.0, 0.0, BLOB), "output"),
            (StepProgressed(1, None, blob=BLOB), "value"),
            (StepWaiting("approval", "ok", None, 1.0, None, BLOB), "detail"),
            (StepSucceeded("x" * (MOST_FACTS + 1), 1.0, 0.0), "output"),
        ],
    )
    def test_what_is_too_large_is_left_out_and_named(self, body: Body, name: str) -> None:
        event = logged(body)
        assert event.left_out == (name,)
        assert name not in event.facts
        assert "blob" not in event.facts

    @pytest.mark.parametrize("output", ["x" * (MOST_FACTS + 1), {"$blob": ["b1", 100_000, "cd" * 32]}])
    def test_so_is_the_output_of_a_run(self, output: Any) -> None:
        event = logged(RunSucceeded(1.5), output)
        assert (event.facts, event.left_out) == ({"seconds": 1.5}, ("output",))

    def test_whatever_it_says_a_record_is_bounded(self) -> None:
        event = logged(RunFailed(Failure("internal", "x" * 900_000)))
        assert event.left_out == ("failure",)
        assert len(record_of(event)) < 1000


class TestRecords:
    @pytest.mark.parametrize("kind", BODIES)
    def test_each_kind_comes_back_as_it_was_written(self, kind: EventKind) -> None:
        event = LoggedEvent(
            RUN.run_id, 9, kind, 1795773600.25, 4, "triage", "ab" * 32, "ask[2]", 2, {"ö": 1}, ("output",)
        )
        assert event_of(record_of(event)) == event

    def test_a_kind_of_a_later_release_is_passed_over(self) -> None:
        raw = record_of(logged(RunSucceeded(1.0))).replace(b"run.succeeded", b"run.dreamt")
        assert event_of(raw) is None

    @pytest.mark.parametrize("raw", [None, b"", b"{", b"\xff", b'{"specversion":"1.0"}'])
    def test_what_is_none_is_refused_in_words(self, raw: bytes | None) -> None:
        with pytest.raises(InvalidInput, match="no event of a run"):
            event_of(raw)

    @pytest.mark.parametrize("field", ["project", "seq", "attempt"])
    def test_so_are_numbers_that_no_ledger_holds(self, field: str) -> None:
        event = json.loads(record_of(logged(RunSucceeded(1.0))))
        event["data"][field] = 2**40
        with pytest.raises(InvalidInput, match="no event of a run"):
            event_of(json.dumps(event).encode())

    def test_so_is_one_without_a_bottom(self) -> None:
        raw = record_of(logged(RunSucceeded(1.0))).replace(
            b'"seconds":1.0', b'"seconds":' + b"[" * 100_000 + b"]" * 100_000
        )
        with pytest.raises(InvalidInput, match="no event of a run"):
            event_of(raw)

    def test_so_is_one_whose_run_is_no_id(self) -> None:
        raw = record_of(logged(RunSucceeded(1.0))).replace(b'"run":"0198', b'"run":"zzzz')
        with pytest.raises(InvalidInput, match="no event of a run"):
            event_of(raw)
