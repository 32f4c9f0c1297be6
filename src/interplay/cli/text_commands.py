"""`fmt` and `diff`: flow files as text, and what changed in their meaning."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.files import FlowFile
from interplay.cli.output import console, print_json
from interplay.cli.runs_commands import as_json
from interplay.cli.target import with_client
from interplay.core.flows.canonical import from_bytes
from interplay.core.flows.diff import diff_flows, render_changes
from interplay.core.flows.format import format_flow


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 when something would change.")
@as_json
@click.pass_context
def fmt(ctx: click.Context, files: tuple[Path, ...], only_check: bool, as_json: bool) -> None:
    """Write flow FILES in their canonical form; comments stay."""
    changed = False
    found: list[dict[str, Any]] = []
    for path in files:
        file = FlowFile(path)
        text = format_flow(file.text, str(path))
        found.append({"file": str(path), "changed": text != file.text})
        if text == file.text:
            continue
        changed = True
        if not only_check:
            path.write_text(text, encoding="utf-8")
        if not as_json:
            console().print(f"{path}: {'would change' if only_check else 'changed'}")
            _show_difference(file.text, text, path, only_check)
    if as_json:
        print_json(found)
    ctx.exit(exit_codes.FAILED if changed and only_check else exit_codes.DONE)


def _show_difference(before: str, after: str, path: Path, wanted: bool) -> None:
    if not wanted:
        return
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), "as fmt writes it", n=1):
        console().print(f"  {line.rstrip()}")


@click.command()
@click.argument("before")
@click.argument("after")
@as_json
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, as_json: bool) -> None:
    """Show what changed in meaning between two flow files, or NAME@VERSION of the server."""

    def side(name: str) -> Any:
        if Path(name).is_file():
            parsed = FlowFile(Path(name)).parsed
            if parsed.flow is None or parsed.problems:
                raise click.ClickException(f"{name} has problems; `interplay check {name}` shows them.")
            return parsed.flow
        flow, _, version = name.partition("@")
        found = with_client(lambda client: client.flows.get(flow, version=version or None))
        return from_bytes(json.dumps(found["ir"]).encode())

    changes = diff_flows(side(before), side(after))
    if as_json:
        print_json([change.to_json() for change in changes])
    else:
        console().print(render_changes(changes) or "no difference in meaning")
    ctx.exit(exit_codes.FAILED if changes else exit_codes.DONE)
