"""CEL: types are told before anything runs; values are JSON; absence is seen; mistakes are in words."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import AnyExpression, ExpressionProblem, compile_expression
from interplay.core.flows.plan import ABSENT
from interplay.core.flows.types import ANY, BOOLEAN, INTEGER, NUMBER, OBJECT, STRING, Type, list_of, object_of

NAMES: dict[str, Type] = {
    "inputs": object_of(question=STRING, n=INTEGER, price=NUMBER, flag=BOOLEAN, docs=list_of(OBJECT), free=ANY),
    "intent": object_of(label=Type("enum", enum=("billing", "bug")), confidence=NUMBER, scores=OBJECT),
    "call": object_of(status=INTEGER, body=ANY),
    "other": object_of(v=STRING),
}
DATA: dict[str, Any] = {
    "inputs": {
        "question": "why?",
        "n": 3,
        "price": 2,
        "flag": True,
        "docs": [{"text": "one", "score": 0.5}, {"text": "two", "score": 0.9}],
        "free": {"deep": [1, 2.5]},
    },
    "intent": {"label": "billing", "confidence": 0.9, "scores": {"billing": 0.9}},
    "call": {"status": 200, "body": {"items": [{"id": 1}], "none": None}},
    "other": {"v": "else"},
}


def compiled(source: str) -> AnyExpression:
    return compile_expression(source, NAMES)


def value(source: str, **changes: Any) -> Any:
    return compiled(source).evaluate({**DATA, **changes})


def problem(source: str) -> ExpressionProblem:
    with pytest.raises(ExpressionProblem) as wrong:
        compiled(source)
    return wrong.value


def failure(source: str, **changes: Any) -> str:
    with pytest.raises(StepFailure) as failed:
        value(source, **changes)
    assert failed.value.failure.code == "expression"
    return failed.value.failure.detail


class TestValue:
    @pytest.mark.parametrize(
        ("source", "result"),
        [
            ("inputs.n + 1", 4),
            ("inputs.price * 1.5", 3.0),
            ("double(inputs.n) / 2.0", 1.5),
            ('intent.label == "billing" && inputs.flag', True),
            ("intent.confidence >= 0.8", True),
            ("inputs.question + '!'", "why?!"),
            ("size(inputs.docs)", 2),
            ("inputs.docs[1].text", "two"),
            ("inputs.docs.map(d, d.text)", ["one", "two"]),
            ("inputs.docs.filter(d, d.score > 0.6)", [{"text": "two", "score": 0.9}]),
            ("inputs.docs.filter(d, d.score > 0.6).map(d, d.text)[0]", "two"),
            ("inputs.docs.exists(d, d.text == 'one')", True),
            ("{'a': inputs.n, 'b': [intent.label]}", {"a": 3, "b": ["billing"]}),
            ("inputs.flag ? 'yes' : 'no'", "yes"),
            ("call.body.items[0].id + 1", 2),
            ("call.body.none == null", True),
            ("inputs.free.deep[1] * 2.0", 5.0),
            ("inputs.question.upperAscii()", "WHY?"),
            ("inputs.question.replace('?', '!')", "why!"),
            ("'a,b'.split(',')", ["a", "b"]),
            ("math.greatest(1, 5, 2)", 5),
            ("timestamp('2030-01-01T00:00:00Z') > timestamp('2029-01-01T00:00:00Z')", True),
            ("timestamp('2030-01-01T00:00:00Z')", "2030-01-01T00:00:00Z"),
            ("duration('90s')", 90.0),
            ("b'abc'", "abc"),
            ("{5: 'x', true: 'y'}", {"5": "x", "true": "y"}),
            ("r'\\d' + 'x' // a comment", "\\dx"),
            ("null", None),
        ],
    )
    def test_it_is_plain_json(self, source: str, result: Any) -> None:
        assert value(source) == result
        assert type(value(source)) is type(result)

    @pytest.mark.parametrize("source", ["1.0 / 0.0", "double('NaN')", "[1e999]"])
    def test_a_number_that_json_lacks_fails(self, source: str) -> None:
        assert "no number in JSON" in failure(source)

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("inputs.n + 1", "integer"),
            ("inputs.price", "number"),
            ("inputs.n > 1", "boolean"),
            ("inputs.docs.map(d, d.text)", "list"),
            ("{'a': 1}", "object"),
            ("call.body", "any"),
            ("intent.label", "enum"),
        ],
    )
    def test_its_type_is_known_before(self, source: str, kind: str) -> None:
        assert compiled(source).result == kind

    def test_only_what_is_named_is_handed_over(self) -> None:
        poison = {"items": [{"id": 1}], "never": object()}
        assert value("call.body.items[0].id", call={"status": 200, "body": poison}) == 1


class TestNumbers:
    def test_a_whole_number_where_a_number_is_meant_goes_in_as_one(self) -> None:
        assert value("inputs.price + 0.5", inputs={**DATA["inputs"], "price": 2}) == 2.5

    @pytest.mark.parametrize("source", ["inputs.n * 1.5", "inputs.price + 1", "inputs.n + intent.confidence"])
    def test_mixing_them_is_told_with_what_to_write(self, source: str) -> None:
        assert "write `1.0`, or `double(x)`" in problem(source).message

    def test_mixing_what_nobody_knew_fails_in_the_same_words(self) -> None:
        assert "write `1.0`, or `double(x)`" in failure("inputs.free.deep[1] + 1")


class TestAbsence:
    @pytest.mark.parametrize(
        ("source", "result"),
        [
            ("first(intent.label, other.v)", "else"),
            ("first(intent.label, 'none')", "none"),
            ("first(intent.scores.billing, 0.0) + 1.0", 1.0),
            ("first(intent, other)", {"v": "else"}),
            ("first(first(intent.label, intent.scores), 'x')", None),
            ("has(intent.label) ? intent.label : 'none'", "none"),
            ("!has(intent.label) || intent.label == 'x'", True),
            ("intent.?label.orValue('none')", "none"),
        ],
    )
    def test_of_a_step_is_seen(self, source: str, result: Any) -> None:
        if result is None:
            assert "neither" in problem(source).message
            return
        assert value(source, intent=ABSENT) == result
        assert "intent" in compiled(source).tolerates

    def test_of_a_field_is_seen(self) -> None:
        assert value("first(call.body.nope, call.body.items[3].id, inputs.n)") == 3
        assert value("has(call.body.nope)") is False
        assert value("call.body.?nope.orValue(7)") == 7

    def test_first_in_a_list_or_a_default_works_too(self) -> None:
        assert value("[first(intent.label, 'a'), first(other.v, 'b')]", intent=ABSENT) == ["a", "else"]
        assert value("first(intent.label, first(other.v, 'b'))", intent=ABSENT) == "else"

    def test_nothing_at_all_is_told(self) -> None:
        assert "none of the arguments of first()" in failure("first(intent.label)", intent=ABSENT)

    @pytest.mark.parametrize("source", ["intent.label == 'x'", "intent.label + first(other.v, '')"])
    def test_a_plain_reference_does_not_tolerate_it(self, source: str) -> None:
        assert "intent" not in compiled(source).tolerates
        assert "intent.label has no value" in failure(source, intent=ABSENT)

    def test_what_is_not_needed_may_be_missing(self) -> None:
        assert value("inputs.flag || call.body.nope") is True
        assert value("inputs.flag ? 1 : call.body.nope") == 1


class TestProblem:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("", "empty"),
            ("intnt.label == 'x'", "did you mean 'intent'?"),
            ("intent.lable", "did you mean intent.label?"),
            ("inputs.n +", "it ends too early"),
            ("(inputs.n", "is missing"),
            ("'abc", "no closing quote"),
            ("inputs.flag and inputs.flag", "write `&&`"),
            ("inputs.flag or inputs.flag", "write `||`"),
            ("not inputs.flag", "write `!`"),
            ("inputs.n = 3", "write `==`"),
            ("inputs.n === 3", "write `==`"),
            ("if inputs.flag", "write `condition"),
            ("inputs.n == 'x'", "does not take \\(integer, string\\)"),
            ("frobnicate(1)", "no name or function 'frobnicate'"),
            ("inputs.docs.map(intent, 1)", "hides the name 'intent'"),
            ("inputs.n.map(x, x)", "walks a list"),
            ("inputs.docs.filter(x, 'a')", "true or false"),
            ("first()", "at least one reference"),
            ("first(1 + 1, 2)", "neither"),
            ("has(inputs)", "has\\(\\) takes a field"),
            ("(" * 40 + "1" + ")" * 40, "32 deep"),
            ("1" * 9000, "8,000 are allowed"),
        ],
    )
    def test_it_is_told_in_words(self, source: str, words: str) -> None:
        with pytest.raises(ExpressionProblem, match=words):
            compiled(source)

    def test_it_has_its_column(self) -> None:
        assert problem("inputs.flag && intent.lable == 'x'").column == 15
        assert problem("inputs.n + 'x'").column == 9

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("call.body.items[7].id", "no item 7 in a list of 1"),
            ("call.body.nope + 1", "call.body.nope has no value"),
            ("1 / (inputs.n - 3)", "divides by zero"),
            ("9223372036854775807 + inputs.n", "too large"),
            ("int(inputs.question)", "cannot convert"),
            ("type(inputs.n)", "JSON does not have"),
            ("optional.of(1)", "orValue"),
        ],
    )
    def test_a_failure_is_told_in_words(self, source: str, words: str) -> None:
        assert words in failure(source)

    def test_a_value_of_another_type_than_promised_is_told(self) -> None:
        assert "inputs.question is int, and STRING was expected" in failure(
            "inputs.question + '!'", inputs={"question": 5}
        )

    @given(
        st.lists(
            st.sampled_from(
                ["inputs", ".n", ".docs", ".", "intent", ".label", "first(", "has(", ")", "(", "[", "]", "{", "}", "+",
                 "-", "*", "/", "&&", "||", "!", "?", ":", ".?", "==", "<", "in", "1", "2.5", "'a'", '"', "'", "r'\\'",
                 ",", "map(x, x)", ".map(", "x,", "//", "true", "null", " ", "\n", ".size()", ".replace(", "b'", "#"]
            ),
            max_size=12,
        ).map("".join)
    )  # fmt: skip
    def test_any_pile_of_its_words_is_computed_or_refused(self, source: str) -> None:
        with contextlib.suppress(ExpressionProblem, StepFailure):
            msgspec.json.encode(compiled(source).evaluate(DATA))
