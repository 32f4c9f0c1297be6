"""YAML 1.2 with places: the one file that knows the YAML library.

Reads a text into plain data and remembers where each key and value stands. Refuses what a flow never
needs: tags, more than 100 levels, more than 100,000 values (an alias counts as often as it is used).
Mistakes that YAML turns into something else get a message of their own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from interplay.core.flows.problems import Place, Problem

MOST_BYTES: Final = 1024 * 1024
MOST_DEPTH: Final = 100
MOST_NODES: Final = 100_000
Path = tuple[str | int, ...]
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")}
_UNQUOTED = re.compile(r"""^[^"'#]*[:\[{,-]\s*[^"'\s]?[^"']*\$\{""")


@dataclass(slots=True)
class Source:
    """Plain data, the place of each path's value, and of its key where it has one."""

    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Where a path stands, or the nearest thing around it that has a place."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place())

    def key(self, path: Path) -> Place:
        return self.keys.get(path) or self.place(path)


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def read_yaml(text: str, file: str = "") -> Source:
    """Never raises: what is wrong is in `problems`."""
    source = Source()
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        problem = Problem("too_large", f"the file is over {MOST_BYTES // 1024} KiB", place=Place(file, 1, 1))
        source.problems.append(problem)
        return source
    try:
        loader = YAML(typ="safe", pure=True)
        node = loader.compose(io.StringIO(text))
        reader = _Reader(source, text.splitlines(), file)
        if node is not None:
            source.data = reader.value(node, (), 0)
    except _Refused as refused:
        source.problems.append(refused.problem)
    except MarkedYAMLError as wrong:
        source.problems.append(_syntax(wrong, text.splitlines(), file))
    except (YAMLError, RecursionError, ValueError) as wrong:
        message = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong).split("\n", 1)[0]
        source.problems.append(Problem("yaml", message, place=Place(file, 1, 1)))
    return source


def from_data(data: Any) -> Source:
    """Data that came as JSON: no places."""
    return Source(data)


class _Reader:
    def __init__(self, source: Source, lines: list[str], file: str) -> None:
        self._source = source
        self._lines = lines
        self._file = file
        self._nodes = 0

    def place(self, node: Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def refuse(self, code: str, message: str, node: Node, suggestion: str | None = None) -> None:
        self._source.problems.append(Problem(code, message, "", self.place(node), None, suggestion))

    def value(self, node: Node, path: Path, depth: int) -> Any:
        self._nodes += 1
        if depth > MOST_DEPTH or self._nodes > MOST_NODES:
            what = f"{MOST_DEPTH} levels" if depth > MOST_DEPTH else f"{MOST_NODES:,} values"
            raise _Refused(Problem("too_large", f"the file has more than {what}", "", self.place(node)))
        self._source.places[path] = self.place(node)
        tag = str(node.tag)
        if tag not in _TAGS:
            shown = tag.rsplit(":", 1)[-1]
            advice = f'Quote it: "{shown} {node.value}".' if isinstance(node.value, str) else "Take the tag away."
            self.refuse("yaml_tag", f"`{shown}` is read as a YAML tag, not as text", node, advice.replace(' ".', '".'))
            return node.value if isinstance(node, ScalarNode) else None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        return self._scalar(node) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, path: Path, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in made:
                self.refuse("duplicate_key", f"{key!r} stands here twice", key_node)
            self._source.keys[(*path, key)] = self.place(key_node)
            made[key] = self.value(value_node, (*path, key), depth + 1)
        return made

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            self.refuse(
                "yaml_key", "a key must be a plain word", node, "Quote `${ … }` and `[ … ]` in keys and values."
            )
            return f"<{node.start_mark.line}>"
        if str(node.tag) == "tag:yaml.org,2002:bool":
            word = str(node.value)
            self.refuse("yaml_bool_key", f"the key `{word}` is a boolean in YAML", node, f'Quote it: "{word}".')
        return str(node.value)

    def _scalar(self, node: ScalarNode) -> Any:
        tag = str(node.tag).rsplit(":", 1)[-1]
        text = str(node.value)
        if node.style is None:
            self._cut(node, text)
        if tag in ("str", "timestamp"):
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        try:
            return int(text.replace("_", ""), 0) if tag == "int" else float(text.replace("_", ""))
        except ValueError:
            try:
                return int(text.replace("_", ""), 10)
            except ValueError:
                return text

    def _cut(self, node: Node, text: str) -> None:
        """A plain text that a `#` ended in the middle."""
        line = self._lines[node.end_mark.line] if node.end_mark.line < len(self._lines) else ""
        rest = line[node.end_mark.column :]
        if not rest.lstrip().startswith("#") or not text:
            return
        if text.count("${") > text.count("}") or text.count('"') % 2 or text.count("(") > text.count(")"):
            self.refuse(
                "yaml_comment",
                f"`{rest.strip()}` is read as a comment, so the value ends after {text[-20:]!r}",
                node,
                "Quote the whole value.",
            )


def _syntax(wrong: MarkedYAMLError, lines: list[str], file: str) -> Problem:
    mark = wrong.problem_mark or wrong.context_mark
    line = mark.line if mark is not None else 0
    place = Place(file, line + 1, (mark.column if mark is not None else 0) + 1)
    for number, near in _around(lines, line, wrong):
        if "${" in near and _UNQUOTED.search(near):
            column = near.index("${") + 1
            message = "`${ … }` must be quoted here: YAML reads its braces, colons and commas itself"
            return Problem("yaml_expression", message, "", Place(file, number + 1, column), None, _quoted(near))
        if near.lstrip().startswith("\t") or "\t" in near[: len(near) - len(near.lstrip())]:
            message = "a tab stands where YAML wants spaces"
            return Problem("yaml_tab", message, "", Place(file, number + 1, near.index("\t") + 1), "spaces")
        trap = re.search(r":\s*([&*!%@`])(\S*)", near)
        if trap is not None:
            message = f"a value that begins with `{trap[1]}` is read as YAML's own sign"
            advice = f'Quote it: "{near.split(":", 1)[1].strip()}".'
            return Problem("yaml_tag", message, "", Place(file, number + 1, trap.start(1) + 1), None, advice)
    words = (wrong.problem or wrong.context or "it is not YAML").strip()
    return Problem("yaml", f"this is not YAML: {words}", "", place)


def _around(lines: list[str], line: int, wrong: MarkedYAMLError) -> Iterator[tuple[int, str]]:
    numbers = [line, line - 1]
    if wrong.context_mark is not None:
        numbers.append(wrong.context_mark.line)
    for number in numbers:
        if 0 <= number < len(lines):
            yield number, lines[number]


def _quoted(line: str) -> str:
    value = line.split(":", 1)[-1].strip()
    return f"Write it as '{value}'." if '"' in value else f'Write it as "{value}".'
