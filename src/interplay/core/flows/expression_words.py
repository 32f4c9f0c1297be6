"""What the CEL binding says, in words for people who write flows."""

from __future__ import annotations

import re

_MIXED = "a number and an integer do not mix: write `1.0`, or `double(x)`"
_ADVICE = {
    "and": "write `&&` for and",
    "or": "write `||` for or",
    "not": "write `!` for not",
    "if": "write `condition ? this : that`",
    "is": "write `==` to compare",
    "=": "write `==` to compare",
    "== =": "write `==` to compare",
    "|": "write `||` for or",
    "&": "write `&&` for and",
    "?": "write `first(a, b)` or `a.?b.orValue(c)` for a value to use instead",
}
_RULES: tuple[tuple[str, str], ...] = (
    (r"undeclared reference to '(\w+)'.*\(in container", "there is no name {0!r} here"),
    (r"No value with name \"([^\"]*)\" found", "{0} has no value"),
    (r"Unexpected value type for '([^']*)': (\w+). \(Expected (\w+)\)", "{0} is {1}, and {2} was expected"),
    (r'Key not found in map : "?([^"\[]*)', "there is no field {0!r}"),
    (r"Index error: index=(-?\d+) size=(\d+)", "there is no item {0} in a list of {1}"),
    (r"optional\.none\(\)", "none of the arguments of first() has a value; give it a last one that always has"),
    (r"Iteration budget", "it takes too many iterations"),
    (r"recursion", "it is nested more than 32 deep; take it apart into steps of kind `set`"),
    (r"convert function return value", "it gives an optional; end it with orValue(…)"),
    (r"has\(\) argument", "has() takes a field, such as has(step.field)"),
    (r"variable name must be a simple identifier", "the first argument names an item, as in list.map(x, x + 1)"),
    (r"reserved identifier: (\w+)", "{0!r} is a reserved word"),
    (r"expression of type '(\w+)' cannot be the operand of a select", "a value of type {0} has no fields"),
    (r"integer overflow", "the whole number is too large"),
    (r"divide by zero|modulus by zero", "it divides by zero"),
)


def in_words(reason: str) -> str:
    """One sentence without its full stop."""
    syntax = re.search(r"Syntax error: ([^\n]*)", reason)
    if syntax is not None:
        return _syntax(syntax[1], reason)
    if found := re.search(r"no matching overload for '_?([^' ]*?)_?' applied to '\(([^)]*)\)'", reason):
        words = f"{found[1].strip('_') or found[1]} does not take ({_types(found[2])})"
        mixed = {"double", "int"} <= set(re.findall(r"\w+", found[2]))
        return f"{words}; {_MIXED}" if mixed else words
    if "No matching overloads" in reason:
        words = reason.split(" : ", 1)[-1].split("\n", 1)[0]
        words = re.sub(r"\s*\[[A-Z_]+\]$", "", words)
        mixed = "double" in words and "int" in words
        return f"{words}: {_MIXED}" if mixed else f"{words} is not defined for these types"
    if found := re.search(r"undeclared reference to '([^']*)'", reason):
        return f"there is no name or function {found[1]!r} here"
    for pattern, words in _RULES:
        if found := re.search(pattern, reason):
            return words.format(*found.groups())
    first = reason.split("\n", 1)[0]
    return re.sub(r"^(?:[A-Z_]+: )?(?:ERROR: )?(?:<input>:-?\d+:-?\d+: )?|\s*\[[A-Z_]+\]$", "", first)


def word_advice(bare: str) -> str:
    """For a word of another language that stands somewhere in an expression that does not parse."""
    found = re.search(r"\b(and|or|not|if|is)\b", bare)
    return f"; {_ADVICE[found[1]]}" if found is not None else ""


def _types(written: str) -> str:
    """CEL's names of types as the flow language has them."""
    ours = {"double": "number", "int": "integer", "bool": "boolean", "dyn": "any", "list": "list", "map": "object"}
    return re.sub(r"\w+", lambda found: ours.get(found[0], found[0]), written)


def _syntax(detail: str, reason: str) -> str:
    if "<EOF>" in detail.split(" expecting ")[0]:
        if "missing ')'" in detail:
            return "a closing `)` is missing"
        if "token recognition" in reason and re.search(r"at: '[\"']", reason):
            return "a text has no closing quote"
        return "it ends too early"
    if found := re.search(r"at: '(.*)'$", detail):
        text = found[1].strip()
        if text[:1] in "\"'":
            return "a text has no closing quote"
        advice = _ADVICE.get(text[:1])
        return f"`{text}` has no meaning here" + (f"; {advice}" if advice else "")
    if "input ''" in detail:
        return "a quote is not expected here"
    if found := re.search(r"input '(.*?)'", detail):
        advice = _ADVICE.get(found[1])
        return f"`{found[1]}` is not expected here" + (f"; {advice}" if advice else "")
    return detail.split(" expecting ")[0]
