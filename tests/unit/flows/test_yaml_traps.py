"""Mistakes that YAML turns into something else: each has its own message, place and advice, and reading goes on."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.flows.source import read_yaml


def only(text: str) -> tuple[Any, str, tuple[int, int], str]:
    """The data, and the one problem's code, place and advice."""
    source = read_yaml(text, "f.yaml")
    assert len(source.problems) == 1, [str(problem) for problem in source.problems]
    problem = source.problems[0]
    return source.data, problem.code, (problem.place.line, problem.place.column), problem.suggestion or ""


class TestUnquotedExpression:
    @pytest.mark.parametrize(
        ("line", "column", "meant", "advice"),
        [
            ("a: ${ x ? y : z }", 4, {"a": "${ x ? y : z }"}, 'Write "${ x ? y : z }".'),
            ('a: ${ {"b": 1} }', 4, {"a": '${ {"b": 1} }'}, "Write '${ {\"b\": 1} }'."),
            ("a: [${b.c}]", 5, {"a": ["${b.c}"]}, 'Write "${b.c}".'),
            ("a: {b: ${ c.d }, e: 1}", 8, {"a": {"b": "${ c.d }", "e": 1}}, 'Write "${ c.d }".'),
            ("a: [$b, ${ c }]", 9, {"a": ["$b", "${ c }"]}, 'Write "${ c }".'),
        ],
    )
    def test_it_is_told_and_read_as_it_was_meant(self, line: str, column: int, meant: Any, advice: str) -> None:
        assert only(line) == (meant, "yaml_expression", (1, column), advice)

    @pytest.mark.parametrize("line", ["a: ${ b }", "a: ${ b + 1 } # why", "a: $b.c", "a: ${ f(b, c) }"])
    def test_what_yaml_reads_rightly_is_left_alone(self, line: str) -> None:
        assert read_yaml(line).problems == []

    @pytest.mark.parametrize("line", ["- ${ a ? b : c }", "${ a: b }"])
    def test_one_that_becomes_a_key_is_told(self, line: str) -> None:
        assert only(line)[1] == "yaml_expression"

    def test_one_that_is_never_closed_is_told_too(self) -> None:
        source = read_yaml("a: {b: ${ c }\n")
        assert [problem.code for problem in source.problems][:1] == ["yaml_expression"]

    def test_several_on_several_lines_are_all_told(self) -> None:
        source = read_yaml("a: ${ b ? c : d }\ne: ok\nf: [${g}]\n")
        assert [(p.code, p.place.line) for p in source.problems] == [("yaml_expression", 1), ("yaml_expression", 3)]
        assert source.data == {"a": "${ b ? c : d }", "e": "ok", "f": ["${g}"]}

    def test_what_follows_on_the_line_keeps_its_place(self) -> None:
        source = read_yaml("a: {b: ${ c.d }, e: 1}")
        assert source.place(("a", "e")).column == 21


class TestTag:
    @pytest.mark.parametrize("condition", ["!done", "!done && other", "!a || b", "!has(a.b)", "!(a == b)"])
    def test_a_condition_that_begins_with_a_not_is_taken_whole(self, condition: str) -> None:
        data, code, place, advice = only(f"when: {condition}")
        assert (data, code, place) == ({"when": condition}, "yaml_tag", (1, 7))
        assert f'"{condition}"' in advice

    def test_no_tag_makes_an_object(self) -> None:
        data, code, _, _ = only("a: !!python/object/apply:os.system [true]")
        assert code == "yaml_tag"
        assert data["a"] == "!!python/object/apply:os.system [true]"

    def test_the_tags_of_yaml_itself_are_fine(self) -> None:
        assert read_yaml("a: !!str 5").data == {"a": "5"}

    @pytest.mark.parametrize("sign", ["*", "%", "@", "`"])
    def test_other_signs_of_yaml_are_told(self, sign: str) -> None:
        data, code, place, _ = only(f"a: {sign}x")
        assert (data, code, place) == ({"a": f"{sign}x"}, "yaml_tag", (1, 4))


