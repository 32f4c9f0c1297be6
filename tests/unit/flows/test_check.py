"""Everything that can be wrong with a flow: told once, at its place, with what was expected and what may be meant."""

from __future__ import annotations

import pytest

from tests.unit.flows.checking import check_steps, problems_of

TEN_MISTAKES = """\
flow: support-answer
inputs:
  question: strng
  tier: {enum: [free, pro], default: gold}
steps:
  intent:
    clasify: {text: $inputs.question, labels: [billing, bug]}
  rank:
    rerank: {query: $inputs.qestion, documents: [a, b], keep: 8}
  polish:
    loop:
      carry: {n: 0}
      steps: {better: {set: {y: $carry.n}}}
      update: {n: "${ carry.n + 1.5 }"}
      max: 3
  reply:
    when: ${ intent.label == "billing" ? true : false }
    chat: {model: smal, prompt: "Hi {{ nme }}"}
    retry: many
output:
  answer: $replay.text
  label: "${ first(intent.label, 'none') }"
"""


class TestTenMistakes:
    def test_show_ten_errors_each_at_its_place(self) -> None:
        found = [(problem.place.line, problem.place.column, problem.code) for problem in problems_of(TEN_MISTAKES)]
        assert found == [
            (3, 13, "type"),
            (4, 38, "type"),
            (7, 5, "unknown_key"),
            (9, 21, "reference"),
            (14, 31, "expression"),
            (17, 11, "yaml_expression"),
            (18, 19, "model"),
            (18, 33, "template"),
            (19, 12, "policy"),
            (21, 11, "reference"),
        ]

    def test_each_says_what_to_do(self) -> None:
        for problem in problems_of(TEN_MISTAKES):
            advice = " ".join(filter(None, (problem.message, problem.expected, problem.suggestion)))
            assert any(word in advice for word in ("expected", "Did you mean", "write", "Write", "one of", "a count"))


