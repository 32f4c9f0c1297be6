"""`models` and `connections`: what callers may name, and the weights of this machine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from interplay.cli.output import console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import part, set_up_logs, settings_of, with_client


@click.group()
def models() -> None:
    """Models and their weights."""


@models.command("list")
@as_json
def list_models(as_json: bool) -> None:
    """The models that flows may name."""
    found = with_client(lambda client: client.models.list())
    if as_json:
        print_json(found)
        return
    rows = [
        [m["name"], m["task"], ", ".join(f"{d['connection']}/{d['model']}" for d in m["deployments"]), m.get("about")]
        for m in found["items"]
    ]
    print_table(["model", "task", "deployments", "about"], rows)


@models.command("show")
@click.argument("name")
def show_model(name: str) -> None:
    """One model as JSON."""
    print_json(with_client(lambda client: client.models.get(name)))


@models.command("create")
@click.argument("name")
@click.option("--task", required=True, type=click.Choice(["chat", "embed", "rerank", "classify"]))
@click.option("--connection", required=True)
@click.option("--model", "upstream", required=True, help="The upstream's own name.")
@click.option("--price", metavar="IN,OUT", help="US dollars per million tokens.")
@as_json
def create_model(name: str, task: str, connection: str, upstream: str, price: str | None, as_json: bool) -> None:
    """Make NAME an alias for a model behind a connection."""
    deployment: dict[str, Any] = {"connection": connection, "model": upstream}
    if price is not None:
        taken, _, given = price.partition(",")
        deployment["price"] = {"input": float(taken), "output": float(given or taken)}
    done = with_client(lambda client: client.models.put(name, {"task": task, "deployments": [deployment]}))
    print_json(done) if as_json else console().print(f"{name}: {'changed' if done['changed'] else 'as it was'}")


@models.command("delete")
@click.argument("name")
def delete_model(name: str) -> None:
    """Forget an alias."""
    with_client(lambda client: client.models.delete(name))


@models.command()
def install() -> None:
    """Bring the weights of the local models into the home."""
    settings = settings_of()
    set_up_logs(settings)
    brought = asyncio.run(part("bootstrap_checks").install_weights(settings, console().print))
    console().print(f"{brought} files brought" if brought else "everything was there")


@click.group()
def connections() -> None:
    """Connections to model servers."""


@connections.command("list")
@as_json
def list_connections(as_json: bool) -> None:
    """The connections of the project; secrets are never shown."""
    found = with_client(lambda client: client.connections.list())
    if as_json:
        print_json(found)
    else:
        print_table(
            ["connection", "kind", "address"],
            [[c["name"], c.get("kind", "openai"), c.get("base_url")] for c in found["items"]],
        )


@connections.command("create")
@click.argument("name")
@click.option("--base-url", required=True)
@click.option("--api-key", help="secret://name")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE")
def create_connection(name: str, base_url: str, api_key: str | None, headers: tuple[str, ...]) -> None:
    """An OpenAI-compatible server."""
    body: dict[str, Any] = {"base_url": base_url}
    if api_key is not None:
        body["api_key"] = api_key
    if headers:
        body["headers"] = dict(header.split("=", 1) for header in headers)
    done = with_client(lambda client: client.connections.put(name, body))
    console().print(json.dumps(done))


@connections.command("delete")
@click.argument("name")
def delete_connection(name: str) -> None:
    """Forget a connection that no model uses."""
    with_client(lambda client: client.connections.delete(name))
