"""Values of a flow: literals, references, expressions, text with expressions in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.failures import StepFailure
from interplay.core.flows.plan import ABSENT
from interplay.core.flows.types import ANY, INTEGER, STRING, Type, list_of, object_of
from interplay.core.flows.values import SECRET, SecretText, ValueProblem, compile_value

NAMES: dict[str, Type] = {"a": object_of(v=INTEGER, docs=list_of(object_of(text=STRING))), "b": ANY}
DATA: dict[str, Any] = {"a": {"v": 1, "docs": [{"text": "one"}]}, "b": {"x-y": [True, None, 1.5, {"k": "v"}]}}


def value(raw: Any, **changes: Any) -> Any:
    return compile_value(raw, NAMES)[0].evaluate({**DATA, **changes})


def problem(raw: Any) -> ValueProblem:
    with pytest.raises(ValueProblem) as wrong:
        compile_value(raw, NAMES)
    return wrong.value


class TestValue:
    @pytest.mark.parametrize(
        ("raw", "result"),
        [
            (5, 5),
            ("text", "text"),
            ("$a.v", 1),
            ("$a", {"v": 1, "docs": [{"text": "one"}]}),
            ("$a.docs[0].text", "one"),
            ("$b.x-y[3].k", "v"),
            ("$$a.v", "$a.v"),
            ("$$", "$"),
            ("costs 5$", "costs 5$"),
            ("a $a.v b", "a $a.v b"),
            ("${ a.v + 1 }", 2),
            ("${a.v}  ", 1),
            ("v: ${ a.v }, ${ a.docs[0].text }!", "v: 1, one!"),
            ("${ a.v }${ a.v }", "11"),
            ("it's ${ a.v } o'clock", "it's 1 o'clock"),
            ('${ "}" + "{" }', "}{"),
            ("x ${ {'k': {'l': a.v}}.k.l } y", "x 1 y"),
            ("$${ a.v }", "${ a.v }"),
            ("x $${ a.v } ${ a.v }", "x ${ a.v } 1"),
            ({"k": ["$a.v", {"l": "${ a.v }"}], "m": None}, {"k": [1, {"l": 1}], "m": None}),
            ({"$a": "$a.v"}, {"$a": 1}),
        ],
    )
    def test_is_what_it_says(self, raw: Any, result: Any) -> None:
        assert value(raw) == result

    def test_inside_text_is_written_as_json(self) -> None:
        assert value("[${ b['x-y'] }]") == '[[true,null,1.5,{"k":"v"}]]'
        assert value("${ true } ${ null } ${ 1.5 }") == "true  1.5"

    @pytest.mark.parametrize(
        ("raw", "kind"),
        [
            ("$a.v", "integer"),
            ("$a.docs", "list of objects"),
            ("$a.docs[0].text", "string"),
            ("$b.anything", "any"),
            ("n: ${ a.v }", "string"),
            ("${ a.v > 1 }", "boolean"),
            ([1, "$a.v"], "list of integers"),
            ([1, 2.5], "list of numbers"),
            ([1, "x"], "list"),
            ({"k": "$a.v"}, "object"),
        ],
    )
    def test_has_a_type_before_it_is_computed(self, raw: Any, kind: str) -> None:
        assert str(compile_value(raw, NAMES)[1]) == kind

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="$"), max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        )
    )
    def test_without_a_dollar_is_itself(self, raw: Any) -> None:
        compiled, _ = compile_value(raw, {})
        assert compiled.evaluate({}) == raw
        assert compiled.roots == frozenset()

    @given(st.text(max_size=12))
    def test_any_text_can_be_written_with_a_dollar_in_front(self, text: str) -> None:
        found = compile_value("$$" + text, {})[0].evaluate({})
        assert found == (SecretText("$" + text) if SECRET in text else "$" + text)

    def test_nor_does_a_secret_behind_it_change_that(self) -> None:
        assert compile_value("$$secret://name", {})[0].evaluate({}) == SecretText("$secret://name")


class TestProblem:
    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            ("$c.v", "no step or name 'c'"),
            ("$a.w", "has no field 'w'"),
            ("$a.v.w", "is an integer, so it has no field 'w'"),
            ("$a.docs.text", "is a list of objects, so it has no field 'text'"),
            ("$a[0]", "is an object, so it has no [0]"),
            ("$", "is not a reference"),
            ("$a.", "only '$a' is"),
            ("$a.v + 1", "only '$a.v' is"),
            ("text ${ a.v", "never closed"),
            ("${ '}'", "never closed"),
        ],
    )
    def test_is_told(self, raw: str, words: str) -> None:
        assert words in problem(raw).message


class TestRoots:
    def test_are_all_names_that_a_value_needs(self) -> None:
        compiled, _ = compile_value({"x": ["$a.v", "${ b.k }"], "y": "z"}, NAMES)
        assert compiled.roots == {"a", "b"}

    @pytest.mark.parametrize(
        ("raw", "tolerated"),
        [
            ("$a.v", set()),
            ("${ first(a.v, b.k) }", {"a", "b"}),
            ({"x": "${ first(a.v, 1) }"}, {"a"}),
            ({"x": "${ first(a.v, 1) }", "y": "$a.v"}, set()),
            (["${ has(a.v) }", "$b.k"], {"a"}),
            ("v: ${ a.?v.orValue(1) }", {"a"}),
        ],
    )
    def test_some_may_be_absent(self, raw: Any, tolerated: set[str]) -> None:
        compiled, _ = compile_value(raw, NAMES)
        assert getattr(compiled, "tolerates", frozenset()) == tolerated

    @pytest.mark.parametrize(
        ("raw", "words"), [("$a.v", "skipped or failed"), ("$b.nope", "there is no 'nope'"), ("$b.x-y[9]", "no 9")]
    )
    def test_that_are_missing_fail_in_words(self, raw: str, words: str) -> None:
        with pytest.raises(StepFailure) as failed:
            value(raw, a=ABSENT)
        assert failed.value.failure.code == "expression"
        assert words in failed.value.failure.detail
