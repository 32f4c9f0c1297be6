"""Prompt templates: what they see, what they write, and what a hostile one cannot do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.failures import StepFailure
from interplay.core.flows.templates import MOST_OUTPUT, TemplateProblem, compile_template

LONG = "a" * 1_000_000


def rendered(source: str, **names: Any) -> str:
    return compile_template(source).render(names)


def failure(source: str, **names: Any) -> str:
    with pytest.raises(StepFailure) as failed:
        rendered(source, **names)
    assert failed.value.failure.code == "expression"
    return failed.value.failure.detail


def problem(source: str) -> str:
    with pytest.raises(TemplateProblem) as wrong:
        compile_template(source)
    return wrong.value.message


class TestRender:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("Hi {{ name }}!", "Hi Ann!"),
            ("{{ doc.title | upper }}", "A TITLE"),
            ("{% for d in docs %}{{ loop.index }}. {{ d.text }}\n{% endfor %}", "1. one\n2. two\n"),
            ("{{ docs | map(attribute='text') | join(', ') }}", "one, two"),
            ("{{ doc.missing | default('none') }}", "none"),
            ("{% if doc.missing is defined %}y{% else %}n{% endif %}", "n"),
            ("{{ docs | length }} {{ docs[0].text }} {{ docs[1:] | length }}", "2 one 1"),
            ("{% for key, value in doc | items %}{{ key }}={{ value }}{% endfor %}", "title=a title"),
            ("{{ 7 * 6 + 2 ** 3 }}", "50"),
            ("{{ 'a' ~ 1 ~ true }}", "a1true"),
        ],
    )
    def test_what_people_write_in_prompts_works(self, source: str, text: str) -> None:
        docs = [{"text": "one"}, {"text": "two"}]
        assert rendered(source, name="Ann", doc={"title": "a title"}, docs=docs) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (True, "true"),
            (None, ""),
            (1.5, "1.5"),
            ({"a": [1, "ü"]}, '{"a": [1, "ü"]}'),
            ([True, None], "[true, null]"),
        ],
    )
    def test_what_is_no_text_is_written_as_json(self, value: Any, text: str) -> None:
        assert rendered("{{ v }}", v=value) == text

    def test_text_of_inputs_is_never_a_template(self) -> None:
        assert rendered("{{ v }}", v="{{ secret }}{% for x in y %}") == "{{ secret }}{% for x in y %}"

    def test_a_field_named_like_a_method_is_the_field(self) -> None:
        assert rendered("{{ d.items }} {{ d.keys }}", d={"items": 1, "keys": 2}) == "1 2"

    def test_what_is_missing_is_named(self) -> None:
        assert "there is no 'nme' here" in failure("{{ nme }}")
        assert "there is no field 'titel'" in failure("{{ doc.titel }}", doc={"title": ""})
        assert "there is no item 3" in failure("{{ l[3] }}", l=[1])

    def test_it_says_which_names_it_needs(self) -> None:
        template = compile_template("{{ a.b }}{% set x = 1 %}{{ x }}{% for i in c %}{{ i }}{{ range(2) }}{% endfor %}")
        assert template.roots == {"a", "c"}


class TestWhatDoesNotCompile:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("{% macro f() %}{% endmacro %}", "`macro` is not allowed"),
            ("{% include 'x' %}", "`include` is not allowed"),
            ("{% extends 'x' %}", "`extends` is not allowed"),
            ("{% autoescape true %}{% endautoescape %}", "`autoescape` is not allowed"),
            ("{{ x.upper() }}", "only range() can be called"),
            ("{{ x | uper }}", "did you mean 'upper'?"),
            ("{{ self }}", "'self' is no name"),
            ("{{ __concat }}", "'__concat' is no name"),
            ("{{ a b }}", "got 'b'"),
            ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply"),
            ("a" * (256 * 1024 + 1), "are allowed"),
        ],
    )
    def test_it_is_told_why(self, source: str, words: str) -> None:
        assert words in problem(source)

    def test_it_is_told_in_which_line(self) -> None:
        with pytest.raises(TemplateProblem) as wrong:
            compile_template("one\ntwo\n{% if %}")
        assert wrong.value.line == 3


class TestHostileTemplate:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ 'x' * 10**9 }}",
            "{{ [1] * 10**9 }}",
            "{{ 10 ** 10 ** 10 }}",
            "{{ '%1000000000d' % 1 }}",
            "{% for i in range(10**9) %}x{% endfor %}",
            "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
            "{% set x = x + x %}" * 30,
            "{{ x ~ x ~ x ~ x ~ x }}",
            "{{ x | replace('a', x) }}",
            "{{ x | list | map('replace', 'a', x) | join | length }}",
            "{{ x | list | sort | length }}",
            "{{ x | list | tojson }}",
            "{{ range(99999) | list | join(x) }}",
            "{% for i in range(50000) %}{{ x }}{% endfor %}",
            "{% for i in range(9999) %}{% if (x | upper) == 'b' %}{% endif %}{% endfor %}",
            "{% for i in range(9999) %}{% if x == x ~ 'b' %}{% endif %}{% endfor %}",
            "{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}",
        ],
    )
    def test_it_is_stopped_soon_and_small(self, source: str) -> None:
        began = time.perf_counter()
        assert "cannot be rendered" in failure(source, x=LONG)
        assert time.perf_counter() - began < 5

    @pytest.mark.parametrize(
        "source",
        [
            "{{ ''.__class__.__mro__ }}",
            "{{ x.__class__ }}",
            "{{ x['__class__'] }}",
            "{{ l | map('attr', '__class__') | list }}",
            "{{ (l | first).__init__ }}",
            "{{ d.__dict__ }}",
            "{{ range.__globals__ }}",
            "{{ loop.__class__ }}",
            "{% for i in l %}{{ loop._iterable }}{% endfor %}",
        ],
    )
    def test_it_reaches_no_python(self, source: str) -> None:
        with pytest.raises((StepFailure, TemplateProblem)):
            rendered(source, x="text", l=[1], d={"a": 1})

    def test_attributes_of_items_are_their_fields_only(self) -> None:
        assert "there is no field '__class__'" in failure("{{ l | map(attribute='__class__') | first }}", l=[1])

    def test_an_output_of_the_most_is_fine(self) -> None:
        assert len(rendered("{{ a }}{{ b }}", a="x" * (MOST_OUTPUT // 2), b="y" * (MOST_OUTPUT // 2))) == MOST_OUTPUT

    @given(
        st.lists(
            st.sampled_from(
                ["{{", "}}", "{%", "%}", " x ", " d ", ".a", "|", "list", "sort", "first", "for i in", "endfor", "if",
                 "endif", "set y =", "'s'", "1", "[0]", "(", ")", "+", "*", "~", "==", "range", ",", "round", "items",
                 "join", "dictsort", "tojson", "default", "is defined", "-", "loop"]
            ),
            max_size=14,
        ).map(" ".join)
    )  # fmt: skip
    def test_any_pile_of_its_words_renders_or_is_refused(self, source: str) -> None:
        refused = ""
        try:
            text = rendered(source, x="text", d={"a": [1, {"b": None}]})
        except (StepFailure, TemplateProblem) as wrong:
            text, refused = "", str(wrong)
        assert isinstance(text, str)
        assert "Traceback" not in refused
