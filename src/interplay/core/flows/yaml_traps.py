"""Mistakes that YAML turns into something else, each in words of its own, and mended so that reading goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ENTRY = re.compile(r"^(\s*(?:- +)*(?:[\w.$-]+|\"[^\"]*\"|'[^']*')\s*:[ \t]+|\s*(?:- +)+)(?=\S)")
_SIGN = re.compile(r"[&*!%@`|>]")
_WORDS: tuple[tuple[str, str], ...] = (
    ("could not find expected ':'", "a `:` is missing after a key, or a text goes on with too little indentation"),
    ("mapping values are not allowed", "a `:` stands inside a value, or the line is indented too far"),
    ("expected <block end>", "the line is indented differently from what is beside it"),
    ("found unexpected end of stream", "a quote or a bracket is not closed"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("but found another document", "the file holds more than one document"),
    ("found duplicate anchor", "the same anchor stands here twice"),
    ("cannot start any token", "a value cannot begin with this character"),
    ("found undefined alias", "a value that begins with `*` is read as YAML's own sign"),
    ("found unknown escape character", "`\\` in double quotes begins a special character; use single quotes"),
)


@dataclass(frozen=True, slots=True)
class Trap:
    """Lines and columns count from 0. `mended` is what the line may be read as instead, longer by `added`
    characters from `column` on; None where nobody can tell."""

    code: str
    message: str
    line: int
    column: int
    suggestion: str | None = None
    expected: str | None = None
    mended: str | None = None
    added: int = 0


def explain(words: str, lines: Sequence[str], line: int, column: int, near: Sequence[int]) -> Trap:
    """What is behind an error of the YAML reader at this place; `near` are the lines it may really be in."""
    for number in near:
        if 0 <= number < len(lines):
            found = _tab(lines[number], number) or _expression(lines[number], number)
            found = found or _index(lines[number], number)
            found = found or _sign(lines[number], number) or _plain(words, lines[number], number, line)
            if found is not None:
                return found
    for sign, meaning in _WORDS:
        if sign in words:
            return Trap("yaml", f"this is not YAML: {meaning}", line, column)
    return Trap("yaml", f"this is not YAML: {words}", line, column)


def quoted(text: str) -> str:
    """A text as YAML takes it whatever is in it."""
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def whole_value(line: str, column: int) -> tuple[int, str] | None:
    """Where the value of the line's key begins, and all of it, if what stands at the column is in it."""
    head = _ENTRY.match(line)
    if head is None or head.end() > column or (head.end() < column and line[head.end()] != "!"):
        return None
    return head.end(), line[head.end() :].rstrip()


def _tab(line: str, number: int) -> Trap | None:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" not in indent:
        return None
    message = "a tab stands where YAML wants spaces"
    return Trap("yaml_tab", message, number, indent.index("\t"), "Put two spaces for each level.", "spaces")


def _expression(line: str, number: int) -> Trap | None:
    """An unquoted `${ … }`."""
    start = _outside_quotes(line, "${")
    if start is None:
        return None
    head = _ENTRY.match(line)
    text = line[start:].rstrip() if head is not None and head.end() == start else _balanced(line, start)
    message = "`${ … }` must be quoted here: YAML reads its braces, colons and commas itself"
    if text is None:
        return Trap("yaml_expression", message, number, start, "Put it in quotes.")
    better = quoted(text)
    mended = line[:start] + better + line[start + len(text) :]
    return Trap("yaml_expression", message, number, start, f"Write {better}.", None, mended, len(better) - len(text))


def _index(line: str, number: int) -> Trap | None:
    """`{x: $list[0]}`: inside braces a bracket is YAML's."""
    for found in re.finditer(r"\$[A-Za-z_][\w.-]*\[[\w.\[\]-]*\]", line):
        start = found.start()
        head = _ENTRY.match(line)
        if _outside_quotes(line, found[0]) == start and (head is None or head.end() != start):
            better = quoted(found[0])
            mended = line[:start] + better + line[found.end() :]
            message = "a reference with `[ ]` must be quoted inside braces and brackets"
            return Trap("yaml_reference", message, number, start, f"Write {better}.", None, mended, 2)
    return None


def _sign(line: str, number: int) -> Trap | None:
    """A plain value that begins with a sign of YAML's own."""
    head = _ENTRY.match(line)
    if head is None or not _SIGN.match(line, head.end()):
        return None
    text = line[head.end() :].rstrip()
    message = f"a value that begins with `{text[0]}` is read as YAML's own sign"
    return _whole(line, number, head.end(), text, "yaml_tag", message)


def _plain(words: str, line: str, number: int, at: int) -> Trap | None:
    """`when: a ? b : c` and `when: "a" == b`."""
    head = _ENTRY.match(line)
    if head is None or number != at:
        return None
    text = line[head.end() :].rstrip()
    if "mapping values are not allowed" in words and re.search(r":(\s|$)", text) and text[0] not in "\"'[{":
        return _whole(line, number, head.end(), text, "yaml_colon", "a `: ` inside a value is read as another key")
    after = re.match(r"\"(?:\\.|[^\"\\])*\"|'[^']*'", text)
    if after is not None and after.end() < len(text) and not text[after.end() :].lstrip().startswith("#"):
        message = f"the value ends after {after[0]}, because it begins with a quote"
        return _whole(line, number, head.end(), text, "yaml_quote", message)
    return None


def _whole(line: str, number: int, start: int, text: str, code: str, message: str) -> Trap:
    better = quoted(text)
    mended = line[:start] + better
    return Trap(
        code, message, number, start, f"Quote the whole value: {better}.", None, mended, len(better) - len(text)
    )


def _outside_quotes(line: str, wanted: str) -> int | None:
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (place == 0 or line[place - 1] in " \t[{,:"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] in " \t"):
            return None
        elif line.startswith(wanted, place):
            return place
    return None


def _balanced(line: str, start: int) -> str | None:
    depth, quote = 0, ""
    for place in range(start, len(line)):
        letter = line[place]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                return line[start : place + 1]
    return None
