"""Streams on their way through: however their bytes are cut, the same events come out."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.models.sse import EventScanner
from interplay.core.models.stream_scan import MOST_BYTES, StreamScan, data_of, events_of
from interplay.core.models.usage import Usage


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
WORDS = [chunk({"content": word}) for word in ("one", " two", " drei €")]
STOP = chunk({}, "stop")
COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = [ROLE, *WORDS, STOP, COUNTED, DONE]


def fed(scan: StreamScan, *parts: bytes) -> list[bytes]:
    return [scan.feed(part) for part in parts]


class TestAWholeStream:
    def test_passes_as_it_came(self) -> None:
        scan = StreamScan()
        assert b"".join(fed(scan, *WHOLE)) == b"".join(WHOLE)
        assert (scan.whole, scan.done, scan.finish) == (True, True, "stop")
        assert scan.usage == Usage(7, 5, 0, 1)
        assert scan.characters == len("one two drei €")

    def test_what_comes_before_the_first_content_waits_for_it(self) -> None:
        scan = StreamScan()
        assert fed(scan, ROLE, WORDS[0]) == [b"", ROLE + WORDS[0]]

    def test_the_event_that_counts_is_kept_from_who_did_not_ask(self) -> None:
        scan = StreamScan(keep_usage=False)
        assert COUNTED not in b"".join(fed(scan, *WHOLE))
        assert scan.usage == Usage(7, 5, 0, 1)

    def test_a_reason_to_end_is_an_end_without_done(self) -> None:
        scan = StreamScan()
        fed(scan, WORDS[0], STOP)
        assert scan.whole
        assert not scan.done

    def test_without_content_it_is_held_to_its_end(self) -> None:
        scan = StreamScan()
        assert fed(scan, ROLE, DONE) == [b"", b""]
        assert scan.whole
        assert scan.held() == ROLE + DONE

    @pytest.mark.parametrize(
        "delta",
        [
            {"tool_calls": [{"index": 0}]},
            {"refusal": "no"},
            {"reasoning_content": "hm"},
            {"audio": {"id": 1}},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        ],
    )
    def test_not_only_text_is_content(self, delta: dict[str, Any]) -> None:
        scan = StreamScan()
        assert scan.feed(chunk(delta))
        assert scan.began

    @pytest.mark.parametrize(
        "delta",
        [{"tool_calls": []}, {"content": "", "refusal": ""}, {"function_call": {}, "audio": {}}, {"content": []}],
    )
    def test_but_nothing_at_all_is_none(self, delta: dict[str, Any]) -> None:
        scan = StreamScan()
        empty, end = chunk(delta), chunk(delta, "stop")
        assert fed(scan, empty, end) == [b"", b""], "nor is it an answer's end"
        assert (scan.began, scan.whole, scan.characters) == (False, True, 0)
        assert scan.held() == empty + end

    def test_nothing_follows_done(self) -> None:
        scan = StreamScan()
        assert scan.feed(WORDS[0] + DONE + WORDS[1]) == WORDS[0] + DONE
        assert scan.feed(WORDS[1]) == b""


class TestABrokenStream:
    @pytest.mark.parametrize("broken", [b"data: {not json\n\n", b'data: {"choices": 3}\n\n', b'data: "x"\n\n'])
    def test_an_event_that_is_none_breaks_it(self, broken: bytes) -> None:
        scan = StreamScan()
        assert scan.feed(WORDS[0] + broken + WORDS[1]) == WORDS[0]
        assert scan.broken is not None
        assert not scan.whole

    def test_an_error_in_it_is_said(self) -> None:
        scan = StreamScan()
        scan.feed(b'data: {"error":{"message":"overloaded"}}\n\n')
        assert scan.broken == "it says: overloaded"

    def test_one_that_just_ends_is_not_whole(self) -> None:
        scan = StreamScan()
        fed(scan, ROLE, *WORDS)
        assert not scan.whole

    def test_one_of_several_answers_that_breaks_off_makes_it_no_whole(self) -> None:
        def of(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": index, "delta": delta, "finish_reason": finish}
            return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

        scan = StreamScan()
        fed(scan, of(0, {"content": "a"}), of(1, {"content": "b"}), of(0, {}, "stop"))
        assert not scan.whole
        fed(scan, of(1, {}, "stop"))
        assert scan.whole

    def test_an_event_without_an_end_is_given_up(self) -> None:
        scan = StreamScan()
        part = b"data: " + b"x" * (MOST_BYTES // 4)
        for _ in range(5):
            scan.feed(part)
        assert scan.broken is not None

    def test_comments_without_end_before_the_content_are_given_up(self) -> None:
        scan = StreamScan()
        part = b": " + b"x" * (MOST_BYTES // 4) + b"\n\n"
        for _ in range(5):
            scan.feed(part)
        assert scan.broken is not None


class TestLines:
    """The standard lets a line end with LF, CRLF or CR."""

    @pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
    def test_may_end_in_three_ways(self, end: bytes) -> None:
        stream = [event.replace(b"\n", end) for event in WHOLE]
        scan = StreamScan()
        assert fed(scan, *stream) == [b"", stream[0] + stream[1], *stream[2:]], "an event waits for nothing behind it"
        assert (scan.whole, scan.done, scan.finish) == (True, True, "stop")
        assert (scan.usage, scan.characters) == (Usage(7, 5, 0, 1), len("one two drei €"))

    def test_may_end_in_each_of_them_in_one_stream(self) -> None:
        mixed = b"".join(
            event.replace(b"\n\n", ends)
            for event, ends in zip(
                WHOLE, (b"\r\r", b"\n\r", b"\r\n\n", b"\r\r\n", b"\n\r\n", b"\r\n\r", b"\n\n"), strict=True
            )
        )
        scan = StreamScan()
        assert scan.feed(mixed) == mixed
        assert (scan.done, scan.characters) == (True, len("one two drei €"))

    def test_of_one_event_are_put_together(self) -> None:
        scan = StreamScan()
        assert scan.feed(b'event: chunk\rdata: {"choices":[\rdata: {"delta":{"content":"hi"}}]}\r\r')
        assert scan.characters == 2

    def test_an_event_does_not_wait_for_a_line_feed_which_passes_when_it_comes(self) -> None:
        first, second, done = (event.replace(b"\n", b"\r\n") for event in (WORDS[0], WORDS[1], DONE))
        scan = StreamScan()
        assert fed(scan, first[:-1], b"\n" + second, done[:-1]) == [first[:-1], b"\n" + second, done[:-1]]
        assert scan.done
        assert fed(scan, b"\n", b"\n") == [b"\n", b""]

    @pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
    def test_are_taken_apart_for_who_translates(self, end: bytes) -> None:
        events = events_of(b"".join(WHOLE).replace(b"\n", end))
        assert [data_of(event) for event in events] == [event[6:-2] for event in WHOLE]


PIECES = st.sampled_from(
    [*WHOLE, b": ping\n\n", b"event: x\ndata: {}\n\n", b"data:{}\n\n", b"id: 4\n\n", b"data: {\ndata: }\n\n", b"\n\n"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def ended(data: bytes, ends: list[bytes]) -> bytes:
    """Its lines end as `ends` says, again and again; but an LF right behind a CR would end nothing."""
    said, them = b"", itertools.cycle(ends)
    for line in data.splitlines():
        end = next(them)
        said += line + (b"\r" if end == b"\n" and not line and said.endswith(b"\r") else end)
    return said


def read(data: bytes) -> list[bytes]:
    return [said for event in events_of(data) if (said := data_of(event)) is not None]


class TestCuts:
    @given(
        st.lists(PIECES, max_size=12),
        st.lists(st.integers(0, 10_000), max_size=30),
        st.booleans(),
        st.lists(ENDS, min_size=1, max_size=5),
    )
    def test_change_nothing(self, pieces: list[bytes], places: list[int], keep: bool, ends: list[bytes]) -> None:
        data = ended(b"".join(pieces), ends)
        at_once, in_pieces = StreamScan(keep_usage=keep), StreamScan(keep_usage=keep)
        passed = at_once.feed(data) + at_once.held()
        again = b"".join(fed(in_pieces, *cut(data, places))) + in_pieces.held()
        assert read(again) == read(passed)
        if keep or b"\r" not in data:
            assert again == passed
        for name in ("began", "broken", "characters", "done", "finish", "usage", "whole"):
            assert getattr(at_once, name) == getattr(in_pieces, name), name

    @given(
        st.lists(PIECES, max_size=12),
        st.lists(st.integers(0, 10_000), max_size=30),
        st.lists(ENDS, min_size=1, max_size=5),
    )
    def test_nor_how_lines_end_change_what_steps_hear(
        self, pieces: list[bytes], places: list[int], ends: list[bytes]
    ) -> None:
        data = b"".join(pieces)
        scanner = EventScanner()
        heard = [said for part in cut(ended(data, ends), places) for said in scanner.feed(part)]
        assert heard == list(EventScanner().feed(data))

    @given(st.lists(st.binary(max_size=40), max_size=20))
    def test_any_bytes_are_borne(self, parts: list[bytes]) -> None:
        scan = StreamScan()
        fed(scan, *parts)
        assert scan.whole in (True, False)
