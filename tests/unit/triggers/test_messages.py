"""What becomes of a message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from interplay.core.errors import InvalidInput
from interplay.core.triggers.messages import Dead, Message, Passed, Start, compile_trigger
from interplay.core.triggers.trigger import Trigger, trigger_name, trigger_of


def message(value: bytes | None = b'{"text": "good", "stars": 4, "id": 7}', **more: Any) -> Message:
    fields = {"topic": "reviews", "partition": 2, "offset": 41, "time": 5.0, "key": b"k", "value": value}
    return Message(**{**fields, "headers": (("source", b"web"),), **more})


def decided(value: bytes | None = b'{"text": "good", "stars": 4, "id": 7}', **options: Any) -> Any:
    return compile_trigger(Trigger("reviews", "triage", **options)).decide(message(value))


class TestStart:
    def test_inputs_are_made_of_the_message(self) -> None:
        inputs = {
            "text": "$message.value.text",
            "from": "${ message.headers.source + '/' + message.topic }",
            "place": "${ message.partition * 100 + message.offset }",
            "key": "$message.key",
            "fixed": 3,
        }
        found = decided(inputs=inputs)
        assert found.inputs == {"text": "good", "from": "web/reviews", "place": 241, "key": "k", "fixed": 3}

    def test_without_dedupe_its_place_tells_it_from_others(self) -> None:
        assert decided().identity == ":reviews:2:41"

    def test_a_topic_that_was_made_anew_is_another_one(self) -> None:
        compiled = compile_trigger(Trigger("reviews", "triage"))
        identities = {compiled.decide(message(log=log)).identity for log in ("one", "two")}  # type: ignore[union-attr]
        assert len(identities) == 2

    def test_dedupe_tells_by_a_value(self) -> None:
        one = decided(dedupe="$message.value.id")
        other = decided(b'{"id": 8}', dedupe="$message.value.id")
        assert decided(b'{"id": 7}', dedupe="$message.value.id").identity == one.identity != other.identity

    @pytest.mark.parametrize(
        ("form", "value", "seen"), [("text", b"a\xc3\xb6", "aö"), ("bytes", b"\xff\x00", "/wA="), ("json", None, None)]
    )
    def test_the_value_is_read_in_its_format(self, form: Any, value: bytes | None, seen: Any) -> None:
        assert decided(value, format=form, inputs={"v": "$message.value"}) == Start({"v": seen}, ":reviews:2:41")


class TestFilter:
    def test_it_lets_through_what_it_wants(self) -> None:
        assert isinstance(decided(filter="${ message.value.stars > 3 }"), Start)
        assert decided(filter="${ message.value.stars < 3 }") == Passed()

    def test_what_it_cannot_look_at_is_dead(self) -> None:
        assert isinstance(decided(b"[]", filter="${ message.value.stars > 3 }"), Dead)

    def test_it_gives_true_or_false(self) -> None:
        with pytest.raises(InvalidInput, match="true or false"):
            compile_trigger(Trigger("reviews", "triage", filter="${ message.topic }"))
        assert "true or false" in decided(filter="${ message.value.stars }").reason


class TestDead:
    @pytest.mark.parametrize(
        ("value", "options", "words"),
        [
            (b"{", {}, "no JSON"),
            (b"\xff\xfe", {"format": "text"}, "no text in UTF-8"),
            (None, {"format": "text"}, "no value"),
            (b"{}", {"inputs": {"text": "$message.value.text"}}, "there is no 'text'"),
            (b"{}", {"dedupe": "${ '' }"}, "`dedupe`"),
            (b"[" * 100_000, {}, "no JSON"),
        ],
    )
    def test_the_reason_is_in_words(self, value: bytes | None, options: Any, words: str) -> None:
        found = decided(value, **options)
        assert isinstance(found, Dead)
        assert words in found.reason

    def test_one_that_is_nested_deeper_than_can_be_written_is_dead(self) -> None:
        deep = b'{"a": ' * 900 + b"1" + b"}" * 900
        found = decided(deep, inputs={"text": "it says ${message.value}"})
        assert isinstance(found, Dead)
        assert found.reason

    @given(some.binary(max_size=200), some.sampled_from(["json", "text", "bytes"]))
    def test_no_bytes_raise_anything(self, value: bytes, form: Any) -> None:
        found = decided(value, format=form, filter="${ message.value != null }", inputs={"v": "$message.value"})
        assert isinstance(found, Start | Passed | Dead)

    def test_a_key_that_is_no_text_is_dead(self) -> None:
        assert isinstance(compile_trigger(Trigger("reviews", "triage")).decide(message(key=b"\xff")), Dead)


class TestWritten:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"topic": "reviews"}, "flow"),
            ({"topic": "interplay.runs.v1", "flow": "f"}, "not for flows"),
            ({"topic": "a b", "flow": "f"}, "no name of a topic"),
            ({"topic": "a", "flow": "f", "dead_letters": "a"}, "never end"),
            ({"topic": "a", "flow": "f", "batch": 0}, "`batch` is 0"),
            ({"topic": "a", "flow": "f", "format": "xml"}, "xml"),
            ({"topic": "a", "flow": "f", "channel": "prod", "version": "abc"}, "a channel of its flow or a version"),
            ({"topic": "a", "flow": "f", "priority": 1000}, "priority"),
            ({"topic": "a", "flow": "f", "filtr": "x"}, "filtr"),
        ],
    )
    def test_what_is_wrong_is_said(self, data: Any, words: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            trigger_of(data)
        assert words in str(refused.value)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("inputs", {"x": "$massage.value"}), ("filter", "${ message.value +"), ("dedupe", "$nothing")],
    )
    def test_what_does_not_compile_is_said_with_its_field(self, field: str, value: Any) -> None:
        with pytest.raises(InvalidInput) as refused:
            compile_trigger(trigger_of({"topic": "a", "flow": "f", field: value}))
        assert refused.value.where == field

    @pytest.mark.parametrize("name", ["", "A", "a b", "x" * 64, "-a"])
    def test_a_name_is_small_letters(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            trigger_name(name)
