"""Each mutant of the product is noticed, by the test that is named for it and for the right reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "interplay"
pytestmark = pytest.mark.timeout(180)


def over(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "interplay")
    return tmp_path


def make_wrong(copy: Path, mutant: Mutant) -> None:
    """Fails when the line is not there any more, or stands there twice: then the mutant has to follow the code."""
    path = copy / "interplay" / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.line) == 1, f"{mutant.file} has this line {text.count(mutant.line)} times: {mutant.line}"
    path.write_text(text.replace(mutant.line, mutant.instead), encoding="utf-8")


class TestMutants:
    def test_the_copy_is_what_is_tested(self, copy: Path) -> None:
        said = over(copy, "-c", "import interplay; print(interplay.__file__)").stdout.strip()
        assert said == str(copy / "interplay" / "__init__.py")

    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
    def test_it_is_caught(self, copy: Path, mutant: Mutant) -> None:
        make_wrong(copy, mutant)
        done = over(copy, "-m", "pytest", mutant.test, "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist")
        assert done.returncode == 1, f"nothing noticed it:\n{done.stdout[-1500:]}{done.stderr[-500:]}"
        found = "\n".join(line for line in done.stdout.splitlines() if line.startswith("E  "))
        assert re.search(mutant.says, found), f"it was noticed for another reason:\n{found[-3000:]}"
