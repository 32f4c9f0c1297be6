"""Which inputs a step reads: what a fork with other inputs may keep depends on it."""

from __future__ import annotations

import pytest

from interplay.core.flows.reads import inputs_read
from tests.unit.flows.checking import plan_of


def read(text: str) -> set[str] | None:
    found = inputs_read(plan_of(f"b: {{set: {{v: 1}}}}\na: {text}").root.steps["a"])
    return set(found) if found is not None else None


class TestInputsRead:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("{set: {x: 1}}", set()),
            ("{set: {x: $b.v}}", set()),
            ("{set: {x: $inputs.n, y: [$inputs.price]}}", {"n", "price"}),
            ("{set: {x: '$inputs.urls[0]'}}", {"urls"}),
            ("{set: {x: 'so ${ inputs.n + 1 } and ${ inputs.tier }'}}", {"n", "tier"}),
            ("{set: {x: '${ has(inputs.question) ? 1 : 0 }'}}", {"question"}),
            ("{set: {x: '${ first(inputs.question, inputs.tier) }'}}", {"question", "tier"}),
            ("{set: {x: '${ inputs.urls.map(u, u + inputs.tier) }'}}", {"urls", "tier"}),
            ("{set: {x: '${ inputs.urls.exists(u, u == inputs.question) }'}}", {"urls", "question"}),
            ("{set: {x: \"${ b.v == 1 ? 'inputs.n' : 'x' }\"}}", set()),
            ("{when: inputs.n > 1, set: {x: 1}}", {"n"}),
            ("{http: {url: 'http://x'}, limit: {key: $inputs.tier, concurrency: 1}}", {"tier"}),
            ("{http: {url: 'http://x'}, on_error: {use: $inputs.any}}", {"any"}),
            ("{chat: {model: small, prompt: '{{ inputs.question }} {{ inputs.tier | upper }}'}}", {"question", "tier"}),
            ("{chat: {model: small, prompt: \"{{ inputs.question | default('x') }}\"}}", {"question"}),
            ("{chat: {model: small, prompt: \"{{ inputs['tier'] }}\"}}", {"tier"}),
            ("{chat: {model: small, prompt: '{{ t }}', with: {t: $inputs.tier}}}", {"tier"}),
            ("{chat: {model: small, messages: [{role: user, content: '{{ inputs.n }}'}]}}", {"n"}),
            ("{map: {over: $inputs.urls, steps: {g: {http: $item}}, output: '${ g.status + inputs.n }'}}",
             {"urls", "n"}),
            ("{loop: {carry: 0, steps: {g: {set: {x: $inputs.n}}}, update: $g.x, until: inputs.price > 1.0, max: 2}}",
             {"n", "price"}),
            ("{cascade: {models: [small, large], prompt: '{{ inputs.question }}'}}", {"question"}),
            ("{flow: {name: other, inputs: {q: $inputs.question}}}", {"question"}),
        ],
    )  # fmt: skip
    def test_are_named_where_they_stand(self, text: str, names: set[str]) -> None:
        assert read(text) == names

    @pytest.mark.parametrize(
        "text",
        [
            "{set: {x: $inputs}}",
            "{set: {x: \"${ inputs['n'] }\"}}",
            "{set: {x: '${ inputs.size() + inputs.n }'}}",
            "{set: {x: '${ inputs[inputs.tier] }'}}",
            "{chat: {model: small, prompt: '{{ inputs | tojson }}'}}",
            "{chat: {model: small, prompt: '{{ inputs[inputs.tier] }}'}}",
            "{chat: {model: small, prompt: '{% for name in inputs %}{{ name }}{% endfor %}'}}",
            "{chat: {model: small, prompt: '{{ all.n }}', with: {all: $inputs}}}",
        ],
    )
    def test_count_as_all_where_nobody_can_say(self, text: str) -> None:
        assert read(text) is None
