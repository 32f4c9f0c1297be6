"""`check`, `fmt`, `diff`, `apply`, `flows`: flows as files and on the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec

from interplay.cli import exit_codes
from interplay.cli.files import FlowFile
from interplay.cli.output import ago, complain, console, print_json, print_table, problem_text
from interplay.cli.runs_commands import as_json
from interplay.cli.schedule_files import ScheduleFiles
from interplay.cli.target import all_of, with_client
from interplay.cli.trigger_files import TriggerFiles
from interplay.cli.webhook_files import WebhookFiles
from interplay.client import ApiError, AsyncClient
from interplay.contracts.http.answers import CheckResult
from interplay.core.extensions import is_extensions
from interplay.core.flows.compile import check_flow
from interplay.core.flows.ir import flows_called
from interplay.core.flows.problems import Problem, render
from interplay.core.models.registry import Connection, Model, Registry
from interplay.core.schedules.reading import SCHEDULES
from interplay.core.triggers.reading import TRIGGERS
from interplay.core.webhooks.reading import WEBHOOKS
from interplay.use_cases.register_models import LOCAL, read_registry


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@as_json
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Show all that is wrong with flow FILES, with place and advice. Needs no server."""
    found: list[dict[str, Any]] = []
    failed = False
    for path in files:
        file = FlowFile(path)
        problems = problems_of(file)
        failed = failed or bool(problems)
        found.append({"file": str(path), "ok": not problems, "problems": [str(problem) for problem in problems]})
        if not as_json:
            for problem in problems:
                console().print(render(problem, file.text))
            counted = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}" if problems else "ok"
            console().print(f"{path}: {counted}")
    if as_json:
        print_json(found)
    ctx.exit(exit_codes.FAILED if failed else exit_codes.DONE)


def problems_of(file: FlowFile) -> list[Problem]:
    """The file's problems; model names against `interplay.yaml` beside it and this machine's own."""
    problems = list(file.parsed.problems)
    if file.parsed.flow is not None:
        problems += check_flow(file.parsed.flow, file.parsed.source, models=_known_models(file.path)).problems
    return sorted(set(problems), key=lambda p: (p.place.line, p.place.column, p.path, p.message))


def _known_models(path: Path) -> dict[str, str] | None:
    """None (unchecked) where there is no `interplay.yaml`: the server may know more."""
    beside = path.parent / "interplay.yaml"
    if not beside.is_file():
        return None
    registry = read_registry(beside.read_text(encoding="utf-8"), str(beside))
    return {name: str(m.task) for name, m in {**LOCAL.models, **registry.models}.items()}


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--channel", help="Point this channel at what was applied.")
@click.option("--plan", is_flag=True, help="Only say what would change.")
@as_json
@click.pass_context
def apply(ctx: click.Context, paths: tuple[Path, ...], channel: str | None, plan: bool, as_json: bool) -> None:
    """Make the server have these flows, models, schedules, triggers and webhooks, by name; again changes nothing."""
    files = [file for path in paths for file in (sorted(path.glob("**/*.yaml")) if path.is_dir() else [path])]
    given = [FlowFile(path) for path in files if path.name != "interplay.yaml"]
    timed = [file for file in given if SCHEDULES.are_in(file.text)]
    fed = [file for file in given if TRIGGERS.are_in(file.text)]
    hooks = [file for file in given if WEBHOOKS.are_in(file.text)]
    # extensions are for workers, not for the server
    flows = [file for file in given if file not in (*timed, *fed, *hooks) and not is_extensions(file.text)]
    registries = [(path, path.read_text(encoding="utf-8")) for path in files if path.name == "interplay.yaml"]

    async def work(client: AsyncClient) -> bool:
        said = Said(plan, as_json)
        there = await _there(client) if registries else {}
        wanted = [_wanted(path, text, there) for path, text in registries]
        models = {name: str(model.task) for registry in wanted for name, model in registry.models.items()}
        coming = {flow.name: list(flow.inputs) for file in flows if (flow := file.parsed.flow) is not None}
        by_name = {flow.name: flow for file in flows if (flow := file.parsed.flow) is not None}
        written = [one for file in timed for one in SCHEDULES.read(file.text, str(file.path))]
        reading = [one for file in fed for one in TRIGGERS.read(file.text, str(file.path))]
        called = [one for file in hooks for one in WEBHOOKS.read(file.text, str(file.path))]
        checks = [await client.flows.check(file.text, file.files, str(file.path), models, coming) for file in flows]
        right = [_told(file, checked, said) for file, checked in zip(flows, checks, strict=True)]
        ok = all(right)  # after all were told
        schedules = await ScheduleFiles.of(client, written, by_name) if ok else None
        triggers = await TriggerFiles.of(client, reading, by_name, models) if ok else None
        if schedules is not None and triggers is not None:
            webhooks = await WebhookFiles.of(client, called)
            for registry in wanted:
                await _apply_registry(client, registry, there, said)
            for file, checked in _called_first(list(zip(flows, checks, strict=True))):
                await _apply_flow(client, file, str(checked["version"]), channel, said)
            await schedules.apply(client, plan, said.say)
            await triggers.apply(client, plan, said.say)
            await webhooks.apply(client, plan, said.say)
        elif not plan:
            complain("nothing was applied")
        if as_json:
            print_json({"ok": ok, "plan": plan, "items": said.items})
        return ok

    ctx.exit(exit_codes.DONE if with_client(work) else exit_codes.FAILED)


