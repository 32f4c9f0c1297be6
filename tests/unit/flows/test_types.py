"""Types: their surface forms, what fits what, and the inputs of a run against them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.errors import InvalidRunInputs
from interplay.core.flows.ir import Flow, Input
from interplay.core.flows.types import (
    TypeProblem,
    as_typed,
    check_inputs,
    fits,
    mismatch,
    parse_type,
    type_of_value,
    with_article,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def flow(**inputs: Any) -> Flow:
    made = {name: form if isinstance(form, Input) else Input(form) for name, form in inputs.items()}
    return Flow("f", {}, made)


def refused(given: dict[str, Any], **inputs: Any) -> InvalidRunInputs:
    with pytest.raises(InvalidRunInputs) as wrong:
        check_inputs(flow(**inputs), given)
    return wrong.value


class TestForms:
    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ("string", "a string"),
            ("integer", "an integer"),
            ({"type": "list", "items": "integer"}, "a list of integers"),
            ({"type": "list", "items": {"type": "list", "items": "string"}}, "a list of lists of strings"),
            ({"enum": ["a", "b"]}, "one of a, b"),
            ({"type": "object", "fields": {"a": "string"}}, "an object"),
            ({"schema": {"type": "array", "items": {"type": "number"}}}, "a list of numbers"),
            ("any", "any value"),
        ],
    )
    def test_are_read_and_said(self, form: Any, words: str) -> None:
        assert with_article(parse_type(form)) == words

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ("strng", "did you mean 'string'?"),
            (5, "is not a type"),
            (["string"], "is not a type"),
            ({"type": "list", "items": "intger"}, "did you mean 'integer'?"),
            ({"enum": "a"}, "at least one value"),
            ({"type": "object", "fields": ["a"]}, "a mapping of names to types"),
            ({}, "is not a type"),
        ],
    )
    def test_that_are_none_are_told(self, form: Any, words: str) -> None:
        with pytest.raises(TypeProblem) as wrong:
            parse_type(form)
        assert words in str(wrong.value)


class TestFits:
    @pytest.mark.parametrize(
        ("value", "wanted", "good"),
        [
            ("integer", "number", True),
            ("number", "integer", False),
            ("string", "file", True),
            ({"enum": ["a"]}, "string", True),
            ({"enum": ["a", 1]}, "string", False),
            ("string", {"enum": ["a"]}, True),
            ("integer", {"enum": ["a"]}, False),
            ({"type": "list", "items": "integer"}, {"type": "list", "items": "string"}, False),
            ("any", "integer", True),
            ("object", "any", True),
            ("boolean", "integer", False),
        ],
    )
    def test_one_type_where_another_is_wanted(self, value: Any, wanted: Any, good: bool) -> None:
        assert fits(parse_type(value), parse_type(wanted)) is good

    @given(JSON)
    def test_every_value_fits_its_own_type(self, value: Any) -> None:
        assert mismatch(value, type_of_value(value), "value") is None


class TestCheckInputs:
    def test_defaults_are_filled_in_with_their_type(self) -> None:
        made = check_inputs(flow(a="string", b=Input("number", 2), c=Input("any", None)), {"a": "x"})
        assert made == {"a": "x", "b": 2.0, "c": None}
        assert type(made["b"]) is float

    def test_whole_numbers_become_numbers_where_they_are_wanted_and_nowhere_else(self) -> None:
        form = {"type": "object", "fields": {"n": "integer", "x": {"type": "list", "items": "number"}}}
        made = check_inputs(flow(a=form), {"a": {"n": 1, "x": [1, 2], "more": 3}})
        assert msgspec.json.encode(made) == b'{"a":{"n":1,"x":[1.0,2.0],"more":3}}'

    @pytest.mark.parametrize(
        ("given", "where", "words"),
        [
            ({"n": "5"}, "inputs.n", 'inputs.n is "5" (string), and an integer is expected'),
            ({"n": 1.5}, "inputs.n", "an integer is expected"),
            ({"n": True}, "inputs.n", "an integer is expected"),
            ({"n": None}, "inputs.n", "an integer is expected"),
            ({"n": 2**63}, "inputs.n", "64 bits"),
            ({"n": 1, "docs": [{"text": "a"}, {"text": 5}]}, "inputs.docs[1].text", "a string is expected"),
            ({"n": 1, "docs": [{}]}, "inputs.docs[0].text", "is missing"),
            ({"n": 1, "tier": "gold"}, "inputs.tier", 'one of "free", "pro" is expected'),
            ({"n": 1, "any": [1, {"x": float("nan")}]}, "inputs.any[1].x", "no number in JSON"),
            ({"n": 1, "any": {"x": object()}}, "inputs.any.x", "JSON does not have"),
            ({"n": 1, "any": "\ud800"}, "inputs.any", "half of a character"),
            ({}, "inputs.n", "missing and has no default"),
            ({"n": 1, "teir": "pro"}, "inputs.teir", "no input 'teir'"),
        ],
    )
    def test_what_does_not_fit_is_told_with_its_path(self, given: dict[str, Any], where: str, words: str) -> None:
        docs = {"type": "list", "items": {"type": "object", "fields": {"text": "string"}}}
        wrong = refused(
            given, n="integer", docs=Input(docs, []), tier=Input({"enum": ["free", "pro"]}, "free"), any=Input("any", 0)
        )
        assert wrong.where == where
        assert words in wrong.detail

    def test_an_unknown_one_is_told_with_the_nearest(self) -> None:
        assert refused({"teir": 1}, tier="string").advice == "Did you mean 'tier'?"
        assert refused({"zzz": 1}, tier="string").advice == "The flow's inputs are: tier."

    def test_what_is_nested_too_deep_is_told(self) -> None:
        value: Any = 1
        for _ in range(5_000):
            value = [value]
        assert "nested more than" in refused({"a": value}, a="any").detail

    @given(JSON)
    def test_any_json_is_kept_as_it_is(self, value: Any) -> None:
        assert check_inputs(flow(a="any"), {"a": value}) == {"a": value}

    @given(JSON, st.sampled_from(["string", "integer", "number", "boolean", "object", {"enum": ["a", 1]}]))
    def test_any_json_fits_or_is_told(self, value: Any, form: Any) -> None:
        wanted = parse_type(form)
        if mismatch(value, wanted, "a") is None:
            made = check_inputs(flow(a=form), {"a": value})
            assert made == {"a": as_typed(value, wanted)}
        else:
            assert refused({"a": value}, a=form).where == "inputs.a"