class TestOneProblemEach:
    """One mistake, one problem: (steps, code, what the problem says)."""

    @pytest.mark.parametrize(
        ("steps", "code", "words"),
        [
            # keys and kinds
            ("a: {chat: {model: small, promt: hi}}", "unknown_key", "Did you mean 'prompt'?"),
            ("a: {chat: {modl: small, prompt: hi}}", "unknown_key", "Did you mean 'model'?"),
            ("a: {set: {x: 1}, retries: 3}", "unknown_key", "Did you mean 'retry'?"),
            ("a: {}", "kind", "the step has no kind"),
            ("a: 5", "shape", "the number 5 stands here"),
            ("a:", "shape", "nothing stands here"),
            ("a: {set: {x: 1}, http: {url: 'http://x'}}", "kind", "2 kinds: set, http"),
            ("a: {retrieve: {collection: docs}}", "kind", "comes with a later version"),
            ("my-step: {set: {x: 1}}", "id", "Call it 'my_step'"),
            ("inputs: {set: {x: 1}}", "id", "reserved"),
            ("loop: {set: {x: 1}}", "id", "reserved"),
            # fields
            ("a: {chat: {model: small}}", "missing", "exactly one of prompt, messages"),
            ("a: {chat: {model: small, prompt: a, messages: [{role: user, content: b}]}}", "too_many", "prompt"),
            ("a: {chat: small}", "shape", "the fields of chat"),
            ("a: {chat: {model: small, prompt: x, temperature: hot}}", "type", "Expected a number"),
            ("a: {chat: {model: small, prompt: x, schema: {type: objct}}}", "value", "no type of JSON Schema"),
            ("a: {chat: {model: small, messages: [{role: usr, content: hi}]}}", "value", "'usr' is no role"),
            ("a: {chat: {model: small, prompt: none.md}}", "file", "No such file"),
            ("a: {chat: {model: small, prompt: ../x.md}}", "file", "beside the flow"),
            ("a: {chat: {model: small, prompt: broken.md}}", "template", "line 1"),
            ("a: {classify: {text: $inputs.question}}", "value", "needs labels"),
            ("a: {classify: {text: $inputs.question, labels: [a]}}", "value", "two or more"),
            ("a: {classify: {text: $inputs.question, labels: [a, a]}}", "value", "twice"),
            ("a: {classify: {text: $inputs.question, labels: [a, 1]}}", "type", "Expected a string"),
            ("a: {classify: {text: 5, labels: [a, b]}}", "type", "Expected a string"),
            ("a: {embed: {model: minilm, texts: hello}}", "type", "Write [hello]."),
            ("a: {http: {url: example.com/x}}", "value", "Did you mean 'https://example.com/x'?"),
            ("a: {http: {url: 'http://x', method: get}}", "value", "Did you mean 'GET'?"),
            ("a: {approve: {who: bob}}", "type", "Write [bob]."),
            ("a: {approve: {otherwise: reject}}", "value", "without `within`"),
            ("a: {approve: {within: 4 hours}}", "duration", "such as 500ms"),
            ("a: {approve: {fields: {x: strng}}}", "value", "did you mean 'string'?"),
            ("a: {wait: {until: tomorrow}}", "value", "2030-01-31T12:00:00Z"),
            ("a: {wait: {for: 5m, within: 1d}}", "value", "Use `for`"),
            ("a: {emit: {url: 'http://x'}}", "missing", "emit needs 'value'"),
            ("a: {flow: {name: x, channel: prod, version: abc}}", "too_many", "channel and version"),
            # secrets
            ("a: {http: {url: 'http://x', body: secret://k}}", "secret", "headers of http or emit"),
            ("a: {set: {x: {y: [secret://k]}}}", "secret", "headers of http or emit"),
            ("a: {chat: {model: small, prompt: 'use secret://k'}}", "secret", "headers of http or emit"),
            # models
            ("a: {chat: {model: smal, prompt: x}}", "model", "Did you mean 'small'?"),
            ("a: {embed: {model: small, texts: [x]}}", "model", "Expected a model for embed"),
            ("a: {ensemble: {models: [small, larg], prompt: x}}", "model", "Did you mean 'large'?"),
            # references and types
            ("a: {set: {x: $inputs.questio}}", "reference", "Did you mean $inputs.question?"),
            ("a: {set: {x: $inputs.question.y}}", "reference", "is a string, so it has no field 'y'"),
            ("a: {set: {x: '$inputs.n[0]'}}", "reference", "is an integer, so it has no [0]"),
            ("a: {set: {x: $b.x}}", "reference", "no step or name 'b'"),
            ("a: {set: {x: $5.00}}", "reference", "begin it with $$"),
            ("a: {set: {x: $inputs.question and more}}", "reference", "only '$inputs.question' is"),
            ("a: {set: {x: 'costs ${ inputs.n'}}", "reference", "never closed"),
            ("a: {set: {x: '${ }'}}", "expression", "empty"),
            ("a: {set: {x: '${ inputs.n + 1.5 }'}}", "expression", "write `1.0`, or `double(x)`"),
            ("a: {set: {x: 'n: ${ inputs.m }'}}", "expression", "no field 'm'"),
            ("a: {set: {x: 1}, when: inputs.n}", "type", "`inputs.n` is an integer. Expected a boolean"),
            ("a: {map: {over: $inputs.question, steps: {b: {set: {v: 1}}}, output: $b.v}}", "type", "Expected a list"),
            ("a: {chat: {model: small, prompt: '{{ inputs.questoin }}'}}", "template", "Did you mean inputs.question?"),
            ("a: {chat: {model: small, prompt: '{{ b }}'}}\nb: {set: {x: 1}}", "template", "Add `with: {b: $b}`"),
            # cycles
            ("a: {set: {x: $a.x}}", "cycle", "a refers to itself"),
            ("a: {set: {x: 1}, after: a}", "cycle", "a refers to itself"),
            ("a: {set: {x: $b.x}}\nb: {set: {y: $c.x}}\nc: {set: {z: '${ a.x }'}}", "cycle", "a → b → c → a"),
            # policies
            ("a: {set: {x: 1}, after: [b]}", "reference", "no step or name 'b'"),
            ("a: {set: {x: 1}, join: most}", "policy", "quorum(n)"),
            ("a: {set: {x: 1}, join: quorum(3)}", "policy", "can never be reached"),
            ("a: {http: 'http://x', retry: -1}", "policy", "0 to 100"),
            ("a: {http: 'http://x', retry: {max: 3, on: [timeot]}}", "policy", "timeout"),
            ("a: {http: 'http://x', timeout: soon}", "policy", "such as 500ms"),
            ("a: {http: 'http://x', timeout: {attempt: 5s, total: 1s}}", "policy", "longer than all"),
            ("a: {set: {x: 1}, cache: yes}", "policy", "such as 500ms"),
            ("a: {set: {x: 1}, budget: 5}", "policy", "{usd: …}"),
            ("a: {set: {x: 1}, limit: {key: k, concurrency: 0}}", "policy", "1 or more"),
            ("a: {set: {x: 1}, on_error: ignore}", "policy", "{use: value}"),
            ("a: {http: 'http://x', on_error: {use: nothing}}", "type", "Expected an object"),
            ("a: {set: {x: 1}, stream: true}", "policy", "nothing to stream"),
            ("a: {set: {x: 1}, pool: 'Big Pool'}", "policy", "pool of workers"),
            ("a: {http: 'http://x', effect: perhaps}", "policy", "retry, fail, ask"),
            ("a: {map: {over: [], steps: {b: {set: {v: 1}}}, output: 1}, retry: 3}", "policy", "on the steps inside"),
            # composing kinds
            ("a: {map: {over: $inputs.urls, steps: {}, output: 1}}", "value", "no steps inside"),
            ("a: {map: {over: $inputs.urls, steps: {b: {set: {v: 1}}}}}", "missing", "map needs 'output'"),
            ("a: {map: {over: [], steps: {b: {set: {v: $itm}}}, output: 1}}", "reference", "Did you mean 'item'?"),
            ("a: {map: {over: [], steps: {b: {set: {v: $b.x}}}, output: 1}}", "cycle", "b refers to itself"),
            ("a: {map: {over: [], as: inputs, steps: {b: {set: {v: 1}}}, output: 1}}", "id", "already a name"),
            ("a: {loop: {carry: {n: 0}, steps: {s: {set: {v: 1}}}, update: {n: 1}}}", "missing", "go on for ever"),
            ("a: {loop: {carry: {n: 0}, steps: {s: {set: {v: 1}}}, update: {n: x}, max: 3}}", "type", "like `carry`"),
            ("a: {loop: {carry: {n: 0, m: 1}, steps: {s: {set: {v: 1}}}, update: {n: 1}, max: 3}}", "type", "'m'"),
            ("a: {loop: {carry: 0, steps: {s: {set: {v: 1}}}, update: 1, until: carry, max: 3}}", "type", "a boolean"),
            ("a: {loop: {carry: 0, steps: {s: {set: {v: 1}}}, update: 1, max: 99999}}", "value", "1 to 10,000"),
            ("a: {ensemble: {models: [small, small], prompt: x}}", "value", "twice"),
            ("a: {ensemble: {models: [small, large], prompt: '{{ x }}'}}", "template", "'x'"),
            ("a: {ensemble: {models: [small]}}", "missing", "need a prompt"),
            ("a: {ensemble: {models: [small], prompt: x, quorum: 2}}", "value", "at most 1"),
            ("a: {ensemble: {models: [small], prompt: x, combine: judge}}", "missing", "judge's model"),
            ("a: {ensemble: {models: [small], prompt: x, combine: judg}}", "value", "Did you mean 'judge'?"),
            ("a: {ensemble: {steps: {b: {set: {v: 1}}}, answer: w}}", "reference", "b gives no 'w'"),
            ("a: {ensemble: {steps: {b: {set: {v: 1}}}, prompt: x, answer: v}}", "unknown_key", "with `models`"),
            ("a: {cascade: {models: [small], prompt: x, accept: confidence}}", "type", "a boolean"),
            ("a: {cascade: {models: [small], prompt: x, accept: confidance > 0.5}}", "expression", "'confidence'"),
            ("a: {cascade: {steps: {b: {set: {v: 1}}, c: {set: {w: $b.v}}}}}", "reference", "no step or name 'b'"),
            ("a: {race: {}}", "missing", "exactly one of models, steps"),
        ],
    )  # fmt: skip
    def test_is_told(self, steps: str, code: str, words: str) -> None:
        problems = check_steps(steps)
        assert [problem.code for problem in problems] == [code], [str(problem) for problem in problems]
        assert words in str(problems[0])
        assert problems[0].place.line >= 10
        assert problems[0].path.startswith("steps")


