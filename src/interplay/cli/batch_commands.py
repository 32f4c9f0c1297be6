"""`interplay batch`: one durable run for each row of a file; started again, it goes on where it was."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interplay.cli import exit_codes
from interplay.cli.files import FlowFile
from interplay.cli.output import console, print_json, print_table
from interplay.cli.target import with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import Run

_OPEN = ("queued", "running", "waiting")


@click.command()
@click.argument("flow")
@click.argument("rows", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Results, a JSON object a line.")
@click.option("--concurrency", default=64, show_default=True, help="Rows under way at once.")
@click.option("--key", "key_field", help="The field that names a row; its number when left out.")
@click.option("--name", help="The batch's name; the file's name when left out.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def batch(
    ctx: click.Context,
    flow: str,
    rows: Path,
    out: Path | None,
    concurrency: int,
    key_field: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """One durable run of FLOW for each row of ROWS (.jsonl or .csv)."""
    given = read_rows(rows, key_field)
    file = FlowFile(Path(flow)) if Path(flow).is_file() else None
    wanted = Wanted(flow, file, name or rows.name, concurrency, key_field, rows.suffix == ".csv")
    totals = with_client(lambda client: _run(client, wanted, given))
    if out is not None:
        lines = [json.dumps(totals["results"][row["key"]], ensure_ascii=False) for row in given]
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    del totals["results"]
    if as_json:
        print_json(totals)
    else:
        if totals["failures"]:
            print_table(["row", "why"], list(totals["failures"].items()))
        console().print(f"{totals['succeeded']} of {totals['rows']} rows succeeded, {totals['found']} were done before")
    ctx.exit(exit_codes.DONE if totals["succeeded"] == totals["rows"] else exit_codes.FAILED)


def read_rows(path: Path, key_field: str | None) -> list[dict[str, Any]]:
    """`{"key", "inputs"}` a row. Says which line is wrong."""
    made: list[dict[str, Any]] = []
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            records: list[dict[str, Any]] = list(csv.DictReader(file))
        else:
            records = []
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    records.append(json.loads(line))
                except ValueError as wrong:
                    raise click.ClickException(f"{path}:{number}: this line is not JSON: {wrong}.") from None
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise click.ClickException(f"{path}: row {number} is not an object of inputs.")
        if key_field is not None and key_field not in record:
            raise click.ClickException(f"{path}: row {number} has no {key_field!r}.")
        made.append({"key": str(record[key_field]) if key_field else str(number), "inputs": record})
    keys = [row["key"] for row in made]
    double = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if double is not None:
        raise click.ClickException(f"{path}: the key {double!r} stands in more than one row.")
    return made


@dataclass(frozen=True, slots=True)
class Wanted:
    flow: str
    file: FlowFile | None
    name: str
    concurrency: int
    key_field: str | None = None
    texts: bool = False  # every value of a row is a text, as in CSV


async def _run(client: AsyncClient, wanted: Wanted, rows: list[dict[str, Any]]) -> dict[str, Any]:
    flow_name, version, channel = await _flow(client, wanted)
    declared = (await client.flows.get(flow_name, version=version, channel=channel))["ir"].get("inputs", {})
    rows = [{**row, "inputs": fitted(row["inputs"], declared, wanted)} for row in rows]
    name, room = wanted.name, asyncio.Semaphore(wanted.concurrency)
    totals: dict[str, Any] = {"rows": len(rows), "succeeded": 0, "found": 0, "failures": {}}
    results: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console(), transient=True) as progress:
        bar = progress.add_task(flow_name, total=len(rows), rate="")

        async def one(row: dict[str, Any]) -> None:
            async with room:
                made = await client.batches.create(name, flow_name, [row], channel=channel, version=version)
                entry = made["rows"][0]
                view = await _ended(client, entry["run"])
                totals["found"] += not entry["new"]
                totals["succeeded"] += view["status"] == "succeeded"
                if view["status"] != "succeeded":
                    error = view["error"]
                    totals["failures"][row["key"]] = error["failure"]["detail"] if error else view["status"]
                results[row["key"]] = {"key": row["key"], **{k: view[k] for k in ("run", "status", "output", "error")}}
                speed = progress.tasks[0].speed
                progress.update(bar, advance=1, rate=f"{speed:.1f} rows/s" if speed else "")

        await asyncio.gather(*(one(row) for row in rows))
    totals["results"] = results
    return totals


def fitted(record: dict[str, Any], declared: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The inputs of a row: without a key that is no input, and texts as the types that the flow declares."""
    inputs = {name: value for name, value in record.items() if name != wanted.key_field or name in declared}
    if wanted.texts:
        for name, value in inputs.items():
            if declared.get(name, {}).get("type", "string") not in ("string", "any") and isinstance(value, str):
                with contextlib.suppress(ValueError):  # what is no such value is told by the flow's own check
                    inputs[name] = json.loads(value)
    return inputs


async def _flow(client: AsyncClient, wanted: Wanted) -> tuple[str, str | None, str | None]:
    file = wanted.file
    if file is not None:
        saved = await client.flows.put(file.name, file.text, file.files, str(file.path))
        return str(saved["flow"]), str(saved["version"]), None
    name, _, channel = wanted.flow.partition("@")
    return name, None, channel or None


async def _ended(client: AsyncClient, run: str) -> Run:
    view = await client.runs.get(run)
    if view["status"] in _OPEN:
        async for _ in client.runs.follow(run):
            continue
        view = await client.runs.get(run)
    return view
