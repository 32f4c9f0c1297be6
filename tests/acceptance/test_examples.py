"""The examples as a user runs them: every flow of the folder, then those that have a page of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT
from tests.real_machine import RealMachine, real_machine
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(300)
FLOWS = sorted((ROOT / "examples").glob("*.yaml"))
EXPECTED: dict[str, Any] = {  # what can be told without knowing what a model says
    "chain": lambda output: output is not None,
    "hello": lambda output: output is not None,
    "items": lambda output: output["n"] >= 100,
    "parallel": lambda output: output["waited"] >= 2,
    "review-triage": lambda output: output["vote"] in ("good", "bad"),
    "ensemble": lambda output: output["winner"] in ("good", "bad") and len(output["answers"]) == 3,
    "cascade": lambda output: (
        0 < output["answered_by_the_cheap_one"] < output["reviews"] and output["cascade_was_right"] >= 7
    ),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMachine]:
    with real_machine(tmp_path_factory.mktemp("machine") / "home") as running:
        yield running


class TestEveryFlow:
    @pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
    def test_runs_with_the_inputs_that_it_has(self, machine: RealMachine, path: Path) -> None:
        name = ["-i", "name=Ada"] if path.stem == "hello" else []
        done = machine.command("run", str(path), *name, "--json", cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        run = json.loads(done.stdout)
        assert run["status"] == "succeeded"
        assert EXPECTED[path.stem](run["output"])


class TestLangGraph:
    def test_its_graph_is_a_step(self, tmp_path: Path) -> None:
        settings = {"PYTHONPATH": "examples/langgraph", "INTERPLAY_EXTENSIONS": "examples/langgraph/extensions.yaml"}
        with real_machine(tmp_path / "home", **settings) as machine:
            done = machine.command("run", "examples/langgraph/langgraph.yaml", "--json", cwd=ROOT)
            assert done.returncode == 0, done.stdout + done.stderr
            output = json.loads(done.stdout)["output"]
        assert output["words"] == len(output["text"].split())
        assert output["verdict"] == ("wordy" if output["words"] > 20 else "brief")


class TestAgent:
    def test_it_asks_the_tool_of_its_mcp_server(self, tmp_path: Path, planner: str) -> None:
        folder = tmp_path / "agent"
        folder.mkdir()
        for path in (ROOT / "examples" / "agent").glob("*.yaml"):
            text = path.read_text(encoding="utf-8").replace("http://127.0.0.1:8765/v1", planner)
            (folder / path.name).write_text(text, encoding="utf-8")
        settings = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "INTERPLAY_EXTENSIONS": "examples/agent/extensions.yaml", "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
        }  # fmt: skip
        with real_machine(tmp_path / "home", **settings) as machine:
            applied = machine.command("apply", str(folder))
            assert applied.returncode == 0, applied.stdout + applied.stderr
            run = self.ran(machine, folder, "How many lamps are left?")
            assert run["output"] == "The warehouse says: 7 of 'lamp'"
            assert "There is no 'unicorn' here" in self.ran(machine, folder, "Any unicorns?")["output"]
            steps = machine.command("runs", "show", run["run"])
            assert re.search(r"helper\[0\]\.call0", steps.stdout), steps.stdout

    def ran(self, machine: RealMachine, folder: Path, question: str) -> Any:
        done = machine.command("run", str(folder / "agent.yaml"), "-i", f"question={question}", "--json", cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def planner() -> Iterator[str]:
    """The stand-in for a model that calls tools; its address."""
    command = [sys.executable, "examples/agent/planner.py", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.removeprefix("ready: ").strip()
    process.terminate()
    process.wait(10)
    process.stdout.close()


class TestStreams:
    def test_reviews_come_in_on_one_topic_and_go_out_on_another(self, tmp_path: Path, kafka: KafkaBroker) -> None:
        settings = {"INTERPLAY_KAFKA_BOOTSTRAP": kafka.bootstrap}

        def topics(command: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "examples.streams.topics", command], cwd=ROOT, env={**os.environ, **settings},
                capture_output=True, text=True, timeout=120, check=True,
            )  # fmt: skip
            return done.stdout

        def say(*arguments: str) -> str:
            done = machine.command(*arguments, cwd=ROOT)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        topics("make")
        with real_machine(tmp_path / "home", **settings) as machine:
            assert "trigger reviews: changed" in say("apply", "examples/streams")
            assert "trigger reviews: as it is" in say("apply", "examples/streams")
            topics("send")
            deadline = time.monotonic() + 120
            while (trigger := json.loads(say("triggers", "show", "reviews", "--json")))["tally"]["started"] < 4:
                assert time.monotonic() < deadline, trigger
            while len(said := topics("show").splitlines()) < 4:
                assert time.monotonic() < deadline, said
            assert json.loads(say("triggers", "show", "reviews", "--json"))["lag"] == 0
            shown = say("triggers", "show", "reviews")
            assert "4 started a run" in shown
            assert "reviews" in say("triggers", "list")
        labels = {row["id"]: row["label"] for row in map(json.loads, said)}
        assert set(labels) == {"r1", "r2", "r3", "r4"}
        assert set(labels.values()) <= {"praise", "complaint"}
