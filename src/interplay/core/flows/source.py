"""YAML 1.2 with places: the one file that knows the YAML library.

Reads a text into plain data and remembers where each key and value stands. Refuses what a flow never
needs: tags, more than 100 levels, more than 25,000 values (an alias counts as often as it is used).
Mistakes that YAML turns into something else get a message of their own.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from interplay.core.flows.problems import Place, Problem
from interplay.core.flows.yaml_traps import Trap, explain, quoted, whole_value

MOST_BYTES: Final = 1024 * 1024
MOST_DEPTH: Final = 100
MOST_NODES: Final = 25_000  # a value takes about 50 µs to read, with its key
MOST_CHARACTERS: Final = 4 * 1024 * 1024  # of all values together
MOST_MENDED: Final = 25
MOST_READ: Final = 200_000  # characters, when a text is read again for each of its mistakes
Path = tuple[str | int, ...]
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")}


@dataclass(slots=True)
class Source:
    """Plain data, the place of each path's value, and of its key where it has one.

    `broken` are the paths of steps that could not be read: they exist, and nobody knows what they give.
    `inner` says for texts of one line how far from its place a text begins: 1 behind a quote.
    """

    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    inner: dict[Path, int] = field(default_factory=dict)
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
    """Never raises: what is wrong is in `problems`. Lines with a known trap are mended and read on."""
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        problem = Problem("too_large", f"the file is over {MOST_BYTES // 1024} KiB", place=Place(file, 1, 1))
        return Source(problems=[problem])
    lines = text.splitlines()
    traps: list[Trap] = []
    while True:
        source, wrong = _read(text, lines, file, traps)
        if wrong is None:
            return source
        trap = _explained(wrong, lines)
        again = trap.mended is not None and all(trap.line != before.line for before in traps)
        traps.append(trap)
        if not again or trap.mended is None or len(traps) > max(1, min(MOST_MENDED, MOST_READ // len(text))):
            source.problems += [_problem(trap, file) for trap in traps]
            return source
        lines[trap.line] = trap.mended
        text = "\n".join([*lines, ""] if text.endswith("\n") else lines)


def _read(text: str, lines: list[str], file: str, traps: list[Trap]) -> tuple[Source, MarkedYAMLError | None]:
    source = Source()
    try:
        loader = YAML(typ="safe", pure=True)
        loader.Composer = _Composer
        loader.max_depth = MOST_DEPTH
        node = loader.compose(io.StringIO(text))
        if node is not None:
            source.data = _Reader(source, lines, file, traps).value(node, (), 0)
    except _Refused as refused:
        source.problems.append(refused.problem)
    except _TooMuch as refused:
        source.problems.append(Problem("too_large", str(refused), place=Place(file, 1, 1)))
    except MarkedYAMLError as wrong:
        if "exceeded" not in str(wrong.problem):
            return source, wrong
        place = Place(file, wrong.problem_mark.line + 1 if wrong.problem_mark else 1, 1)
        source.problems.append(Problem("too_large", f"the file has more than {MOST_DEPTH} levels", place=place))
    except (YAMLError, RecursionError, ValueError) as wrong:
        message = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong).split("\n", 1)[0]
        source.problems.append(Problem("yaml", message, place=Place(file, 1, 1)))
    source.problems += [_problem(trap, file) for trap in traps]
    return source, None


def _explained(wrong: MarkedYAMLError, lines: list[str]) -> Trap:
    mark = wrong.problem_mark or wrong.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    near = [line, line - 1]
    if wrong.context_mark is not None:
        near.append(wrong.context_mark.line)
    return explain((wrong.problem or wrong.context or "it is not YAML").strip(), lines, line, column, near)


def _problem(trap: Trap, file: str) -> Problem:
    place = Place(file, trap.line + 1, trap.column + 1)
    return Problem(trap.code, trap.message, "", place, trap.expected, trap.suggestion)


def from_data(data: Any) -> Source:
    """Data that came as JSON: no places, the same limits."""
    todo: list[tuple[Any, int]] = [(data, 0)]
    count = 0
    while todo:
        value, depth = todo.pop()
        count += 1
        if depth > MOST_DEPTH or count > MOST_NODES:
            what = f"{MOST_DEPTH} levels" if depth > MOST_DEPTH else f"{MOST_NODES:,} values"
            return Source(problems=[Problem("too_large", f"the flow has more than {what}")])
        if isinstance(value, dict | list):
            todo += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
    return Source(data)


class _TooMuch(Exception):
    """More values than a flow may have."""


class _Composer(Composer):
    """Counts while the tree is made, keys too: a file of a megabyte may hold half a million of them."""

    made = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.made += 1
        if self.made > 2 * MOST_NODES:
            raise _TooMuch(f"the file has more than {MOST_NODES:,} values")
        return super().compose_node(parent, index)


class _Reader:
    def __init__(self, source: Source, lines: list[str], file: str, mended: Sequence[Trap]) -> None:
        self._source = source
        self._lines = lines
        self._file = file
        self._nodes = self._characters = 0
        self._mended = {trap.line: trap for trap in mended}

    def place(self, node: Node) -> Place:
        line, column = node.start_mark.line, node.start_mark.column
        trap = self._mended.get(line)
        if trap is not None and column > trap.column:
            column -= trap.added
        return Place(self._file, line + 1, column + 1)

    def refuse(self, code: str, message: str, node: Node, suggestion: str | None = None) -> None:
        self._source.problems.append(Problem(code, message, "", self.place(node), None, suggestion))

    def value(self, node: Node, path: Path, depth: int) -> Any:
        self._nodes += 1
        if depth > MOST_DEPTH or self._nodes > MOST_NODES:
            what = f"{MOST_DEPTH} levels" if depth > MOST_DEPTH else f"{MOST_NODES:,} values"
            raise _Refused(Problem("too_large", f"the file has more than {what}", "", self.place(node)))
        if isinstance(node, ScalarNode):
            self._characters += len(node.value)
            if self._characters > MOST_CHARACTERS:
                message = f"the file has more than {MOST_CHARACTERS:,} characters, counting what aliases repeat"
                raise _Refused(Problem("too_large", message, "", self.place(node)))
        self._source.places[path] = self.place(node)
        tag = str(node.tag)
        if tag not in _TAGS:
            return self._tagged(node, tag)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        if not isinstance(node, ScalarNode):
            return None
        if node.style in (None, "'", '"') and node.start_mark.line == node.end_mark.line:
            self._source.inner[path] = 0 if node.style is None else 1
        return self._scalar(node)

    def _tagged(self, node: Node, tag: str) -> Any:
        """`when: !done`: the whole text is what was meant."""
        shown = tag.rsplit(":", 1)[-1]
        mark = node.start_mark
        place = self.place(node)
        whole = whole_value(self._lines[mark.line], mark.column) if mark.line < len(self._lines) else None
        text: str | None = f"{shown} {node.value}".strip() if isinstance(node, ScalarNode) else None
        if whole is not None:
            place, text = Place(self._file, mark.line + 1, whole[0] + 1), whole[1]
        advice = "Take the tag away." if text is None else f"Quote it: {quoted(text)}."
        problem = Problem("yaml_tag", f"`{shown}` is read as a YAML tag, not as text", "", place, None, advice)
        self._source.problems.append(problem)
        return text

    def _mapping(self, node: MappingNode, path: Path, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key == "<<" and key_node.style is None:
                self.refuse("yaml_merge", "merge keys (`<<`) are not read here", key_node, "Write the fields out.")
                continue
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
        if "${" in str(node.value) and node.style is None:
            advice = f"Quote the whole of what begins here: {node.value} …"
            self.refuse("yaml_expression", "`${ … }` must be quoted here: YAML reads its colon itself", node, advice)
        if str(node.tag) == "tag:yaml.org,2002:bool":
            word = str(node.value)
            self.refuse("yaml_bool_key", f"the key `{word}` is a boolean in YAML", node, f'Quote it: "{word}".')
        return str(node.value)

    def _scalar(self, node: ScalarNode) -> Any:
        tag = str(node.tag).rsplit(":", 1)[-1]
        text = str(node.value)
        if node.style is None:
            text = self._uncut(node, text)
        if tag in ("str", "timestamp"):
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        return self._number(node, tag, text.replace("_", ""))

    def _number(self, node: ScalarNode, tag: str, text: str) -> Any:
        try:
            number: int | float = float(text.replace(".inf", "inf").replace(".nan", "nan")) if tag == "float" else 0
            if tag == "int":
                number = int(text, 0) if re.match(r"[-+]?0[xo]", text) else int(text)
        except ValueError:
            return text
        if tag == "float" and not math.isfinite(number):
            self.refuse("yaml_number", f"`{node.value}` is no number that JSON has", node)
            return 0.0
        if tag == "int" and not -(2**63) <= number < 2**63:
            self.refuse("yaml_number", f"`{node.value}` does not fit into 64 bits", node, "Quote it, to have a text.")
            return 0
        return number

    def _uncut(self, node: ScalarNode, text: str) -> str:
        """A plain text that a `#` ended in the middle, whole again."""
        line = self._lines[node.end_mark.line] if node.end_mark.line < len(self._lines) else ""
        rest = line[node.end_mark.column :]
        if not text or not rest.lstrip().startswith("#"):
            return text
        open_ended = text.count("${") > text.count("}") or text.count('"') % 2 or text.count("(") > text.count(")")
        glued = " " in text and re.match(r"\s*#\w", rest) is not None
        if not open_ended and not glued:
            return text
        self.refuse(
            "yaml_comment",
            f"`{rest.strip()}` is read as a comment, so the value ends after {text[-20:]!r}",
            node,
            f"Quote the whole value: {quoted(text + rest.rstrip())}.",
        )
        return text + rest.rstrip()


_COMMENT: Final = re.compile("#[^\\n]*")
_UNWRITABLE: Final = re.compile("[\\r\\x85\\u2028\\u2029\\ufeff]|^<<$")


def compose(text: str) -> Any:
    """The nodes of a text that was read without a problem, with their places."""
    return YAML(typ="safe", pure=True).compose(io.StringIO(text))


def comments(text: str) -> list[str]:
    """What the comments of such a text say, in its order: each `#…` that stands between two tokens."""
    made: list[str] = []
    end = 0
    for token in YAML(typ="safe", pure=True).scan(io.StringIO(text)):
        if token.start_mark.index > end:
            made += (part.rstrip() for part in _COMMENT.findall(text, end, token.start_mark.index))
        end = max(end, token.end_mark.index)
    return made


class RoundTrip:
    """A text that is changed and written again with its comments. `data` are the library's own mappings."""

    def __init__(self, text: str) -> None:
        self._yaml = YAML(typ="rt", pure=True)
        self._yaml.preserve_quotes = True
        self._yaml.width = 2 * MOST_BYTES  # a line is never broken
        self._yaml.indent(mapping=2, sequence=4, offset=2)
        self.data: Any = self._yaml.load(text)

    def order_inline(self, mapping: Any, keys: list[str]) -> None:
        """Puts the keys of `{…}` into this order."""
        if mapping.fa.flow_style() and list(mapping) != keys:
            for key in keys:
                mapping.move_to_end(key)

    def quote_expressions(self) -> None:
        """Every `${ … }` in double quotes (in single ones where it holds a double quote)."""
        self._quote(self.data)

    def _quote(self, node: Any) -> Any:
        if isinstance(node, dict):
            for key, value in node.items():
                node[key] = self._quote(value)
        elif isinstance(node, list):
            for place, value in enumerate(node):
                node[place] = self._quote(value)
        elif type(node) is str and "${" in node and "\n" not in node:
            return SingleQuotedScalarString(node) if '"' in node else DoubleQuotedScalarString(node)
        return node

    def dump(self) -> str:
        stream = io.StringIO()
        self._yaml.dump(self.data, stream)
        return stream.getvalue()

    def dump_plain(self, data: Any) -> str:
        """YAML for data that never was a text."""
        stream = io.StringIO()
        self._yaml.dump(_escaped(data), stream)
        return stream.getvalue()


def _escaped(data: Any) -> Any:
    """Texts with characters that YAML takes for line ends, or drops, are written with escapes."""
    if isinstance(data, dict):
        return {_escaped(key): _escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_escaped(item) for item in data]
    return DoubleQuotedScalarString(data) if isinstance(data, str) and _UNWRITABLE.search(data) else data