class TestComment:
    @pytest.mark.parametrize(
        "value",
        ['intent.label == "a # b"', "${ a # b }", "size(a # b)", "Answer ticket #42 now"],
    )
    def test_a_value_that_a_hash_cuts_is_told_and_taken_whole(self, value: str) -> None:
        data, code, place, advice = only(f"a: {value}")
        assert (data, code, place) == ({"a": value}, "yaml_comment", (1, 4))
        assert value in advice

    @pytest.mark.parametrize(
        ("line", "value"),
        [("a: b # c", "b"), ('a: x == "y" # z', 'x == "y"'), ("a: http://x/#y", "http://x/#y"), ("a: 5 #n", 5)],
    )
    def test_a_comment_after_a_whole_value_is_a_comment(self, line: str, value: Any) -> None:
        source = read_yaml(line)
        assert (source.data, source.problems) == ({"a": value}, [])

    def test_a_hash_in_a_block_of_text_is_text(self) -> None:
        source = read_yaml("a: |\n  # Title\n  ticket #42 (open\n")
        assert (source.data, source.problems) == ({"a": "# Title\nticket #42 (open\n"}, [])


class TestWordsAndNumbers:
    def test_yaml_1_2_has_only_true_and_false(self) -> None:
        source = read_yaml("labels: [yes, no, on, off]\non: x\nflag: true")
        assert (source.data, source.problems) == (
            {"labels": ["yes", "no", "on", "off"], "on": "x", "flag": True},
            [],
        )

    def test_a_key_that_yaml_1_1_makes_a_boolean_is_told(self) -> None:
        data, code, place, advice = only("%YAML 1.1\n---\nretry: {on: [timeout]}")
        assert (data, code, place) == ({"retry": {"on": ["timeout"]}}, "yaml_bool_key", (3, 9))
        assert '"on"' in advice

    def test_dates_and_times_stay_text(self) -> None:
        assert read_yaml("a: 2020-01-01\nb: 12:30").data == {"a": "2020-01-01", "b": "12:30"}

    @pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "9223372036854775808", "1e999"])
    def test_a_number_that_json_or_64_bits_lack_is_told(self, number: str) -> None:
        assert only(f"a: {number}")[1] == "yaml_number"

    @pytest.mark.parametrize(("text", "value"), [("0o17", 15), ("0x1F", 31), ("1_000", 1000), ("-2", -2), ("1e3", 1e3)])
    def test_numbers_are_numbers(self, text: str, value: float) -> None:
        assert read_yaml(f"a: {text}").data == {"a": value}


class TestShape:
    def test_a_colon_inside_a_value_is_told(self) -> None:
        assert only("when: a ? b : c")[:3] == ({"when": "a ? b : c"}, "yaml_colon", (1, 7))

    def test_a_value_that_goes_on_after_its_quote_is_told(self) -> None:
        assert only('when: "a" == b')[:3] == ({"when": '"a" == b'}, "yaml_quote", (1, 7))

    def test_tabs_are_told(self) -> None:
        data, code, place, _ = only("a:\n\tb: 1")
        assert (data, code, place) == (None, "yaml_tab", (2, 1))

    def test_a_key_twice_is_told_at_the_second(self) -> None:
        assert only("a: 1\nb: 2\na: 3")[1:3] == ("duplicate_key", (3, 1))

    def test_merge_keys_are_told(self) -> None:
        assert only("a: &x {b: 1}\nc:\n  <<: *x")[1:3] == ("yaml_merge", (3, 3))

    def test_two_documents_are_told(self) -> None:
        assert only("---\na: 1\n---\nb: 2")[1] == "yaml"

    @pytest.mark.parametrize("text", ["a: [1, 2", 'a: "b', "a: {b: 1"])
    def test_what_is_not_closed_is_told(self, text: str) -> None:
        _, code, _, _ = only(text)
        assert code == "yaml"

    def test_an_alias_gives_what_it_stands_for(self) -> None:
        assert read_yaml("a: &x {k: 1}\nb: *x").data == {"a": {"k": 1}, "b": {"k": 1}}