class TestPlace:
    @pytest.mark.parametrize(
        ("step", "column"),
        [
            ("a: {set: {x: '${ inputs.n + 1.5 }'}}", 29),
            ('a: {set: {x: "n: ${ inputs.m }"}}', 23),
            ("a: {set: {x: 1}, when: inputs.n > 'a'}", 35),
            ("a: {loop: {carry: 0, steps: {s: {set: {v: 1}}}, update: 1}}", 7),
            ("a: {http: {url: 'http://x', methd: GET}}", 31),
        ],
    )
    def test_is_that_of_the_mistake_itself(self, step: str, column: int) -> None:
        (problem,) = check_steps(step)
        assert (problem.place.line, problem.place.column) == (10, column)


class TestKnockOn:
    def test_a_step_that_cannot_be_read_still_exists(self) -> None:
        problems = check_steps(
            "a: {chatt: {model: small}}\n"
            "b: {set: {x: $a.text}, when: a.text != ''}\n"
            "c: {set: {x: 1}, after: [a]}\n"
            "d: {map: {over: $a.list, steps: {e: {set: {y: $a.z}}}, output: $e.y}}",
            "$a.text",
        )
        assert [problem.code for problem in problems] == ["unknown_key"]

    def test_an_input_of_no_type_still_exists(self) -> None:
        flow = "flow: f\ninputs: {a: strng}\nsteps: {b: {set: {x: '${ inputs.a + 1 }'}}}"
        assert [problem.code for problem in problems_of(flow)] == ["type"]


