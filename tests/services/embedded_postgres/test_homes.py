"""Homes of every kind: odd names, other versions, lost passwords, missing programs."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres, url_of_running
from interplay.adapters.postgres.embedded.binaries import find_binaries
from interplay.adapters.postgres.embedded.errors import (
    BinariesMissing,
    EmbeddedPostgresError,
    HomeFromAnotherVersion,
    NoRights,
    PostgresFailed,
)
from interplay.bootstrap_checks import report
from interplay.settings import load_settings
from tests.services.embedded_postgres.supervising import kept, value, write


def content(directory: Path) -> dict[str, bytes]:
    """All files below a folder: two of these are equal when nothing was touched."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket below it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


class TestNameOfTheHome:
    @pytest.mark.parametrize("name", ["my ünï家", """a'"\\%20=&?#;$(x)"""])
    async def test_any_name_works_with_a_socket(self, short_path: Path, name: str) -> None:
        async with EmbeddedPostgres(short_path / name / "postgres") as url:
            assert await value(url, "SHOW listen_addresses") == ""
            assert await value(url, "SELECT inet_server_addr() IS NULL")
            assert url_of_running(short_path / name / "postgres") == url

    @pytest.mark.parametrize("name", ["comma,ted", "long-" + "x" * 120])
    async def test_where_a_socket_is_not_possible_it_listens_on_loopback_only(self, tmp_path: Path, name: str) -> None:
        embedded = EmbeddedPostgres(tmp_path / name)
        first = await embedded.start()
        await write(first, 1)
        assert await value(first, "SHOW listen_addresses") == "127.0.0.1"
        assert await value(first, "SHOW unix_socket_directories") == ""
        assert url_of_running(tmp_path / name) == first
        await embedded.stop()
        assert await embedded.start() == first
        assert await kept(first) == [1]
        await embedded.stop()

    async def test_a_loopback_port_that_was_taken_meanwhile_is_replaced(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "comma,ted")
        await embedded.start()
        await embedded.stop()
        port = int((embedded.directory / "port").read_text())
        with socket.create_server(("127.0.0.1", port)):
            url = await embedded.start()
            assert f":{port}/" not in url
            assert await value(url, "SELECT 1") == 1
            await embedded.stop()

    async def test_a_file_in_its_place_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("not a folder")
        with pytest.raises(NoRights, match="INTERPLAY_HOME") as refused:
            await EmbeddedPostgres(tmp_path / "home" / "postgres").start()
        assert str(tmp_path / "home") in str(refused.value)


class TestHomeOfAnotherVersion:
    async def test_a_newer_postgresql_is_named_and_nothing_touched(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "PG_VERSION").write_text("19\n")
        before = content(directory)
        with pytest.raises(HomeFromAnotherVersion) as refused:
            await EmbeddedPostgres(directory).start()
        assert "PostgreSQL 19" in str(refused.value)
        assert "PostgreSQL 18" in str(refused.value)
        assert "nothing was changed" in str(refused.value)
        assert content(directory) == before
        assert [path.name for path in directory.iterdir()] == ["data"]

    async def test_a_home_of_a_newer_interplay_is_not_touched(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        (embedded.directory / "format").write_text("2\n")
        before = content(embedded.directory)
        with pytest.raises(HomeFromAnotherVersion, match="a newer Interplay"):
            await embedded.start()
        assert content(embedded.directory) == before
        told = {entry["what"]: entry for entry in await report(load_settings(home=tmp_path))}
        assert not told["database"]["ok"], "`interplay doctor` says so too"
        assert "a newer Interplay" in told["database"]["found"]
        assert content(embedded.directory) == before

    async def test_a_folder_that_is_no_database_is_not_touched(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "letters.txt").write_text("mine")
        with pytest.raises(HomeFromAnotherVersion, match="PG_VERSION"):
            await EmbeddedPostgres(directory).start()
        assert content(directory) == {"data/letters.txt": b"mine"}

    async def test_a_damaged_database_shows_the_last_lines_of_the_log(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        (embedded.directory / "data" / "global" / "pg_control").unlink()
        with pytest.raises(PostgresFailed) as failed:
            await embedded.start()
        assert "pg_control" in failed.value.log_tail
        assert str(embedded.directory / "log" / "postgres.log") in str(failed.value)
        assert "pg_control" in str(failed.value)

    async def test_after_a_failed_start_the_home_is_free(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        control = embedded.directory / "data" / "global" / "pg_control"
        kept_aside = control.rename(tmp_path / "pg_control")
        with pytest.raises(PostgresFailed):
            await embedded.start()
        shutil.copy(kept_aside, control)
        shutil.copystat(kept_aside, control)
        async with EmbeddedPostgres(embedded.directory) as url:
            assert await value(url, "SELECT 1") == 1


class TestPassword:
    async def test_a_lost_one_is_replaced(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        first = await embedded.start()
        await write(first, 1)
        await embedded.stop()
        (embedded.directory / "password").unlink()
        second = await embedded.start()
        assert second != first
        assert await kept(second) == [1]
        await embedded.stop()

    async def test_a_wrong_one_is_explained_and_its_advice_works(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        (embedded.directory / "password").write_text("guessed\n")
        with pytest.raises(EmbeddedPostgresError, match="Remove the file `password`"):
            await embedded.start()
        (embedded.directory / "password").unlink()
        assert await value(await embedded.start(), "SELECT 1") == 1
        await embedded.stop()


class TestPrograms:
    def test_they_are_those_of_postgresql_18(self) -> None:
        assert find_binaries().directory.name == "pginstall18"

    def test_a_missing_package_says_how_to_install_it(self) -> None:
        with pytest.raises(BinariesMissing, match=r"pip install 'interplay\[embedded\]'"):
            find_binaries("a-distribution-that-is-not-installed")

    def test_a_package_without_them_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "empty_carrier-1.0.dist-info").mkdir()
        (tmp_path / "empty_carrier-1.0.dist-info" / "METADATA").write_text("Name: empty-carrier\nVersion: 1.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(BinariesMissing, match="pginstall18/bin/postgres"):
            find_binaries("empty-carrier")
