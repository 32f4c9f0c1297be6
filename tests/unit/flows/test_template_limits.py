"""Nothing that a template can say goes on for long between two looks at the clock."""

from __future__ import annotations

import time
from typing import Any

import pytest

from interplay.core.failures import StepFailure
from interplay.core.flows.template_meter import MOST_SECONDS
from interplay.core.flows.templates import TemplateProblem, compile_template

MANY = list(range(100_000))
TWINS = "{% set a = [1, 1] %}{% set b = [1, 1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 28
PAIRS = "{% set p = (1, 1) %}" + "{% set p = (p, p) %}" * 28
KEYS = "{% set p = 'k' %}" + "{% set p = {p: p} | items | first %}" * 28


def rendered(source: str, **names: Any) -> str:
    return compile_template(source).render(names)


def refused(source: str, **names: Any) -> str:
    with pytest.raises(StepFailure) as failed:
        rendered(source, **names)
    assert failed.value.failure.code == "expression"
    return failed.value.failure.detail


class TestBetweenTwoLooks:
    """Each is refused after little processor time; left alone, each would take from ten seconds to for ever."""

    @pytest.mark.parametrize(
        "source",
        [
            "{{ xs | select('in', xs) | list | length }}",
            "{{ xs | reject('in', xs) | list | length }}",
            "{{ ds | selectattr('n', 'in', xs) | list | length }}",
            "{{ ds | rejectattr('n', 'in', xs) | list | length }}",
            "{% for x in xs if x not in ys %}{% endfor %}",
            "{% for x in xs if x < 0 %}{% endfor %}" * 100,
            "{% for i in range(9999) %}{% if 'z' in xs %}{% endif %}{% endfor %}",
            "{% for i in range(9999) %}{% if [xs] in [ys, ys] %}{% endif %}{% endfor %}",
            "{{ xs" + " | map('default', 1)" * 100 + " | list | length }}",
            "{{ ls | sum(start=[]) | length }}",
            "{{ [" + "x," * 15_000 + "] | sort | length }}",
            "{{ [" + "x," * 15_000 + "] | unique | list | length }}",
            "{{ [" + "x," * 15_000 + "] | max | length }}",
            "{% set big = [" + "x," * 15_000 + "] %}{{ x ~ 'b' in big }}",
            "{{ ds | map(attribute=long) | list | length }}",
            "{{ ds | sort(attribute=long) | length }}",
            "{{ x | trim(y) }}",
            "{{ 1.5 | round(10 ** 9, 'ceil') }}{{ 1 / 0 }}",
            "{{ 15 | round(-(10 ** 9)) }}{{ 1 / 0 }}",
            "{{ hex | int(0, 16) % (half | int(0, 16)) }}{{ 1 / 0 }}",
            "{{ '%999999999d' is odd }}",
            "{{ '%999999999d' is divisibleby 3 }}",
            "{% set y %}{{ x }}{{ x }}{% endset %}" + "{% set y %}{{ y }}{{ y }}{% endset %}" * 12,
            "{% filter upper %}{% for i in range(9999) %}{{ x }}{% endfor %}{% endfilter %}",
            "{% set y %}{% for i in range(99999) %}" + "z" * 10_000 + "{% endfor %}{% endset %}",
            "".join(f"{{% set a{i} = xs[:] %}}" for i in range(1_900)),
            "".join(f"{{% set a{i} = x[1:] %}}" for i in range(1_900)),
            "{{ [" + "{x: 1}," * 3_000 + "] | tojson | length }}",
            TWINS + "{{ a == b }}",
            TWINS + "{{ a < b }}",
            TWINS + "{{ a in [b] }}",
            TWINS + "{{ [a] | select('eq', b) | list | length }}",
            TWINS + "{{ [a, b] | sort | length }}",
            TWINS + "{{ [a, b] | min }}",
            TWINS + "{{ a | string | length }}",
            TWINS + "{{ a | upper | length }}",
            TWINS + "{{ a is lower }}",
            TWINS + "{{ a | tojson(indent=8) | length }}",
            PAIRS + "{{ {p: 1} }}",
            PAIRS + "{{ p in {} }}",
            PAIRS + "{{ [p] | unique | length }}",
            PAIRS + "{{ ds[0][p] }}",
            KEYS + "{{ {p: 1} }}",
        ],
    )
    def test_it_is_refused_soon(self, source: str) -> None:
        names = {
            "xs": MANY,
            "ys": [-1, *MANY],
            "ds": [{"n": n} for n in range(50_000)],
            "ls": [[n] for n in range(100_000)],
            "x": "a" * 1_000_000,
            "y": "b" * 1_000_000 + "a",
            "long": "n" + ".a" * 500_000,
            "hex": "f" * 3_000_000,
            "half": "f" * 1_500_000,
        }
        template = compile_template(source)
        began = time.thread_time()
        with pytest.raises(StepFailure) as failed:
            template.render(names)
        assert failed.value.failure.code == "expression"
        assert time.thread_time() - began < 3 * MOST_SECONDS


