"""Triggers that feed a model: what is wrong with one is said when it is made."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.triggers.feeding import compile_feed
from interplay.core.triggers.messages import Dead, Message
from interplay.core.triggers.stacking import shape_of_rows, stacked, unstacked
from interplay.core.triggers.trigger import Trigger, trigger_of


def written(**fields: Any) -> Trigger:
    body = {"topic": "reviews", "model": "alias", "request": {"text": "$message.value.text"}}
    return trigger_of({**body, "output": {"topic": "out"}, **fields})


class TestTrigger:
    @pytest.mark.parametrize(
        ("fields", "where", "words"),
        [
            ({"flow": "triage"}, "flow", "one of them"),
            ({"model": None}, "flow", "one of them"),
            ({"output": None}, "output", "topic"),
            ({"inputs": {"a": 1}}, "inputs", "starts runs"),
            ({"most_queued": 5}, "most_queued", "starts runs"),
            ({"output": {"topic": "interplay.x"}}, "output.topic", "Interplay's own"),
            ({"output": {"topic": "reviews"}}, "output.topic", "of their own"),
            ({"at_once": 0}, "at_once", "1 to 256"),
            ({"output": {"topic": "out", "vale": 1}}, "output", "vale"),
            ({"together": 5000}, "together", "1 to 1,000"),
        ],
    )
    def test_what_does_not_fit_together_is_said(self, fields: dict[str, Any], where: str, words: str) -> None:
        with pytest.raises(InvalidInput) as wrong:
            written(**fields)
        assert wrong.value.where == where
        assert words in str(wrong.value)

    def test_one_for_a_flow_has_no_field_of_models(self) -> None:
        with pytest.raises(InvalidInput, match="asks a model"):
            trigger_of({"topic": "a", "flow": "f", "output": {"topic": "out"}})


class TestCompileFeed:
    @pytest.mark.parametrize(
        ("task", "fields", "where", "words"),
        [
            ("embed", {"request": {"txt": "a"}}, "request.txt", "Did you mean 'text'"),
            ("embed", {"request": {}}, "request", "needs text"),
            ("chat", {"request": {"system": "a"}}, "request", "prompt or messages"),
            ("rerank", {}, "model", "rerank"),
            ("embed", {"task": "chat"}, "task", "not for chat"),
            ("chat", {"request": {"prompt": "a"}, "together": 4}, "together", "one message"),
            ("embed", {"output": {"topic": "out", "value": "$answer.vectr"}}, "output.value", "vectr"),
            ("classify", {"output": {"topic": "out", "key": "$answer.lable"}}, "output.key", "lable"),
        ],
    )
    def test_what_does_not_fit_the_model_is_said(
        self, task: str, fields: dict[str, Any], where: str, words: str
    ) -> None:
        with pytest.raises(InvalidInput) as wrong:
            compile_feed(written(**fields), task)
        assert wrong.value.where == where
        assert words in str(wrong.value)

    def test_a_chat_model_may_classify(self) -> None:
        feed = compile_feed(written(task="classify", request={"text": "a", "labels": ["x", "y"]}), "chat")
        assert (feed.task, feed.together) == ("classify", 1)

    def test_the_key_of_the_message_is_kept_byte_by_byte(self) -> None:
        trigger = written(format="bytes", output={"topic": "out", "value": "$answer.vector"}, request={"text": "a"})
        feed = compile_feed(trigger, "embed")
        message = Message("reviews", 0, 7, 0.0, b"key", b"\x00")
        assert feed.record(message, {"vector": [1.5]}) == (b"key", b"[1.5]")

    def test_an_answer_that_is_no_json_is_dead(self) -> None:
        feed = compile_feed(written(), "embed")
        message = Message("reviews", 0, 7, 0.0, None, b'{"text": "hi"}')
        assert isinstance(feed.record(message, {"vector": [float("nan")]}), Dead)


class TestStacking:
    def test_rows_go_under_rows_and_come_apart(self) -> None:
        several = [{"x": [[1, 2]], "y": [[0.5]]}, {"x": [[3, 4], [5, 6]], "y": [[1.5], [2.5]]}]
        shapes = [shape_of_rows(inputs) for inputs in several]
        assert shapes[0] is not None
        assert shapes[1] is not None
        assert shapes[0][0] == shapes[1][0]
        assert [shapes[0][1], shapes[1][1]] == [1, 2]
        assert stacked(several)["x"] == {"shape": [3, 2], "datatype": "INT64", "data": [1, 2, 3, 4, 5, 6]}
        assert unstacked({"z": [[1], [2], [3]]}, [1, 2]) == [{"z": [[1]]}, {"z": [[2], [3]]}]

    @pytest.mark.parametrize("inputs", [{"x": 3}, {"x": [[1], [2, 3]]}, {"x": [[1]], "y": [[1], [2]]}, {"x": []}])
    def test_what_has_no_rows_goes_alone(self, inputs: dict[str, Any]) -> None:
        assert shape_of_rows(inputs) is None

    def test_outputs_without_a_row_for_each_row_cannot_come_apart(self) -> None:
        assert unstacked({"z": [[1]]}, [1, 2]) is None
        assert unstacked({"z": 4}, [1, 2]) is None
