"""From YAML and JSON to the IR: short forms become their long ones, and nothing but problems comes of noise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.flows.canonical import flow_version
from interplay.core.flows.compile import check_flow
from interplay.core.flows.ir import Budget, Flow, Join, Limit, OnError, Policy, Retry, Step, Timeout
from interplay.core.flows.kinds import COMPOSING_POLICIES, KINDS, POLICIES, Form, Kind
from interplay.core.flows.parse import parse_data, parse_flow
from interplay.core.flows.problems import InvalidFlow, in_order, render
from tests.unit.flows.checking import flow_of, problems_of, problems_of_example, read_file


def step(text: str) -> Step:
    parsed = parse_flow(flow_of(text), "f.yaml", read_file)
    assert [str(problem) for problem in parsed.problems] == []
    assert parsed.flow is not None
    return parsed.flow.steps["a"]


def policy(text: str) -> Policy:
    return step(f"a: {{http: 'http://x', {text}}}").policy


class TestShortForms:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("retry: 3", Policy(retry=Retry(max=3))),
            ("retry: {max: 2, backoff: 500ms, on: timeout}", Policy(retry=Retry(2, 0.5, 60.0, ("timeout",)))),
            ("retry: {on: [timeout]}", Policy(retry=Retry(3, on=("timeout",)))),
            ("timeout: 2s", Policy(timeout=Timeout(attempt=2.0))),
            ("timeout: {total: 1m, first_token: 5}", Policy(timeout=Timeout(total=60.0, first_token=5.0))),
            ("cache: 1d", Policy(cache=86400.0)),
            ("cache: 1h30m", Policy(cache=5400.0)),
            ("budget: {usd: 1}", Policy(budget=Budget(1.0))),
            ("limit: {key: k}", Policy(limit=Limit("k", 1))),
            ("on_error: continue", Policy(on_error=OnError("continue"))),
            ("on_error: {use: null}", Policy(on_error=OnError("use", None))),
            ("join: quorum(2)", Policy(join=Join("quorum", 2))),
            ("effect: true", Policy(effect="ask")),
            ("effect: fail", Policy(effect="fail")),
            ("effect: false", Policy()),
            ("when: true", Policy(when="true")),
            ("after: b", Policy(after=("b",))),
        ],
    )
    def test_of_policies_become_the_long_ones(self, text: str, expected: Policy) -> None:
        assert policy(text) == expected

    @pytest.mark.parametrize(
        ("text", "config"),
        [
            ("a: {wait: 5m}", {"for": 300.0}),
            ("a: {wait: {until: $inputs.any}}", {"until": "$inputs.any"}),
            ("a: {wait: {signal: paid, within: 1d, otherwise: {ok: false}}}",
             {"signal": "paid", "within": 86400.0, "otherwise": {"ok": False}}),
            ("a: {http: $inputs.question}", {"url": "$inputs.question"}),
            ("a: {approve: {within: 4h}}", {"within": 14400.0}),
            ("a: {loop: {carry: 0, steps: {}, update: 1, until: true, max: 2}}",
             {"carry": 0, "steps": {}, "update": 1, "until": "true", "max": 2}),
        ],
    )  # fmt: skip
    def test_of_kinds_become_the_long_ones(self, text: str, config: dict[str, Any]) -> None:
        parsed = parse_flow(flow_of(text), "f.yaml")
        assert parsed.flow is not None
        assert parsed.flow.steps["a"].config == config

    def test_a_prompt_file_becomes_its_text_and_part_of_the_identity(self) -> None:
        text = flow_of("a: {chat: {model: small, prompt: prompts/answer.md, with: {question: $inputs.question}}}")
        versions = set()
        for content in ("Answer {{ question }}.", "Reply to {{ question }}."):
            parsed = parse_flow(text, "f.yaml", lambda _, content=content: content)
            assert parsed.flow is not None
            assert parsed.flow.steps["a"].config["prompt"] == content
            versions.add(flow_version(parsed.flow))
        assert len(versions) == 2

    def test_text_that_only_looks_like_a_file_stays_text(self) -> None:
        assert (
            step("a: {chat: {model: small, prompt: Read notes.md please}}").config["prompt"] == "Read notes.md please"
        )


class TestJson:
    def test_the_same_flow_as_data_is_the_same_flow(self) -> None:
        data = {"flow": "f", "inputs": {"q": "string"}, "steps": {"a": {"set": {"x": "$inputs.q"}}}, "output": "$a.x"}
        text = "flow: f\ninputs: {q: string}\nsteps: {a: {set: {x: $inputs.q}}}\noutput: $a.x\n"
        from_data, from_text = parse_data(data).flow, parse_flow(text).flow
        assert from_data == from_text

    def test_problems_have_paths_where_there_are_no_lines(self) -> None:
        (problem,) = parse_data({"flow": "f", "steps": {"a": {"chatt": {}}}}).problems
        assert (problem.path, problem.place.line) == ("steps.a.chatt", 0)
        assert str(problem).startswith("flow: steps.a.chatt:")


class TestTable:
    @pytest.mark.parametrize("example", [kind.example for kind in KINDS.values() if kind.example])
    def test_each_example_of_a_kind_checks(self, example: str) -> None:
        assert problems_of_example(example) == []

    def test_an_example_that_names_nothing_is_no_example(self) -> None:
        assert problems_of_example("set: {x: $inputs.nothing}")

    def test_each_policy_has_a_reader_and_composing_ones_are_policies(self) -> None:
        assert frozenset(POLICIES) > COMPOSING_POLICIES
        for name in POLICIES:
            problems = problems_of(flow_of(f"a: {{set: {{x: 1}}, {name}: {{no: such}}}}"))
            assert problems
            assert all(problem.path.startswith(f"steps.a.{name}") for problem in problems)


class TestRender:
    def test_a_problem_shows_its_line_with_a_caret(self) -> None:
        text = "flow: f\nsteps:\n  a: {chatt: {model: small}}\n"
        (problem,) = problems_of(text)
        assert render(problem, text).splitlines()[-2:] == ["  3 |   a: {chatt: {model: small}}", "    |       ^"]

    def test_a_long_line_is_shown_around_the_place(self) -> None:
        text = "flow: f\nsteps: {" + "".join(f"a{i}: {{set: {{x: 1}}}}, " for i in range(50)) + "b: {sett: {x: 1}}}\n"
        (problem,) = problems_of(text)
        line, caret = render(problem, text).splitlines()[-2:]
        assert line[caret.index("^") :].startswith("sett")
        assert len(line) < 200

    def test_all_of_them_travel_with_the_error(self) -> None:
        problems = problems_of("flow: f\nsteps: {a: {sett: 1}, b: {chatt: 1}}")
        error = InvalidFlow(list(reversed(problems)))
        assert list(error.problems) == in_order(problems)
        assert "2 problems" in error.detail


WORDS = (
    "flow inputs steps output set chat map loop ensemble model models prompt with over as carry update until max when "
    "after join retry on_error use type enum schema fields labels text classify wait approve messages role content a b"
)
VALUES = (
    "$a.x|$inputs.q|$b|$item.y|${ a.x + 1 }|${ first(b.v, 2) }|x ${ a.x } y|${|$$x|$|small|string|true|quorum(1)|5m||"
    "a.x|{{ a }}|{% for x in inputs.q %}{{ x.y }}{% endfor %}|x.md|first(a.x, 1)|secret://k|carry > 1|http://x|vote|judge"
)
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.sampled_from([*VALUES.split("|"), None, True, 0, 1, -1, 2.5])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=15
)
IDS = st.sampled_from(["a", "b", "c", "judge", "item"])


def any_step(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A step of a kind that exists, with fields and policies that it may have, of values that mostly do not fit."""
    steps = st.dictionaries(IDS, inner, max_size=3)

    def of(kind: Kind) -> st.SearchStrategy[Any]:
        fields = {name: steps if spec.form is Form.STEPS else TREES for name, spec in kind.fields.items()}
        needed = {name: fields[name] for name, spec in kind.fields.items() if spec.required}
        rest = {name: value for name, value in fields.items() if name not in needed}
        own = st.fixed_dictionaries(needed, optional=rest) if fields else st.dictionaries(KEYS, TREES, max_size=3)
        return st.fixed_dictionaries({kind.name: own}, optional=dict.fromkeys(POLICIES, TREES))

    return st.sampled_from(list(KINDS.values())).flatmap(of)


