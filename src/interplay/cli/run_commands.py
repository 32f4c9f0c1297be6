"""`interplay run`: a flow from a file or by name, followed live."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.files import FlowFile, inputs_of
from interplay.cli.live import LiveRun
from interplay.cli.output import complain, console, duration, print_json, value_text
from interplay.cli.run_words import spent_on, why_ended
from interplay.cli.target import with_client
from interplay.client import AsyncClient, NotAvailable, Unreachable
from interplay.contracts.http.answers import Run


@click.command()
@click.argument("flow", required=False)
@click.option("-i", "given", multiple=True, metavar="NAME=VALUE", help="An input; again for more.")
@click.option("--input", "source", metavar="FILE|-", help="Inputs as a JSON object.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: run, status, output, error.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was cut off.")
@click.option("--key", help="An idempotency key: the same again finds the run that it made.")
@click.option("--detach", is_flag=True, help="Do not follow it: print its id and return.")
def run(
    flow: str | None,
    given: tuple[str, ...],
    source: str | None,
    as_json: bool,
    resume: str | None,
    key: str | None,
    detach: bool,
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
        if detach:
            print_json(started) if as_json else print(started["run"])
            return exit_codes.DONE
        return await _follow(client, str(started["run"]), as_json)

    click.get_current_context().exit(with_client(work))


async def _start(
    client: AsyncClient, flow: str, file: FlowFile | None, call: tuple[tuple[str, ...], str | None, str | None]
) -> Run:
    given, source, key = call
    key = key or f"cli:{uuid.uuid4()}"  # so that it may be sent again while a part of the server is away
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
    if not as_json:
        console().print(f"run {run_id}")
    try:
        if as_json:
            async for _ in client.runs.follow(run_id):
                continue
        else:
            with LiveRun(run_id) as live:
                async for event in client.runs.follow(run_id):
                    live.show(event)
    except (asyncio.CancelledError, Unreachable, NotAvailable):
        complain(f"Nothing is lost. It goes on with: interplay run --resume {run_id}")
        raise
    view = await client.runs.get(run_id, full=not as_json)
    if as_json:
        print_json(view)
    else:
        _summary(view)
    return exit_codes.DONE if view["status"] == "succeeded" else exit_codes.FAILED


def _summary(view: Mapping[str, Any]) -> None:
    wall, spent = duration(view["wall_seconds"]), spent_on(view)
    console().print(f"{view['status']} in {wall}, parallelism {view['parallelism']:.2f}{', ' + spent if spent else ''}")
    if view["status"] == "succeeded":
        print(value_text(view["output"]))
        return
    complain(why_ended(view))
