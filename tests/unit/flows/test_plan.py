"""From the IR to a plan: what depends on what, what executors are given, what composing kinds become."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.flows.canonical import from_bytes, to_bytes
from interplay.core.flows.compile import compile_flow
from interplay.core.flows.ir import Flow, Step
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.plan import ABSENT, BranchesPlan, LoopPlan, MapPlan, StepPlan, SubflowPlan
from interplay.core.flows.problems import InvalidFlow
from interplay.core.flows.values import SecretText
from tests.unit.flows.checking import flow_of, plan_of

INPUTS = {"question": "why?", "tier": "free", "n": 1, "price": 1.0, "urls": ["u"], "any": None}


def step(text: str) -> StepPlan:
    return plan_of(f"a: {text}").root.steps["a"]


def arguments(text: str, **names: Any) -> dict[str, Any]:
    plan = step(text)
    return {name: value.evaluate({"inputs": INPUTS, **names}) for name, value in plan.values.items()}


class TestArguments:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{set: {x: $inputs.n, y: {z: [1]}}}", {"value": {"x": 1, "y": {"z": [1]}}}),
            ("{http: {url: 'http://x', body: {q: $inputs.question}}}", {"url": "http://x", "body": {"q": "why?"}}),
            (
                "{chat: {model: small, system: Be., prompt: '{{ q }} {{ inputs.n }}', with: {q: $inputs.question}}}",
                {"model": "small", "system": "Be.", "prompt": "why? 1"},
            ),
            (
                "{chat: {model: small, messages: [{role: user, content: '{{ inputs.question }}'}], max_tokens: 5}}",
                {"model": "small", "messages": [{"role": "user", "content": "why?"}], "max_tokens": 5},
            ),
            (
                "{classify: {text: $inputs.question, labels: [a, b]}}",
                {"model": "zero-shot", "text": "why?", "labels": ["a", "b"]},
            ),
            (
                "{rerank: {query: q, documents: $inputs.urls, keep: 1}}",
                {"model": "rerank", "query": "q", "documents": ["u"], "keep": 1},
            ),
            ("{embed: {model: minilm, texts: $inputs.urls}}", {"model": "minilm", "texts": ["u"]}),
            ("{wait: 5m}", {"for": 300.0}),
            ("{wait: {signal: paid, within: 1d, otherwise: null}}",
             {"signal": "paid", "within": 86400.0, "otherwise": None}),
            ("{approve: {who: [ann], show: $inputs.question, within: 4h, otherwise: fail}}",
             {"who": ["ann"], "show": "why?", "within": 14400.0, "otherwise": "fail"}),
            ("{emit: {url: 'http://x', value: $inputs.n, headers: {A: secret://k}}}",
             {"url": "http://x", "value": 1, "headers": {"A": SecretText("secret://k")}}),
            ("{flow: {name: other, inputs: {q: $inputs.question}}}", {"inputs": {"q": "why?"}}),
        ],
    )  # fmt: skip
    def test_are_the_fields_evaluated(self, text: str, expected: dict[str, Any]) -> None:
        assert arguments(text) == expected


class TestDependencies:
    def test_a_reference_is_an_edge_wherever_it_stands(self) -> None:
        plan = plan_of(
            "a: {set: {v: 1}}\n"
            "b: {set: {v: 1}}\n"
            "free: {set: {v: 1}}\n"
            "in_value: {set: {x: {y: [$a.v]}}}\n"
            "in_text: {set: {x: 'is ${ a.v }'}}\n"
            "in_when: {set: {x: 1}, when: a.v > 1}\n"
            "in_with: {chat: {model: small, prompt: '{{ x }}', with: {x: $a.v}}}\n"
            "in_limit: {set: {x: 1}, limit: {key: 'k${ a.v }', concurrency: 1}}\n"
            "in_fallback: {set: {x: 1}, on_error: {use: {x: $a.v}}}\n"
            "in_after: {set: {x: 1}, after: [a]}\n"
            "in_map: {map: {over: $inputs.urls, steps: {s: {set: {y: $a.v}}}, output: $b.v}}\n"
            "in_loop: {loop: {carry: $a.v, steps: {s: {set: {y: 1}}}, update: 1, until: carry > b.v, max: 2}}\n"
            "in_accept: {cascade: {models: [small], prompt: x, accept: confidence > double(a.v)}}\n"
        )
        needs = {name: set(step.needs) for name, step in plan.root.steps.items()}
        assert needs["free"] == set()
        assert needs["in_map"] == needs["in_loop"] == {"a", "b"}
        others = {name: need for name, need in needs.items() if name.startswith("in_")} | {
            "in_map": {"a"},
            "in_loop": {"a"},
        }
        assert set(map(frozenset, others.values())) == {frozenset({"a"})}
        assert set(plan.root.dependents["b"]) == {"in_map", "in_loop"}

    def test_texts_and_fields_that_look_like_steps_are_no_edges(self) -> None:
        plan = plan_of(
            "a: {set: {b: 1, x: '${ \"b.v\" + string({\"b\": 1}.b) }', y: 'see $b.v'}}\n"
            "b: {chat: {model: small, prompt: 'say ${ a.v } and $a'}}"
        )
        assert plan.root.steps["a"].needs == plan.root.steps["b"].needs == frozenset()

    def test_absence_is_tolerated_only_where_every_reference_tolerates_it(self) -> None:
        plan = plan_of(
            "a: {set: {v: 1}}\n"
            "b: {set: {x: '${ first(a.v, 0) }'}}\n"
            "c: {set: {x: '${ first(a.v, 0) }', y: $a.v}}\n"
            "d: {set: {x: '${ first(a.v, 0) }'}, after: [a]}\n"
            "e: {chat: {model: small, prompt: '{{ x }}', with: {x: '${ has(a.v) ? a.v : 0 }'}}}"
        )
        assert {name: set(step.tolerates) for name, step in plan.root.steps.items()} == {
            "a": set(), "b": {"a"}, "c": set(), "d": set(), "e": {"a"},
        }  # fmt: skip
        absent = {"inputs": INPUTS, "a": ABSENT}
        assert plan.root.steps["b"].values["value"].evaluate(absent) == {"x": 0}
        assert plan.root.steps["e"].values["prompt"].evaluate(absent) == "0"


class TestFallback:
    @pytest.mark.parametrize(
        ("text", "result"),
        [
            ("{http: 'http://x', on_error: {use: {status: 0, body: $inputs.n}}}", {"status": 0, "body": 1}),
            ("{chat: {model: small, prompt: x}, on_error: {use: Sorry.}}", {"text": "Sorry."}),
            (
                "{rerank: {query: q, documents: $inputs.urls}, on_error: {use: $inputs.urls}}",
                {"documents": ["u"]},
            ),
            ("{cascade: {models: [small], prompt: x}, on_error: {use: Sorry.}}", {"text": "Sorry."}),
            ("{set: {x: 1}, on_error: {use: $inputs.any}}", None),
        ],
    )
    def test_stands_for_the_result_or_for_its_first_field(self, text: str, result: Any) -> None:
        made = step(text).fallback
        assert made is not None
        assert made.evaluate({"inputs": INPUTS}) == result


class TestComposingKinds:
    def test_a_map_binds_its_item_and_index(self) -> None:
        made = step(
            "{map: {over: $inputs.urls, as: url, steps: {get: {http: {url: $url}}}, output: $get.body}}"
        ).composite
        assert isinstance(made, MapPlan)
        assert (made.as_name, made.on_item_error, made.concurrency) == ("url", "fail", None)
        assert made.over.evaluate({"inputs": INPUTS}) == ["u"]
        assert made.body.steps["get"].values["url"].evaluate({"url": "http://x", "index": 0}) == "http://x"
        assert made.body.output is not None
        assert made.body.output.evaluate({"get": {"body": "text"}}) == "text"

    @pytest.mark.parametrize("written", ["null", '"null"', "~"])
    def test_a_map_that_gives_null_for_failed_items_may_say_so_as_yaml_does(self, written: str) -> None:
        inner = "over: $inputs.urls, steps: {g: {set: {v: $item}}}, output: $g.v"
        made = step(f"{{map: {{{inner}, on_item_error: {written}}}}}").composite
        assert isinstance(made, MapPlan)
        assert made.on_item_error == "null"

    def test_a_loop_carries_its_value_on(self) -> None:
        made = step(
            "{loop: {carry: {n: 0}, steps: {s: {set: {m: '${ carry.n + index }'}}}, update: {n: $s.m},"
            " until: carry.n >= inputs.n, max: 3}}"
        ).composite
        assert isinstance(made, LoopPlan)
        assert made.max == 3
        assert made.carry.evaluate({}) == {"n": 0}
        assert made.body.steps["s"].values["value"].evaluate({"carry": {"n": 1}, "index": 1}) == {"m": 2}
        assert made.until is not None
        assert made.until.evaluate({"carry": {"n": 1}, "inputs": INPUTS}) is True

    def test_models_become_a_chat_each_in_their_order(self) -> None:
        made = step("{cascade: {models: [large, small], prompt: hi, accept: confidence > 0.5}}").composite
        assert isinstance(made, BranchesPlan)
        assert [(name, branch.kind) for name, branch in made.body.steps.items()] == [
            ("large", "chat"),
            ("small", "chat"),
        ]
        assert made.body.steps["large"].values["model"].evaluate({}) == "large"
        assert made.accept is not None
        assert made.accept.evaluate({"confidence": 1}) is True

    def test_branches_do_not_wait_for_each_other(self) -> None:
        made = step("{race: {steps: {b: {set: {x: $inputs.n}}, c: {set: {x: 1}}}}}").composite
        assert isinstance(made, BranchesPlan)
        assert made.body.dependents == {}

    def test_a_judge_sees_the_answers(self) -> None:
        made = step("{ensemble: {models: [small, large], prompt: hi, combine: judge, judge: large}}").composite
        assert isinstance(made, BranchesPlan)
        assert made.judge is not None
        assert "small" in made.judge.values["prompt"].evaluate({"answers": {"small": "x"}, "inputs": INPUTS})
        assert made.judge.values["schema"].evaluate({})["properties"]["winner"]["enum"] == ["small", "large"]

    def test_another_flow_is_named_with_its_channel(self) -> None:
        made = step("{flow: {name: other, channel: prod}}").composite
        assert made == SubflowPlan("other", "prod", None)


class TestCompileFlow:
    def test_what_comes_back_from_its_bytes_compiles_to_the_same(self) -> None:
        text = flow_of("a: {map: {over: $inputs.urls, steps: {s: {set: {y: $item}}}, output: $s.y}}", "$a.items")
        parsed = parse_flow(text)
        assert parsed.flow is not None
        plan = compile_flow(from_bytes(to_bytes(parsed.flow)), "v1")
        assert plan.version == "v1"
        assert plan.root.output is not None
        assert plan.root.output.evaluate({"a": {"items": [1]}}) == [1]
        assert (plan.deadline, plan.max_steps) == (86_400.0, 10_000)

    def test_an_ir_with_problems_is_refused_with_all_of_them(self) -> None:
        flow = Flow("f", {"a": Step("set", {"x": "$b.y"}), "c": Step("set", {"x": "${ 1 + }"})})
        with pytest.raises(InvalidFlow) as wrong:
            compile_flow(flow)
        assert [problem.path for problem in wrong.value.problems] == ["steps.a.set.x", "steps.c.set.x"]
