"""What commands print of what comes from outside: as it is, on a terminal and through a pipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_terminal import CTRL_C, Terminal, environment, terminal

pytestmark = pytest.mark.timeout(180)
NASTY = "see [bold]this[/bold] [/x] :smile: [/etc/passwd]"
FLOW = """
flow: odd
about: "[/b]"
inputs:
  text: string
steps:
  say: {set: {said: "${ inputs.text }"}}
  "no": {set: {n: "${ 1 / size(inputs.text.split('')) - 1 }"}, when: "false"}
  ask: {approve: {who: ["[red]ada[/red]"], show: $say.said, within: 4h}, after: [say]}
  sum: {set: {n: "${ int(inputs.text) }"}, after: [ask]}
output: $sum.n
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    (home / "odd.yaml").write_text(FLOW, encoding="utf-8")
    with terminal(home, "up", "--port", "0") as machine:
        machine.until(r"Interplay is up at http")
        yield home
        machine.press(CTRL_C)
        assert machine.ended() == 0


def piped(home: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "interplay.cli", *arguments], cwd=home, env=environment(home),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def typed(home: Path, *arguments: str, code: int = 0) -> str:
    """What a person sees: colours and line ends taken away."""
    with terminal(home, *arguments) as screen:
        assert screen.ended() == code, screen.said
        assert "Traceback" not in screen.said
        return plain(screen)


def plain(screen: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.said).replace("\r\n", "\n")


def waiting_run(home: Path) -> str:
    run = piped(home, "run", "odd.yaml", "-i", f"text={NASTY}", "--detach").strip()
    deadline = time.monotonic() + 30
    while run not in piped(home, "approvals", "list", "--json"):
        assert time.monotonic() < deadline
    return run


class TestPrinting:
    def test_an_approver_sees_the_very_text(self, home: Path) -> None:
        run = waiting_run(home)
        for told in (piped(home, "approvals", "list"), typed(home, "approvals", "list")):
            assert NASTY in told.replace("\n", " ").replace("  ", " ") or NASTY in told
            assert "[red]ada[/red]" in told
            assert run in told, "whole, so that it can be copied"
        assert "at the latest" in typed(home, "approvals", "list")
        piped(home, "runs", "cancel", run)

    def test_a_run_that_is_followed_says_what_it_waits_for_and_why_it_failed(self, home: Path) -> None:
        with terminal(home, "run", "odd.yaml", "-i", f"text={NASTY}") as screen:
            run = screen.until(r"run ([0-9a-f-]{36})").group(1)
            screen.until("decide")
            assert f"interplay approvals decide {run} ask approve" in plain(screen).replace("\n", "")
            piped(home, "approvals", "decide", run, "ask", "approve", "--by", "[red]ada[/red]")
            assert screen.ended() == 1
        assert "Traceback" not in screen.said
        assert "sum" in plain(screen)
        for told in (piped(home, "runs", "show", run), typed(home, "runs", "show", run)):
            assert "failed" in told
            assert "sum:" in told, "where it failed"
            assert "critical path" in told
        assert piped(home, "runs", "explain", run, "no").startswith("no was skipped")
        for command in (("runs", "list"), ("flows", "list"), ("runs", "events", run), ("runs", "replay", run)):
            piped(home, *command)
            typed(home, *command)

    def test_two_machines_of_one_home_are_told_in_a_sentence(self, home: Path) -> None:
        told = piped(home, "up", "--port", "0", code=3)
        assert "already runs on this home, at http://127.0.0.1:" in told

    def test_applying_the_same_again_changes_nothing(self, home: Path) -> None:
        (home / "interplay.yaml").write_text(
            "connections:\n  c: {base_url: 'http://127.0.0.1:9/v1'}\n"
            "models:\n  m: {task: chat, deployments: [{connection: c, model: x, price: {input: 1, output: 2}}]}\n"
        )
        first = json.loads(piped(home, "apply", "interplay.yaml", "odd.yaml", "--json"))
        again = json.loads(piped(home, "apply", "interplay.yaml", "odd.yaml", "--json"))
        assert [item["changed"] for item in first["items"]][:2] == [True, True]
        assert not any(item["changed"] for item in again["items"])
        assert piped(home, "apply", "interplay.yaml").count("as it is") == 2
