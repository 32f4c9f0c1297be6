"""The door: `interplay COMMAND`. A command's module is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.output import complain, problem_text
from interplay.client.errors import ApiError, NotAvailable, Unreachable
from interplay.core.errors import InterplayError, SetupError, Unavailable

_COMMANDS = {
    "up": ("machine", "Start everything on this machine; Ctrl-C drains."),
    "serve": ("machine", "Run one service of a deployment."),
    "migrate": ("machine", "Bring the database schema and the topics to this release."),
    "doctor": ("machine", "Say what is wrong with this set-up and how to mend it."),
    "version": ("machine", "Print the version."),
    "run": ("run", "Run a flow and follow it live."),
    "batch": ("batch", "One durable run for each row of a file."),
    "check": ("flows", "Show all that is wrong with flow files."),
    "fmt": ("text", "Write flow files in their canonical form."),
    "diff": ("text", "Show what changed in meaning between two flows."),
    "apply": ("flows", "Make the server have these flows, models, schedules and webhooks."),
    "flows": ("flows", "List and look at flows."),
    "runs": ("runs", "Look at runs and steer them."),
    "schedules": ("schedules", "When flows run by themselves."),
    "triggers": ("triggers", "Messages of topics, and calls, that start runs."),
    "webhooks": ("webhooks", "Events of runs, sent to other systems."),
    "approvals": ("runs", "List what waits for a person, and decide."),
    "signal": ("runs", "Send a signal to a run."),
    "models": ("models", "Models and their weights."),
    "connections": ("models", "Connections to model servers."),
    "keys": ("keys", "Keys of the project: who may call, what, and how much."),
    "projects": ("projects", "Projects of the organisation and their limits."),
    "budgets": ("projects", "The most that project, key or organisation may spend."),
    "usage": ("usage", "What was used, and what it cost."),
    "prices": ("usage", "The price book."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"interplay.cli.{_COMMANDS[cmd_name][0]}_commands")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--server", metavar="URL", help="The server to talk to (or INTERPLAY_URL); else this machine's own.")
@click.option("--home", metavar="DIR", help="Where this machine's data lives (or INTERPLAY_HOME).")
@click.option("--project", metavar="NAME", help="Another project than the key's own, for keys that see all.")
@click.pass_context
def cli(ctx: click.Context, server: str | None, home: str | None, project: str | None) -> None:
    """Compose models into flows, run them durably, serve them."""
    ctx.obj = {"url": server, "home": home, "project": project}


def main() -> None:
    """Ends the process with the exit code that the end deserves, and one sentence where it is an error."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as wrong:
        wrong.show()
        code = exit_codes.USAGE
    except (click.Abort, KeyboardInterrupt):
        complain("stopped")
        code = exit_codes.STOPPED
    except (Unreachable, NotAvailable, Unavailable, SetupError) as away:
        complain(str(away))
        code = exit_codes.UNREACHABLE
    except (ApiError, InterplayError) as refused:
        complain(str(refused))
        for problem in getattr(refused, "problems", ()):
            complain(f"  {problem}" if not isinstance(problem, dict) else f"  {problem_text(problem)}")
        code = exit_codes.FAILED
    sys.exit(code if isinstance(code, int) else exit_codes.DONE)
