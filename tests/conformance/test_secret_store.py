"""Values behind secret://name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from interplay.adapters.files.secret_store import FolderSecretStore
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.core.errors import NotFound
from interplay.ports.secret_store import SecretStore

Made = Callable[[Mapping[str, str]], SecretStore]


def folder_with(folder: Path, values: Mapping[str, str]) -> FolderSecretStore:
    for name, value in values.items():
        (folder / name).write_text(value)
    return FolderSecretStore(folder, MemorySecretStore())


@pytest.fixture(params=["memory", "folder"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    if request.param == "memory":
        return MemorySecretStore
    return lambda values: folder_with(tmp_path, values)


class TestSecretStore:
    async def test_a_known_one_is_revealed(self, made: Made) -> None:
        assert await made({"key": "v"}).reveal(1, "key") == "v"

    @pytest.mark.parametrize("set_as", ["my_key", "MY_KEY"])
    async def test_its_name_is_the_same_in_capitals(self, made: Made, set_as: str) -> None:
        assert await made({set_as: "v"}).reveal(1, "my_key") == "v"

    async def test_an_unknown_one_says_how_to_set_it(self, made: Made) -> None:
        with pytest.raises(NotFound, match="INTERPLAY_SECRET_MY_KEY"):
            await made({}).reveal(1, "my-key")


class TestAFolder:
    async def test_goes_before_what_is_behind_it_and_leaves_the_rest_to_it(self, tmp_path: Path) -> None:
        (tmp_path / "one").write_text("new\n")
        store = FolderSecretStore(tmp_path, MemorySecretStore({"one": "old", "two": "2"}))
        assert [await store.reveal(1, "one"), await store.reveal(1, "two")] == ["new", "2"]

    async def test_gives_a_new_value_without_a_restart(self, tmp_path: Path) -> None:
        store = folder_with(tmp_path, {"key": "old"})
        await store.reveal(1, "key")
        (tmp_path / "key").write_text("new")
        assert await store.reveal(1, "key") == "new"

    async def test_finds_a_name_with_hyphens_under_its_underscores(self, tmp_path: Path) -> None:
        assert await folder_with(tmp_path, {"MY_KEY": "v"}).reveal(1, "my-key") == "v"

    @pytest.mark.parametrize("name", ["../outside", "/etc/hostname", ".hidden", "a/../../outside"])
    async def test_shows_nothing_but_its_own_files(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "outside").write_text("v")
        (folder / ".hidden").write_text("v")
        with pytest.raises(NotFound):
            await FolderSecretStore(folder, MemorySecretStore()).reveal(1, name)

    @pytest.mark.parametrize(
        ("raw", "said"), [(b"a\nb", "one line"), (b"\xff", "no text"), (b"x" * 70_000, "one line")]
    )
    async def test_says_what_is_wrong_with_a_file(self, tmp_path: Path, raw: bytes, said: str) -> None:
        (tmp_path / "key").write_bytes(raw)
        with pytest.raises(NotFound, match=said):
            await FolderSecretStore(tmp_path, MemorySecretStore()).reveal(1, "key")

    async def test_that_is_one_of_folders_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "key").mkdir()
        with pytest.raises(NotFound, match="cannot be read"):
            await FolderSecretStore(tmp_path, MemorySecretStore()).reveal(1, "key")