FLOWS = st.fixed_dictionaries(
    {"flow": st.just("f"), "steps": st.dictionaries(IDS, st.recursive(TREES, any_step, max_leaves=6), max_size=3)},
    optional={"inputs": st.just({"q": "any"}) | TREES, "output": TREES, "deadline": LEAVES, "max_steps": LEAVES},
)


class TestNoise:
    @settings(max_examples=300, deadline=None)
    @given(TREES | FLOWS)
    def test_any_tree_is_a_flow_or_has_problems(self, data: Any) -> None:
        parsed = parse_data(data)
        if parsed.flow is None:
            assert parsed.problems
            return
        result = check_flow(parsed.flow, parsed.source, models={"small": "chat"}, flows={})
        assert isinstance(parsed.flow, Flow)
        assert (result.plan is None) == bool(result.problems)
        for problem in [*parsed.problems, *result.problems]:
            assert problem.message
            assert problem.code

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet=st.sampled_from(list("flow:steps{}[]$#'\"!&*|>-, \n\t${}abx01?")), max_size=120))
    def test_any_text_is_a_flow_or_has_problems(self, text: str) -> None:
        assert problems_of(f"flow: f\nsteps:\n  a: {text}\n") or problems_of(f"flow: f\nsteps:\n  a: {text}\n") == []