@dataclass
class Said:
    """What was said of each thing, for people as it happens, for programs at the end."""

    plan: bool
    quiet: bool
    items: list[dict[str, Any]] = field(default_factory=list)

    def say(self, noun: str, name: str, changed: bool, words: str, **more: Any) -> None:
        self.items.append({"noun": noun, "name": name, "changed": changed, **more})
        if not self.quiet:
            console().print(f"{noun} {name}: {words}")


def _called_first(files: list[tuple[FlowFile, CheckResult]]) -> list[tuple[FlowFile, CheckResult]]:
    """A flow behind those that its steps call."""
    by_name = {file.name: (file, checked) for file, checked in files}
    ordered: dict[str, tuple[FlowFile, CheckResult]] = {}
    under_way: set[str] = set()

    def add(name: str) -> None:
        if name in ordered or name in under_way or name not in by_name:
            return
        under_way.add(name)
        flow = by_name[name][0].parsed.flow
        for called in sorted(flows_called(flow)) if flow is not None else ():
            add(called)
        ordered[name] = by_name[name]

    for name in by_name:
        add(name)
    return list(ordered.values())


async def _there(client: AsyncClient) -> dict[str, dict[str, Any]]:
    return {
        "connection": {entry["name"]: entry async for entry in client.connections.each()},
        "model": {entry["name"]: entry async for entry in client.models.each()},
    }


def _wanted(path: Path, text: str, there: dict[str, dict[str, Any]]) -> Registry:
    """Raises InvalidModels: before anything is applied."""
    known = Registry(
        {name: Connection(name) for name in there["connection"]},
        {name: Model(name, entry["task"], ()) for name, entry in there["model"].items()},
    )
    return read_registry(text, str(path), known)


async def _apply_registry(
    client: AsyncClient, registry: Registry, there: dict[str, dict[str, Any]], said: Said
) -> None:
    for noun, target, wanted in (
        ("connection", client.connections, registry.connections),
        ("model", client.models, registry.models),
    ):
        present = there[noun]
        for name, value in wanted.items():
            body = msgspec.json.decode(msgspec.json.encode(value))  # as it comes back: lists, no tuples
            same = present.get(name) == body
            said.say(noun, name, not same, "as it is" if same else "would change" if said.plan else "changed")
            if not same and not said.plan:
                await target.put(name, body)


def _told(file: FlowFile, checked: CheckResult, said: Said) -> bool:
    if not checked["ok"]:
        for problem in checked["problems"]:
            complain(problem_text(problem))
        said.items.append({"noun": "flow", "name": file.name, "changed": False, "problems": checked["problems"]})
    return bool(checked["ok"])


async def _apply_flow(client: AsyncClient, file: FlowFile, version: str, channel: str | None, said: Said) -> None:
    try:
        latest = (await client.flows.get(file.name, version=version))["version"]
        pointed = (await client.flows.channels(file.name)).get(channel) if channel else version
    except ApiError as missing:
        if missing.status != 404:
            raise
        latest, pointed = None, None
    if latest == version and pointed == version:
        said.say("flow", file.name, False, f"as it is ({version[:12]})", version=version)
        return
    words = f"{'would become' if said.plan else 'is now'} {version[:12]}{f' on {channel}' if channel else ''}"
    said.say("flow", file.name, True, words, version=version)
    if not said.plan:
        await client.flows.put(file.name, file.text, file.files, str(file.path))
        if channel is not None:
            await client.flows.set_channel(file.name, channel, version)


@click.group()
def flows() -> None:
    """Flows that the server has."""


@flows.command("list")
@as_json
def list_flows(as_json: bool) -> None:
    """Flows with their channels."""
    found = with_client(lambda client: all_of(client.flows.each()))
    if as_json:
        print_json(found)
        return
    rows = [
        [f["name"], f["latest"][:12], ", ".join(f"{c}→{v[:8]}" for c, v in f["channels"].items()), ago(f["updated_at"])]
        for f in found["items"]
    ]
    print_table(["flow", "latest", "channels", "updated"], rows)


@flows.command("show")
@click.argument("name")
@as_json
def show_flow(name: str, as_json: bool) -> None:
    """The YAML of NAME[@CHANNEL]."""
    flow, _, channel = name.partition("@")
    found = with_client(lambda client: client.flows.get(flow, channel=channel or None))
    print_json(found) if as_json else print(found["source"], end="")


@flows.command("versions")
@click.argument("name")
@as_json
def list_versions(name: str, as_json: bool) -> None:
    """The versions of a flow, newest first."""
    found = with_client(lambda client: client.flows.versions(name))
    if as_json:
        print_json(found)
    else:
        print_table(["version", "made"], [[v["version"], ago(v["created_at"])] for v in found["items"]])


@flows.command("channel")
@click.argument("name")
@click.argument("channel")
@click.argument("version")
@as_json
def set_channel(name: str, channel: str, version: str, as_json: bool) -> None:
    """Point CHANNEL of a flow at VERSION (its beginning is enough): publish, or roll back."""
    done = with_client(lambda client: client.flows.set_channel(name, channel, version))
    before = f"{str(done['before'])[:12]} → " if done["before"] else "is now "
    print_json(done) if as_json else console().print(f"{name}@{channel}: {before}{done['version'][:12]}")
