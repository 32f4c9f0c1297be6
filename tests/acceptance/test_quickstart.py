"""What the quickstart shows, done as it says, with the installed wheel."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import INSTALL_SECONDS, ROOT, Installed, address_of

pytestmark = pytest.mark.timeout(2 * INSTALL_SECONDS)

PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def hello(home: Path) -> Path:
    """The first flow of the page, saved as the page says."""
    path = home / "hello.yaml"
    path.write_text(blocks("yaml")[0], encoding="utf-8")
    return path


class TestQuickstart:
    def test_its_first_commands_work_as_they_are_written(self, installed: Installed, home: Path, hello: Path) -> None:
        lines = [line for block in blocks("sh") for line in block.splitlines() if f" {hello.name}" in line]
        commands = [shlex.split(line, comments=True) for line in lines if line.startswith("interplay ")]
        assert len(commands) >= 3
        for command in commands:
            done = installed.run(home, *command[1:])
            assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "Hello, Ada!" in done.stdout

    def test_its_python_program_prints_the_output(self, installed: Installed, home: Path, hello: Path) -> None:
        (program,) = blocks("python")
        with installed.started(home, "up", "--port", "0") as process:
            address = address_of(process)
            assert "http://127.0.0.1:8080" in program
            done = subprocess.run(
                [str(installed.bin / "python"), "-c", program.replace("http://127.0.0.1:8080", address)],
                cwd=home, env=installed.environment(home), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split(maxsplit=1)[0] == "succeeded"
        assert "Hello, Ada!" in done.stdout