class TestAbsence:
    CONDITIONAL = "a: {set: {v: 1}, when: inputs.n > 1}\nb: {set: {v: 2}}\n"

    def test_an_output_needs_a_value_in_any_case(self) -> None:
        (problem,) = check_steps(self.CONDITIONAL, "{x: $b.v, y: $a.v}")
        assert (problem.code, problem.path) == ("absent", "output.y")
        assert "a has a condition" in problem.message

    def test_what_depends_on_a_condition_is_conditional(self) -> None:
        (problem,) = check_steps(self.CONDITIONAL + "c: {set: {w: $a.v}}", "$c.w")
        assert "it needs a, which has a condition" in problem.message

    def test_a_step_that_may_fail_and_go_on_is_conditional(self) -> None:
        (problem,) = check_steps("a: {http: 'http://x', on_error: continue}", "$a.body")
        assert "may fail and the run goes on" in problem.message

    @pytest.mark.parametrize(
        "output", ["'${ first(a.v, b.v) }'", "'${ has(a.v) ? a.v : 0 }'", "'${ a.?v.orValue(0) }'"]
    )
    def test_an_else_value_is_enough(self, output: str) -> None:
        assert check_steps(self.CONDITIONAL, output) == []

    def test_a_fallback_is_enough(self) -> None:
        assert check_steps("a: {set: {v: 1}, on_error: {use: {v: 0}}}", "$a.v") == []

    @pytest.mark.parametrize("join", ["any", "first", "quorum(1)", "all_settled"])
    def test_a_join_that_goes_on_without_needs_tolerant_references(self, join: str) -> None:
        problems = check_steps(self.CONDITIONAL + f"c: {{join: {join}, set: {{w: $a.v, z: $b.v}}}}")
        assert [problem.code for problem in problems] == ["absent", "absent"]
        assert check_steps(self.CONDITIONAL + f"c: {{join: {join}, set: {{w: '${{ first(a.v, b.v) }}'}}}}") == []

    def test_a_map_whose_items_may_be_missing_says_so(self) -> None:
        steps = "m: {map: {over: $inputs.urls, steps: {b: {set: {v: 1}, when: index > 1}}, output: $b.v%s}}"
        assert [problem.code for problem in check_steps(steps % "")] == ["absent"]
        assert check_steps(steps % ", on_item_error: drop") == []


