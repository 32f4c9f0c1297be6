"""`interplay run`: a flow from a file or by name, followed live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.files import FlowFile, inputs_of
from interplay.cli.live import LiveRun
from interplay.cli.output import complain, console, duration, print_json, value_text
from interplay.cli.target import with_client
from interplay.client import AsyncClient


@click.command()
@click.argument("flow", required=False)
@click.option("-i", "given", multiple=True, metavar="NAME=VALUE", help="An input; again for more.")
@click.option("--input", "source", metavar="FILE|-", help="Inputs as a JSON object.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: run, status, output, error.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was cut off.")
@click.option("--key", help="An idempotency key: the same again finds the run that it made.")
def run(
    flow: str | None, given: tuple[str, ...], source: str | None, as_json: bool, resume: str | None, key: str | None
) -> None:
    """Run FLOW: a FILE.yaml, or NAME[@CHANNEL] of a flow that the server has."""
    if (flow is None) == (resume is None):
        raise click.UsageError("Name a flow, or --resume a run.")

    wanted = flow or ""
    is_file = wanted.endswith((".yaml", ".yml", ".json")) or Path(wanted).is_file()
    file = FlowFile(Path(wanted)) if is_file else None

    async def work(client: AsyncClient) -> int:
        if resume is not None:
            return await _follow(client, resume, as_json)
        started = await _start(client, wanted, file, (given, source, key))
        return await _follow(client, str(started["run"]), as_json)

    click.get_current_context().exit(with_client(work))


async def _start(
    client: AsyncClient, flow: str, file: FlowFile | None, call: tuple[tuple[str, ...], str | None, str | None]
) -> dict[str, Any]:
    given, source, key = call
    if file is not None:
        saved = await client.flows.put(file.name, file.text, file.files, str(file.path))
        types = {name: spec.type for name, spec in file.parsed.flow.inputs.items()} if file.parsed.flow else {}
        inputs = inputs_of(given, source, types)
        return await client.runs.create(str(saved["flow"]), inputs, version=str(saved["version"]), key=key)
    name, _, channel = flow.partition("@")
    found = await client.flows.get(name, channel=channel or None)
    types = {n: spec["type"] for n, spec in found["ir"].get("inputs", {}).items()}
    return await client.runs.create(name, inputs_of(given, source, types), channel=channel or None, key=key)


async def _follow(client: AsyncClient, run_id: str, as_json: bool) -> int:
    live = LiveRun()
    if not as_json:
        console().print(f"run {run_id}")
    async for event in client.runs.follow(run_id):
        if not as_json:
            live.show(event)
    view = await client.runs.get(run_id, full=not as_json)
    if as_json:
        print_json(view)
    else:
        _summary(view)
    return exit_codes.DONE if view["status"] == "succeeded" else exit_codes.FAILED


def _summary(view: dict[str, Any]) -> None:
    usage = view.get("usage") or {}
    tokens = int(usage.get("input_tokens", 0)) + int(usage.get("output_tokens", 0))
    money = f", {usage['usd']:.4f} USD" if usage.get("usd") is not None else ""
    spent = f", {tokens:,} tokens{money}" if tokens else ""
    line = f"{view['status']} in {duration(view['wall_seconds'])}, parallelism {view['parallelism']:.2f}{spent}"
    console().print(line)
    if view["status"] == "succeeded":
        print(value_text(view["output"]))
        return
    failure = (view.get("error") or {}).get("failure") or {}
    step = (view.get("error") or {}).get("step")
    complain(
        f"{step + ': ' if step else ''}{failure.get('detail', view['status'])} {failure.get('advice') or ''}".strip()
    )
