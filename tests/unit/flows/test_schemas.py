"""JSON Schema of inputs: what fits, what is told, and schemas that are none."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interplay.core.errors import InvalidRunInputs
from interplay.core.flows.ir import Flow, Input
from interplay.core.flows.schemas import schema_mismatch
from interplay.core.flows.types import check_inputs
from tests.unit.flows.checking import problems_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name"],
    "additionalProperties": False,
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 200)
    | st.sampled_from([0.5, 1.0])
    | st.sampled_from(["", "a", "abcdef"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "age", "tags", "x"]), inner, max_size=4)
    ),
    max_leaves=6,
)
SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, True, False, {"type": "string", "minLength": 1}, {"type": "integer", "maximum": 5}, {"const": "a"},
         {"type": "number", "exclusiveMinimum": 0}, {"enum": [1, "a", None]}, {"type": ["boolean", "null"]}]
    ),
    lambda inner: st.fixed_dictionaries({"items": inner})
    | st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from(["name", "age"]), inner, max_size=2)},
                            optional={"additionalProperties": inner, "required": st.just(["name"])})
    | st.fixed_dictionaries({}, optional={"anyOf": st.lists(inner, min_size=1, max_size=2)})
    | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)})
    | st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2), "type": st.just("object")}),
    max_leaves=5,
)  # fmt: skip


class TestMismatch:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"name": ""}, "who.name is 0 characters long, and at least 1"),
            ({"name": "too long"}, "at most 5"),
            ({}, "who.name is missing"),
            ({"name": "a", "age": -1}, "who.age is -1, and at least 0"),
            ({"name": "a", "age": 150}, "less than 150"),
            ({"name": "a", "age": "5"}, "integer or null is expected"),
            ({"name": "a", "tags": ["a", "c"]}, 'who.tags[1] is "c", and one of "a", "b"'),
            ({"name": "a", "tags": ["a", "b", "a"]}, "of 3 items, and at most 2"),
            ({"name": "a", "nick": "b"}, "who.nick is not one of its fields: name, age, tags"),
            ([], "object is expected"),
        ],
    )
    def test_is_told_with_its_path(self, value: Any, words: str) -> None:
        assert words in str(schema_mismatch(value, PERSON, "who"))

    @given(VALUES, SCHEMAS)
    def test_agrees_with_the_standard(self, value: Any, schema: Any) -> None:
        assume("enum" not in str(schema) and "const" not in str(schema))  # 1 and 1.0 are two things here
        strict = not jsonschema.Draft202012Validator(schema).is_valid(value)
        assert (schema_mismatch(value, schema, "v") is not None) == strict


class TestInputs:
    def test_of_a_run_are_held_to_it(self) -> None:
        flow = Flow("f", {}, {"who": Input({"schema": PERSON})})
        assert check_inputs(flow, {"who": {"name": "ann"}}) == {"who": {"name": "ann"}}
        with pytest.raises(InvalidRunInputs) as wrong:
            check_inputs(flow, {"who": {"name": "ann", "age": 200}})
        assert wrong.value.where == "inputs.who.age"

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ("{type: strng}", "no type of JSON Schema"),
            ("{type: object, properties: [a]}", "no mapping"),
            ("{type: object, properties: {a: {type: list}}}", "'list' is no type"),
            ("{type: object, properties: {a: {}}, required: [b]}", "names 'b', which is no property"),
        ],
    )
    def test_of_a_flow_need_a_schema_that_is_one(self, schema: str, words: str) -> None:
        (problem,) = problems_of(f"flow: f\ninputs: {{a: {{schema: {schema}}}}}\nsteps: {{b: {{set: {{x: 1}}}}}}")
        assert words in str(problem)

    def test_a_default_is_held_to_it_too(self) -> None:
        (problem,) = problems_of(
            "flow: f\ninputs: {a: {schema: {type: integer, minimum: 3}, default: 1}}\nsteps: {b: {set: {x: 1}}}"
        )
        assert "at least 3" in str(problem)
