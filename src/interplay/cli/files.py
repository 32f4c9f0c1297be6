"""Flow files with the prompt files beside them; inputs from options and files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from interplay.core.flows.parse import ParsedFlow, parse_flow
from interplay.core.flows.source import read_yaml


class FlowFile:
    """A YAML file, its text, and the texts of the files that it names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as wrong:
            reason = wrong.strerror if isinstance(wrong, OSError) else "it is not UTF-8 text"
            raise click.ClickException(f"{path} cannot be read: {reason}.") from None
        self.files: dict[str, str] = {}
        self.parsed: ParsedFlow = parse_flow(self.text, str(path), self._read)

    def _read(self, name: str) -> str:
        text = (self.path.parent / name).read_text(encoding="utf-8")
        self.files[name] = text
        return text

    @property
    def name(self) -> str:
        """The flow's name, or a stand-in that the check will complain about."""
        return self.parsed.flow.name if self.parsed.flow is not None else self.path.stem


def read_document(path: Path) -> dict[str, Any]:
    """A mapping in YAML or JSON. Raises ClickException that says where it is wrong."""
    try:
        source = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "it is not UTF-8 text"
        raise click.ClickException(f"{path} cannot be read: {reason}.") from None
    if source.problems:
        raise click.ClickException(str(source.problems[0]))
    if not isinstance(source.data, dict):
        raise click.ClickException(f"{path} must hold a mapping of names to values.")
    return {str(name): value for name, value in source.data.items()}


def inputs_of(given: tuple[str, ...], source: str | None, types: dict[str, Any]) -> dict[str, Any]:
    """`-i name=value`, read as the input's type says, over what `--input` holds."""
    inputs: dict[str, Any] = {}
    if source is not None:
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
            inputs = json.loads(text)
        except OSError as wrong:
            raise click.BadParameter(f"{source} cannot be read: {wrong.strerror}.", param_hint="--input") from None
        except ValueError as wrong:
            raise click.ClickException(f"--input {source} is not JSON: {wrong}.") from None
        if not isinstance(inputs, dict):
            raise click.ClickException(f"--input {source} must hold a JSON object of inputs.")
    for pair in given:
        name, mark, value = pair.partition("=")
        if not mark:
            raise click.BadParameter(f"{pair!r}: write name=value.", param_hint="-i")
        inputs[name] = _typed(value, types.get(name))
    return inputs


def _typed(text: str, form: Any) -> Any:
    """Text inputs stay text; anything else is read as JSON where it is some."""
    kind = form.get("type") if isinstance(form, dict) else form
    if kind in ("string", "file", "image") or (isinstance(form, dict) and "enum" in form):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
