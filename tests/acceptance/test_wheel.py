"""The wheel alone is the product: what a checkout has beside it must not be needed."""

from __future__ import annotations

import json
import signal
import subprocess
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import INSTALL_SECONDS, Installed, address_of

pytestmark = pytest.mark.timeout(2 * INSTALL_SECONDS)

FLOW = """\
flow: greeting
inputs:
  name: string
steps:
  words:
    set: {hello: "${ 'Hello, ' + inputs.name + '!' }"}
  length:
    set: {letters: "${ size(inputs.name) }"}
output:
  text: $words.hello
  letters: $length.letters
"""
WRONG_FLOW = "flow: wrong\nsteps:\n  a: {set: {b: $nowhere.c}}\n"


@pytest.fixture
def flow(home: Path) -> Path:
    path = home / "greeting.yaml"
    path.write_text(FLOW, encoding="utf-8")
    return path


def client_of(address: str, home: Path) -> httpx.Client:
    """A caller with the key that this machine made for its own API."""
    key = (home / ".interplay" / "token").read_text(encoding="utf-8").strip()
    return httpx.Client(base_url=address, timeout=60, headers={"Authorization": f"Bearer {key}"})


class TestWheel:
    def test_it_holds_the_package_and_nothing_of_the_checkout(self, installed: Installed) -> None:
        names = zipfile.ZipFile(installed.wheel).namelist()
        assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"interplay"}
        assert "interplay/py.typed" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)

    def test_its_command_says_its_version(self, installed: Installed, home: Path) -> None:
        done = installed.run(home, "version")
        assert done.returncode == 0, done.stderr
        assert installed.wheel.name.split("-")[1] in done.stdout

    def test_it_needs_nothing_that_it_does_not_bring(self, installed: Installed) -> None:
        python = installed.bin / "python"
        subprocess.run([str(python), "-m", "pip", "check"], check=True, timeout=60, capture_output=True)


class TestRun:
    def test_a_flow_file_runs_without_a_server(self, installed: Installed, home: Path, flow: Path) -> None:
        done = installed.run(home, "run", flow.name, "-i", "name=Ada", "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["status"] == "succeeded"
        assert said["output"] == {"text": "Hello, Ada!", "letters": 3}

    def test_a_second_one_in_the_same_home_is_another_run(self, installed: Installed, home: Path, flow: Path) -> None:
        runs = [installed.run(home, "run", flow.name, "-i", "name=Ada", "--json") for _ in range(2)]
        assert [done.returncode for done in runs] == [0, 0]
        assert len({json.loads(done.stdout)["run"] for done in runs}) == 2

    def test_a_wrong_flow_is_refused_with_its_place(self, installed: Installed, home: Path) -> None:
        (home / "wrong.yaml").write_text(WRONG_FLOW, encoding="utf-8")
        done = installed.run(home, "check", "wrong.yaml")
        assert done.returncode == 1
        assert "wrong.yaml:3" in done.stdout + done.stderr

    def test_a_file_that_is_not_there_is_named(self, installed: Installed, home: Path) -> None:
        done = installed.run(home, "run", "missing.yaml")
        assert done.returncode in {2, 3}
        assert "missing.yaml" in done.stderr
        assert "Traceback" not in done.stderr


class TestUp:
    def test_it_gets_ready_serves_a_run_and_ends_on_ctrl_c(self, installed: Installed, home: Path) -> None:
        with installed.started(home, "up", "--port", "0") as process:
            address = address_of(process)
            with client_of(address, home) as client:
                assert client.get("/readyz").status_code == 200
                saved = client.put("/api/v1/flows/greeting", json={"source": FLOW})
                assert saved.status_code in {200, 201}, saved.text
                request = {"flow": "greeting", "inputs": {"name": "Ada"}}
                run = client.post("/api/v1/runs", params={"wait": 30}, json=request)
                assert run.json()["output"] == {"text": "Hello, Ada!", "letters": 3}
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
            assert process.returncode in {0, 130}, said
            assert "Traceback" not in said

    def test_it_keeps_what_it_has_over_a_restart(self, installed: Installed, home: Path) -> None:
        for expected in (404, 200):
            with installed.started(home, "up", "--port", "0") as process:
                address = address_of(process)
                with client_of(address, home) as client:
                    assert client.get("/api/v1/flows/greeting").status_code == expected
                    client.put("/api/v1/flows/greeting", json={"source": FLOW})
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
