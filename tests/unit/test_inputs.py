"""Inputs as commands take them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from interplay.cli.files import inputs_of


class TestInputs:
    def test_they_are_read_as_their_types_say_over_what_a_file_holds(self, tmp_path: Path) -> None:
        file = tmp_path / "inputs.json"
        file.write_text('{"n": 1, "who": "Ada"}')
        assert inputs_of(("n=2", "text=3"), str(file), {"n": "integer", "text": "string"}) == {
            "n": 2, "who": "Ada", "text": "3",
        }  # fmt: skip

    @pytest.mark.parametrize("there", [None, "folder"])
    def test_a_file_that_cannot_be_read_is_told(self, tmp_path: Path, there: str | None) -> None:
        place = tmp_path / "folder"
        if there is not None:
            place.mkdir()
        with pytest.raises(click.BadParameter, match=f"{place} cannot be read"):
            inputs_of((), str(place), {})

    @pytest.mark.parametrize("text", ["", "{", "[1]", b"\xff\xfe"])
    def test_so_is_one_that_holds_no_inputs(self, tmp_path: Path, text: str | bytes) -> None:
        file = tmp_path / "inputs.json"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(click.ClickException, match=r"JSON"):
            inputs_of((), str(file), {})
