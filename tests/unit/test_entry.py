"""The first lines of the process."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from interplay.cli import entry


def test_ctrl_c_while_the_command_is_still_being_loaded_ends_it_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "interplay.cli.main", Loading("interplay.cli.main"))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interplay: stopped\n"
