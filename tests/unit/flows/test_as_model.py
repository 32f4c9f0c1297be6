"""Which inputs of a flow a conversation becomes, and what text its output is."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.flows.as_model import content_of, given_inputs, inputs_of, named_flow
from interplay.core.flows.ir import Flow, Input, Step

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "One."},
    {"role": "user", "content": "Two?"},
]


def flow(**inputs: Input) -> Flow:
    return Flow("f", {"a": Step("set", {})}, inputs)


class TestInputs:
    def test_an_input_messages_gets_the_whole_conversation(self) -> None:
        assert inputs_of(flow(messages=Input("list")), TALK, {}) == {"messages": TALK}

    @pytest.mark.parametrize("name", ["question", "prompt", "text", "input"])
    def test_an_input_of_a_known_name_gets_the_last_message_of_the_user(self, name: str) -> None:
        known = flow(**{"style": Input("string", "plain"), name: Input("string")})
        assert inputs_of(known, TALK, {}) == {"style": "plain", name: "Two?"}

    def test_so_does_the_only_required_text(self) -> None:
        known = flow(topic=Input("string"), style=Input("string", "plain"))
        assert inputs_of(known, TALK, {})["topic"] == "Two?"

    def test_what_was_given_by_name_stays(self) -> None:
        known = flow(question=Input("string"), language=Input("string"))
        assert inputs_of(known, TALK, {"language": "de"}) == {"question": "Two?", "language": "de"}

    def test_parts_of_text_are_one_text(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert inputs_of(flow(text=Input("string")), [{"role": "user", "content": parts}], {}) == {"text": "a\nb"}

    def test_a_picture_for_a_flow_of_text_is_refused(self) -> None:
        parts = [{"type": "image_url", "image_url": {"url": "data:"}}]
        with pytest.raises(InvalidInput, match="takes text only"):
            inputs_of(flow(text=Input("string")), [{"role": "user", "content": parts}], {})

    def test_what_is_missing_is_named_with_the_place_where_to_send_it(self) -> None:
        with pytest.raises(InvalidInput) as wrong:
            inputs_of(flow(one=Input("string"), two=Input("string")), TALK, {})
        assert "'one'" in wrong.value.detail
        assert "`inputs`" in (wrong.value.advice or "")

    def test_inputs_may_come_in_the_metadata_as_text(self) -> None:
        assert given_inputs(None, {"inputs": '{"x": 1}'}) == {"x": 1}
        assert given_inputs({"x": 2}, {"inputs": '{"x": 1}'}) == {"x": 2}
        with pytest.raises(InvalidInput):
            given_inputs([1], None)


class TestContent:
    @pytest.mark.parametrize(
        ("output", "content"),
        [("as it is", "as it is"), ({"answer": "a", "n": 1}, "a"), ({"text": "t"}, "t"), ({"reply": "r"}, "r"),
         ({"answer": 1}, '{"answer":1}'), ({"reply": ""}, '{"reply":""}'), ([1, 2], "[1,2]"), (3.5, "3.5"), (None, "")],
    )  # fmt: skip
    def test_is_the_text_of_an_output(self, output: Any, content: str) -> None:
        assert content_of(output) == content

    def test_a_name_may_have_a_channel(self) -> None:
        assert named_flow("flow/a@prod") == ("a", "prod")
        assert named_flow("flow/a") == ("a", None)