class TestTypesFlow:
    @pytest.mark.parametrize(
        ("steps", "words"),
        [
            ("a: {set: {n: 5}}\nb: {set: {x: '${ a.n + \"x\" }'}}", "(integer, string)"),
            ("a: {http: 'http://x'}\nb: {set: {x: 1}, when: a.status == 'ok'}", "(integer, string)"),
            ("a: {chat: {model: small, prompt: x}}\nb: {set: {x: '${ a.text + 1 }'}}", "(string, integer)"),
            (
                "a: {chat: {model: small, prompt: x, schema: {type: object, properties: {ok: {type: boolean}}}}}\n"
                "b: {set: {x: 1}, when: a.json.okay}",
                "did you mean a.json.ok?",
            ),
            (
                "a: {map: {over: $inputs.urls, steps: {b: {set: {n: 1}}}, output: $b.n}}\n"
                "c: {set: {x: '${ a.items[0] + \"x\" }'}}",
                "(integer, string)",
            ),
            (
                "a: {loop: {carry: {n: 0}, steps: {s: {set: {v: 1}}}, update: {n: 1}, max: 2}}\n"
                "b: {set: {x: $a.carry.m}}",
                "has no field 'm'",
            ),
            ("a: {race: {steps: {b: {http: 'http://x'}}}}\nc: {set: {x: $a.output.stat}}", "has no field 'stat'"),
            (
                "a: {embed: {model: minilm, texts: [x]}}\nb: {classify: {text: $a.vectors, labels: [a, b]}}",
                "is a list of lists of numbers",
            ),
            ("a: {map: {over: $inputs.urls, steps: {b: {set: {n: '${ item + 1 }'}}}, output: 1}}", "(string, integer)"),
        ],
    )  # fmt: skip
    def test_through_references(self, steps: str, words: str) -> None:
        (problem,) = check_steps(steps)
        assert words in str(problem)


class TestOtherFlows:
    FLOWS = {"triage": ["text", "lang"]}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            ("{name: triag}", "Did you mean 'triage'?"),
            ("{name: triage, inputs: {txt: a}}", "Did you mean 'text'?"),
        ],
    )
    def test_are_known_by_name_and_inputs(self, call: str, words: str) -> None:
        (problem,) = check_steps(f"a: {{flow: {call}}}", flows=self.FLOWS)
        assert words in str(problem)

    def test_unknown_ones_are_left_alone_when_nobody_knows(self) -> None:
        assert check_steps("a: {flow: {name: other}}\nb: {chat: {model: other, prompt: x}}", models=None) == []


class TestFlowItself:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("flow: f", "the flow has no steps"),
            ("steps: {a: {set: {x: 1}}}", "the flow has no name"),
            ("flow: My Flow\nsteps: {a: {set: {x: 1}}}", "lower-case"),
            ("flow: f\nstep: {}\nsteps: {a: {set: {x: 1}}}", "Did you mean 'steps'?"),
            ("flow: f\nsteps: [a]", "a mapping of steps"),
            ("flow: f\nsteps: {}", "the flow has no steps"),
            ("just text", "this is not a flow"),
            ("[]", "this is not a flow"),
            ("", "this is not a flow"),
            ("flow: f\nabout: [1]\nsteps: {a: {set: {x: 1}}}", "text"),
            ("flow: f\nmax_steps: 0\nsteps: {a: {set: {x: 1}}}", "1 to 1,000,000"),
            ("flow: f\ndeadline: soon\nsteps: {a: {set: {x: 1}}}", "such as 500ms"),
            ("flow: f\ninputs: {a: {type: string, defualt: b}}\nsteps: {a: {set: {x: 1}}}", "Did you mean 'default'?"),
            ("flow: f\ninputs: {a: {enum: []}}\nsteps: {a: {set: {x: 1}}}", "at least one value"),
            ("flow: f\ninputs: {my-a: string}\nsteps: {a: {set: {x: 1}}}", "Call it 'my_a'"),
        ],
    )
    def test_is_told(self, text: str, words: str) -> None:
        (problem,) = problems_of(text)
        assert words in str(problem)
