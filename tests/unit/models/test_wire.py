"""Requests and answers as bytes: what is read, what is replaced, and that all the rest stays as it was."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.errors import InvalidInput
from interplay.core.models.pricing import raw_usage
from interplay.core.models.refusals import refusal
from interplay.core.models.usage import Usage
from interplay.core.models.wire import answered, peek, raw_of, spliced, usage_in, written

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def sent(body: bytes, **options: Any) -> dict[str, Any]:
    """What an upstream gets of a request."""
    defaults = {name: raw_of(value) for name, value in options.pop("defaults", {}).items()}
    found: dict[str, Any] = json.loads(spliced(peek(body), raw_of("up"), defaults, **options))
    return found


class TestRequests:
    @given(st.dictionaries(st.text(), JSON))
    def test_everything_but_the_model_stays_as_it_was(self, fields: dict[str, Any]) -> None:
        fields = {**fields, "model": "m", "stream": False, "max_tokens": 1, "max_completion_tokens": None}
        assert sent(json.dumps(fields).encode()) == {**fields, "model": "up"}

    def test_nested_bytes_are_not_even_reformatted(self) -> None:
        nested = b'{ "b" : 1e3,\n "a":"\\u00fc" , "model":"inner" }'
        body = b'{"model":"m","x":%s}' % nested
        assert nested in spliced(peek(body), raw_of("up"), {})

    def test_of_a_key_that_stands_twice_the_last_one_counts(self) -> None:
        body = b'{"model":"a","mod\\u0065l":"b"}'
        assert peek(body).model == "b"
        assert sent(body) == {"model": "up"}

    def test_defaults_of_the_deployment_stand_below_what_was_asked(self) -> None:
        body = b'{"model":"m","temperature":0}'
        found = sent(body, defaults={"temperature": 1, "top_p": 0.5})
        assert found == {"model": "up", "temperature": 0, "top_p": 0.5}

    def test_a_stream_is_asked_to_count(self) -> None:
        assert sent(b'{"model":"m","stream":true}', usage=True)["stream_options"] == {"include_usage": True}
        body = b'{"model":"m","stream":true,"stream_options":{"a":1,"include_usage":false}}'
        assert sent(body, usage=True)["stream_options"] == {"a": 1, "include_usage": True}
        assert not peek(body).wants_usage

    def test_what_is_not_streamed_is_left_alone(self) -> None:
        assert "stream_options" not in sent(b'{"model":"m"}', usage=True)

    def test_an_estimate_counts_the_question_and_the_longest_answer(self) -> None:
        body = b'{"model":"m","max_tokens":1000}'
        assert peek(body).tokens == len(body) // 4 + 1000
        assert peek(b'{"model":"m"}').tokens > 200

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"model": "m",\n  "x": }', "line 2, column 8"),
            (b'{"model": "m",\n  "x": [1', "too early at line 2, column 10"),
            (b"", "it is empty"),
            (b'{"model":"m","x":' + b"[" * 100_000, "nested too deep"),
            (b'{"model":"m","stream":true,"stream_options":{"x":1e999}}', "`stream_options` cannot be read"),
            (b'{"model":"m","max_tokens":-1}', "cannot be less than none"),
            (b"[1]", "must be a JSON object"),
            (b'{"model": 1}', "`model` must be a text"),
            (b"{}", "names no model"),
            (b'{"model":"m","stream":1}', "`stream` must be true or false"),
            (b'{"model":"m\xff"}', "no UTF-8 at line 1, column 12"),
            (b'{"model":"m",\n "x":["\xff"]}', "no UTF-8 at line 2, column 8"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_place(self, body: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            peek(body)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"model":"m","x":1e999}', "`x` cannot be read: Number out of range"),
        ],
    )
    def test_what_is_wrong_within_a_field_is_said_when_it_is_looked_at(self, body: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            peek(body).value("x")

    def test_a_list_is_taken_apart_and_no_further(self) -> None:
        asked = peek(b'{"model":"m","messages":[ {"a": 1}, "b"],"input":"text"}')
        assert [bytes(item) for item in asked.items("messages")] == [b'{"a": 1}', b'"b"']
        assert (asked.items("input"), asked.items("documents")) == ("text", None)

    @given(st.binary())
    def test_any_bytes_are_a_request_or_said_to_be_wrong(self, body: bytes) -> None:
        with contextlib.suppress(InvalidInput):
            assert peek(body).model

    def test_a_picture_within_counts_as_one_and_not_as_words(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
        said = [{"type": "text", "text": "What is this?"}, picture]
        body = json.dumps({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": said}]}).encode()
        assert 1_600 < peek(body).tokens < 1_800
        text = json.dumps({"model": "m", "max_tokens": 50, "messages": [{"content": "A" * 400_000}]}).encode()
        assert peek(text).tokens > 100_000


class TestAnswers:
    def test_usage_with_its_details(self) -> None:
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
        found = answered(json.dumps({"choices": [{"finish_reason": "stop"}], "usage": usage}).encode())
        assert found is not None
        assert found.counted() == Usage(10, 5, 4, 1, reasoning_tokens=3, audio_tokens=1)

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 5},
            {"prompt_tokens": 5, "completion_tokens": 10**30},
            {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": -3}},
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2**63}},
        ],
    )
    def test_counts_that_cannot_be_are_none(self, usage: dict[str, Any]) -> None:
        body = json.dumps({"choices": [{}], "usage": usage}).encode()
        found = answered(body)
        assert found is not None
        assert found.counted() is None
        assert usage_in(body) is None

    @pytest.mark.parametrize("number", ["1e999", "-5", "1e30", '"7"', "null"])
    def test_counts_of_a_steps_answer_are_whole_numbers_that_can_be(self, number: str) -> None:
        raw = json.loads(f'{{"prompt_tokens": {number}, "completion_tokens": 3}}')
        assert raw_usage(raw) == Usage(0, 3, 0, 1)

    def test_what_is_no_answer_may_say_what_it_used(self) -> None:
        assert usage_in(b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}') == Usage(7, 5, 0, 1)
        assert usage_in(b"{}") is None
        assert usage_in(b"<html>") is None

    @pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices":[]}', b'{"choices":[{}],"error":{"m":1}}', b"[]"])
    def test_what_is_no_answer_is_none(self, body: bytes) -> None:
        assert answered(body) is None

    @pytest.mark.parametrize("body", [b'{"choices":[{"x":1}]}', b'{"data":[]}', b'{"results":[]}'])
    def test_an_answer_without_usage_is_an_answer(self, body: bytes) -> None:
        found = answered(body)
        assert found is not None
        assert found.counted() is None

    @pytest.mark.parametrize(
        ("body", "characters"),
        [
            (b'{"choices":[{"message":{"content":"hello","reasoning_content":"hm"}},{"text":"you"}]}', 10),
            (b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":1}]}}]}', len('[{"id":1}]')),
            (b'{"data":[{"embedding":[0.1,0.2]}]}', 0),
            (b'{"choices":[{"mess', len('{"choices":[{"mess')),
            (
                b'{"choices":[{"message":{"content":[{"type":"text","text":"hm"}]}}]}',
                len('{"type":"text","text":"hm"}'),
            ),
        ],
    )
    def test_only_what_a_model_wrote_is_measured(self, body: bytes, characters: int) -> None:
        assert written(body) == characters


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "body", "code"),
        [
            (429, b"", "rate_limited"),
            (529, b"", "unavailable"),
            (401, b"", "unauthorized"),
            (400, b'{"error":{"code":"context_length_exceeded"}}', "context_too_long"),
            (400, b'{"error":{"message":"hit our content management policy"}}', "content_filtered"),
            (400, b'{"error":"no"}', "bad_request"),
            (413, b"", "context_too_long"),
            (413, b'{"error":"no"}', "context_too_long"),
            (418, b"\xff", "bad_request"),
        ],
    )
    def test_have_the_codes_that_policies_know(self, status: int, body: bytes, code: str) -> None:
        assert refusal("x", status, body, None, 0.0).code == code

    def test_say_when_to_come_back(self) -> None:
        assert refusal("x", 429, b"", b"7", 0.0).retry_after == 7.0
        assert refusal("x", 429, b"", b"Thu, 01 Jan 1970 00:01:00 GMT", 0.0).retry_after == 60.0
        assert refusal("x", 429, b"", b"soon", 0.0).retry_after is None
