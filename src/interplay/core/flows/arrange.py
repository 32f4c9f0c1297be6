"""The keys of block mappings in another order, by moving whole lines: what stands between them is not touched.

Comments and blank lines above a key go with the key. What stands above a file's first key stays at its head,
and what follows the last key of a mapping stays where it is: it is before whatever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from interplay.core.flows.source import Path, compose

Orders = Mapping[Path, tuple[str, ...]]


class _Unsure(Exception):
    """A shape whose lines are not to be told apart."""


class _Entry(NamedTuple):
    key: str
    lead: list[str]
    body: list[str]


def in_order(present: list[str], wanted: tuple[str, ...]) -> list[str]:
    """The keys that are wanted in front, the others behind them as they were."""
    first = [key for key in dict.fromkeys(wanted) if key in present]
    return first + [key for key in present if key not in first]


def arranged(text: str, orders: Orders) -> str:
    """`orders`: for the path of a mapping, its keys in front."""
    node = compose(text)
    lines = text.splitlines(keepends=True)
    if node is None or node.id != "mapping" or node.flow_style or (lines and not lines[-1].endswith("\n")):
        return text
    try:
        end = _last_line(node, lines, -1)
        return "".join([*_Arranger(lines, orders).mapping(node, (), 0, end), *lines[end + 1 :]])
    except _Unsure:
        return text


class _Arranger:
    def __init__(self, lines: list[str], orders: Orders) -> None:
        self._lines = lines
        self._orders = orders

    def mapping(self, node: Any, path: Path, begin: int, end: int) -> list[str]:
        """The lines `begin` to `end`, which hold the mapping and nothing else."""
        entries = self._entries(node, path, begin, end)
        names = [entry.key for entry in entries]
        order = in_order(names, self._orders.get(path, ()))
        if order != names and len(set(names)) == len(names):
            head = entries[0].lead if not path else []
            entries = _moved(entries if path else [entries[0]._replace(lead=[]), *entries[1:]], order)
            return [*head, *(line for entry in entries for line in (*entry.lead, *entry.body))]
        return [line for entry in entries for line in (*entry.lead, *entry.body)]

    def _entries(self, node: Any, path: Path, begin: int, end: int) -> list[_Entry]:
        made: list[_Entry] = []
        ends = [_last_line(value, self._lines, key.start_mark.line) for key, value in node.value]
        for place, (key, value) in enumerate(node.value):
            first, last = key.start_mark.line, ends[place] if place < len(ends) - 1 else end
            column = key.start_mark.column
            if first < begin or last < first or self._lines[first][:column].strip():
                raise _Unsure
            gap = begin
            while made and gap < first and _indent(self._lines[gap]) > column:
                made[-1].body.append(self._lines[gap])  # a comment within the value before
                gap += 1
            inner = self._value(value, (*path, str(key.value)), first, last)
            made.append(_Entry(str(key.value), self._lines[gap:first], inner))
            begin = last + 1
        return made

    def _value(self, value: Any, path: Path, first: int, last: int) -> list[str]:
        if value.id == "mapping" and not value.flow_style and value.start_mark.line > first:
            return [self._lines[first], *self.mapping(value, path, first + 1, last)]
        return self._lines[first : last + 1]


def _moved(entries: list[_Entry], order: list[str]) -> list[_Entry]:
    """Blank lines stay between: whoever comes first leaves those above it to whoever came first."""
    by_key = {entry.key: entry for entry in entries}
    moved = [by_key[key] for key in order]
    before, now = entries[0], moved[0]
    if before is not now:
        blank = [line for line in now.lead if not line.strip()]
        kept = [line for line in now.lead if line.strip()]
        moved[0] = now._replace(lead=kept)
        place = moved.index(before)
        moved[place] = before._replace(lead=[*blank, *before.lead])
    return moved


def _last_line(node: Any, lines: list[str], above: int) -> int:
    """The last line that holds something of a value; `above` is the line of its key."""
    if node.start_mark.line < above:
        return above  # an alias: it points to what stands further up
    if node.id == "scalar" or node.flow_style or not node.value:
        last = int(node.end_mark.line)
        if node.id == "scalar" and node.style in ("|", ">"):
            return _end_of_block(node, lines, last)
        return last - 1 if node.end_mark.column == 0 and last > node.start_mark.line else last
    if node.id == "mapping":
        key, value = node.value[-1]
        return _last_line(value, lines, key.start_mark.line)
    item = node.value[-1]
    before = node.value[-2] if len(node.value) > 1 else node
    if item.start_mark.line < before.start_mark.line:
        raise _Unsure  # an alias in a list
    return _last_line(item, lines, item.start_mark.line)


def _end_of_block(node: Any, lines: list[str], last: int) -> int:
    """Of `|` and `>`: without the blank lines and comments behind it, unless they are kept as text."""
    first = int(node.start_mark.line)
    last = min(last, len(lines) - 1)
    header = lines[first][node.start_mark.column :].split("#")[0]
    if "+" in header:
        raise _Unsure
    body = [place for place in range(first + 1, last + 1) if lines[place].strip()]
    inside = _indent(lines[body[0]]) if body else 0
    while last > first and (not lines[last].strip() or _indent(lines[last]) < inside):
        last -= 1
    return last


def _indent(line: str) -> int:
    """The column of the first letter; none counts as 0."""
    return len(line) - len(line.lstrip(" ")) if line.strip() else 0