class TestHonestTemplate:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("{{ xs | select('in', [2, 3]) | list | length }}", "2"),
            ("{% for d in ds if d.n not in [0, 1] %}{{ d.n }}{% endfor %}", "2"),
            ("{{ ds | sort(attribute='n', reverse=true) | map(attribute='t') | join(' ') }}", "c A b"),
            ("{{ ds | sort(attribute='t') | map(attribute='t') | join(' ') }}", "A b c"),
            ("{{ ds | sort(attribute='t', case_sensitive=true) | map(attribute='t') | first }}", "A"),
            ("{{ ds | sort(attribute='g,t') | map(attribute='t') | join(' ') }}", "b c A"),
            ("{{ ds | map(attribute='g') | unique | join(' ') }}", "1 2"),
            ("{{ ds | unique(attribute='g') | map(attribute='t') | join(' ') }}", "b A"),
            ("{{ (ds | max(attribute='n')).t }} {{ (ds | min(attribute='n')).t }}", "c b"),
            ("{{ ds | sum(attribute='n') }} {{ [[1], [2]] | sum(start=[]) }}", "3 [1, 2]"),
            ("{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') | first | first }}",
             '[["a", 2], ["b", 1]] b'),
            ("{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' in 'cat' }} {{ 'k' in {'k': 1} }}", "true false true true"),
            ("{{ 'abcdef'[1:4] }} {{ [1, 2, 3][::-1] }} {{ xs[:2] | length }}", "bcd [3, 2, 1] 2"),
            ("{% set y %}a{{ 1 }}{% endset %}{{ y }}{% filter upper %}b{{ y }}{% endfilter %}", "a1BA1"),
            ("{{ [3, 1] | reverse | list }} {{ 'ab' | reverse }} {{ 'a b' | wordcount }}", "[1, 3] ba 2"),
            ("{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ 'ff' | int(0, 16) }} {{ '1.5' | float }}", "13 7 255 1.5"),
            ("{{ 2.345 | round(2) }} {{ 2.3 | round(0, 'ceil') }} {{ [1, 'a'] | string }}", "2.35 3.0 [1, \"a\"]"),
            ("{{ {'a': [1]} | tojson(indent=2) }}", '{\n  "a": [\n    1\n  ]\n}'),
            ("{{ 4 is even }} {{ 4 is divisibleby 3 }} {{ 'A' is upper }} {{ 3 is gt 2 }}", "true false true true"),
            ("{{ 'one two three' | truncate(6, leeway=0) }} {{ '  x ' | trim }} {{ 'a b' | title }}", "one... x A B"),
            ("{{ (1, 2) }} {% for k, v in {'a': 1} | items %}{{ k }}{{ v }}{% endfor %}", "[1, 2] a1"),
            ("{{ ds | selectattr('x', 'defined') | list | length }}", "0"),
        ],
    )  # fmt: skip
    def test_it_says_what_it_always_said(self, source: str, text: str) -> None:
        ds = [{"n": 0, "t": "b", "g": 1}, {"n": 1, "t": "A", "g": 2}, {"n": 2, "t": "c", "g": 1}]
        assert rendered(source, xs=list(range(10)), ds=ds) == text

    def test_much_data_is_fine(self) -> None:
        documents = [{"id": f"d{n}", "text": "word " * 200, "score": n % 7} for n in range(2_000)]
        source = (
            "{% for d in documents | sort(attribute='score') if d.id not in ['d1', 'd2'] %}"
            "{% if d.score > 3 %}{{ loop.index }} {{ d.text | truncate(40) }}\n{% endif %}{% endfor %}"
        )
        assert rendered(source, documents=documents).count("\n") > 800


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ 'a b c' | truncate(2, leeway=-5) }}",
            "{{ 'a' | truncate(1, end='....') }}",
            "{{ 1 | items }}",
            "{{ [1, 'a'] | sort }}",
            "{{ [{}] | unique }}",
            "{{ 'a' | round }}",
            "{{ 1 / 0 }}",
            "{{ [1] | sum(start='') }}",
            "{{ [1] | map('nothing') | list }}",
            "{{ {(1, 2): 3} }}",
            "{{ xs | first }}",
        ],
    )
    def test_it_fails_the_step_with_a_sentence(self, source: str) -> None:
        assert "cannot be rendered: " in refused(source, xs=[])

    def test_what_is_missing_is_named_shortly(self) -> None:
        assert len(refused("{{ d[x] }}", d={}, x="x" * 1_000_000)) < 1_000
        assert "there is no field that is list" in refused("{{ d[x] }}", d={}, x=[1])

    def test_a_template_of_thousands_of_places_does_not_compile(self) -> None:
        for source in ("{{ a }}" * 2_001, "{{ [" + "a," * 20_000 + "] }}"):
            with pytest.raises(TemplateProblem, match="more than"):
                compile_template(source)

    def test_a_number_of_thousands_of_digits_does_not_compile(self) -> None:
        for number in ("9" * 1_900, "0x" + "f" * 1_900):
            with pytest.raises(TemplateProblem):
                compile_template(f"{{{{ {number} }}}}")
