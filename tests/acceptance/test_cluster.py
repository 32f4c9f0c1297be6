"""`make up-cluster` and `make down-cluster`: up, up again, used, and gone without a trace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import ROOT

pytestmark = pytest.mark.timeout(300)
FLOW = "flow: plain\ninputs: {n: integer}\nsteps:\n  out: {set: {n: '${ inputs.n + 1 }'}}\noutput: $out.n\n"
KINDS = {
    "gateway": 2,
    "api": 2,
    "worker": 3,
    "scheduler": 2,
    "recorder": 1,
    "model-server": 1,
    "postgres": 1,
    "kafka": 1,
}


def cluster(command: str, folder: Path, *, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cluster", command, str(folder)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def processes_of(folder: Path) -> list[int]:
    """Whoever names the folder, in its command or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in said):
            found.append(process.pid)
    return found


class TestCluster:
    def test_it_comes_up_once_is_used_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        folder = tmp_path / "cluster"
        assert "nothing was running" in cluster("down", folder)
        try:
            first = cluster("up", folder)
            assert "the cluster is up after" in first
            before = processes_of(folder)
            again = cluster("up", folder)
            assert "the cluster was up already" in again
            assert set(before) == set(processes_of(folder))
            lines = cluster("status", folder).splitlines()
            counted = {kind: sum(line.startswith(kind) for line in lines) for kind in KINDS}
            assert counted == KINDS
            url, key = re.search(r"INTERPLAY_URL=(\S+) INTERPLAY_KEY=(\S+)", again).groups()  # type: ignore[union-attr]
            (folder / "plain.yaml").write_text(FLOW)
            ran = subprocess.run(
                [sys.executable, "-m", "interplay.cli", "run", str(folder / "plain.yaml"), "-i", "n=41"],
                env={**os.environ, "INTERPLAY_URL": url, "INTERPLAY_KEY": key},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stdout + ran.stderr
            assert "42" in ran.stdout
        finally:
            cluster("down", folder)
        assert processes_of(folder) == []
        assert "nothing is running" in cluster("status", folder, code=1)
