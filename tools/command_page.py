"""The reference page of the `interplay` command, from what the command itself knows."""

from __future__ import annotations

from collections.abc import Iterator

import click

from interplay.cli.main import cli

EXIT_CODES = (
    ("0", "done"),
    ("1", "the run failed, or the check found problems"),
    ("2", "wrong usage"),
    ("3", "cannot reach a server, or cannot start"),
    ("130", "stopped by the user"),
)


def commands(group: click.Group, context: click.Context, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, click.Context(command, context, name), f"{prefix}{name} ")
        elif command is not None:
            yield f"{prefix}{name}", command


def every_command() -> dict[str, click.Command]:
    return dict(commands(cli, click.Context(cli, info_name="interplay")))


def usage(name: str, command: click.Command) -> str:
    pieces = command.collect_usage_pieces(click.Context(command, info_name=name))
    return " ".join(["interplay", name, *pieces])


def options(command: click.Command) -> list[tuple[str, str]]:
    """How each option is written, and what it does."""
    context = click.Context(command)
    records = (parameter.get_help_record(context) for parameter in command.params)
    return [record for record in records if record is not None]


def section(name: str, command: click.Command) -> str:
    parts = [f"## {name}", (command.help or "").strip(), f"```sh\n{usage(name, command)}\n```"]
    found = options(command)
    if found:
        parts.append("\n".join(f"* `{written}`: {meaning}" for written, meaning in found))
    return "\n\n".join(part for part in parts if part)


def commands_page(written_by: str) -> str:
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)
    return "\n\n".join(
        [
            "# The command `interplay`",
            written_by,
            "Without `--server` (or `INTERPLAY_URL`) a command talks to the `interplay up` of this machine's home; "
            "commands that need no server start what they need themselves. `--json` is on everything that prints, "
            "for programs. Tables are lined up on a terminal; through a pipe they are a line a row, with tabs between "
            "the columns and the headings first.",
            f"| exit code | means |\n| --- | --- |\n{codes}",
            *(section(name, command) for name, command in every_command().items()),
        ]
    )
