"""PostgreSQL refuses root: what is done instead, for each kind of home. Collected as root only."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.embedded.binaries import Binaries, find_binaries
from tests.services.embedded_postgres.supervising import AWAY, kept, kept_once_back, mode, supervised, value, write

NOBODY = pwd.getpwnam("nobody")
ORDINARY = pwd.getpwnam("daemon")
_FORBIDDING = str(Path(__file__).with_name("forbid_user_namespaces.py"))

# The right to read everywhere, because the Python of root may be out of reach; none to write.
AS_ORDINARY = (
    "setpriv",
    f"--reuid={ORDINARY.pw_uid}",
    f"--regid={ORDINARY.pw_gid}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
)


def copied(binaries: Binaries, folder: Path) -> Binaries:
    """A copy of the programs, with the libraries that stand beside their package."""
    installation = binaries.directory
    package = installation.parent
    unneeded = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(installation, folder / package.name / installation.name, ignore=unneeded)
    shutil.copytree(package.with_name(f"{package.name}.libs"), folder / f"{package.name}.libs")
    return Binaries(folder / package.name / installation.name)


@pytest.fixture(scope="module")
def open_binaries() -> Iterator[Binaries]:
    """The programs in a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield copied(find_binaries(), Path(folder))


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def closed_home(open_home: Path) -> Path:
    """A home below a folder that only root can pass."""
    home = open_home / "root" / ".interplay"
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    return home


def in_own_user_namespace(pid: int | None) -> bool:
    return os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")


def uid_of(pid: int | None) -> int:
    return psutil.Process(pid).uids().effective


def capabilities(pid: int | None) -> set[str]:
    """The first capabilities by name: all that a test here may meet."""
    effective = int(Path(f"/proc/{pid}/status").read_text().partition("CapEff:\t")[2].splitlines()[0], 16)
    names = ["chown", "dac_override", "dac_read_search"]
    assert effective < 1 << len(names)
    return {name for bit, name in enumerate(names) if effective >> bit & 1}


def owners(directory: Path) -> set[int]:
    return {path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


def fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


async def write_until_refused(url: str, most: int) -> list[int]:
    """Commits rows with a megabyte each until the server refuses or falls; those that it acknowledged."""
    acknowledged: list[int] = []
    await write(url, 0)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER TABLE kept ADD ballast bytea")
        for number in range(1, most):
            await connection.execute("INSERT INTO kept VALUES ($1, $2)", number, os.urandom(1 << 20))
            acknowledged.append(number)
    except (asyncpg.DiskFullError, *AWAY):
        connection.terminate()
    return [0, *acknowledged]


class TestHomeThatOthersCanReach:
    async def test_postgresql_runs_as_nobody_and_only_its_own_folders_change_hands(
        self, open_home: Path, open_binaries: Binaries
    ) -> None:
        embedded = EmbeddedPostgres(open_home / "postgres", open_binaries)
        async with embedded as url:
            await write(url, 1)
            assert uid_of(embedded.pid) == NOBODY.pw_uid
            assert not in_own_user_namespace(embedded.pid)
            assert owners(embedded.directory / "data") == {NOBODY.pw_uid}
            assert (embedded.directory / "password").stat().st_uid == 0
            assert mode(embedded.directory / "password") == 0o600
            assert mode(embedded.directory / "data") == 0o700
            assert mode(embedded.directory / "run") == 0o700
        assert mode(open_home) == 0o755


class TestHomeUnderAFolderOfRoot:
    async def test_postgresql_runs_in_a_user_namespace_and_no_right_or_user_changes(
        self, closed_home: Path, open_binaries: Binaries
    ) -> None:
        users = pwd.getpwall()
        embedded = EmbeddedPostgres(closed_home / "postgres", open_binaries)
        async with embedded as url:
            await write(url, 1)
            assert in_own_user_namespace(embedded.pid)
            assert owners(closed_home) == {0}
        assert mode(closed_home.parent) == 0o700
        assert pwd.getpwall() == users
        async with embedded as url:
            assert await kept(url) == [1]

    async def test_so_it_does_where_the_programs_are_out_of_reach(
        self, open_home: Path, closed_home: Path, open_binaries: Binaries
    ) -> None:
        embedded = EmbeddedPostgres(open_home / "postgres", copied(open_binaries, closed_home))
        async with embedded as url:
            assert in_own_user_namespace(embedded.pid)
            assert await value(url, "SELECT 1") == 1

    async def test_a_home_that_moved_there_and_back_keeps_its_rows(
        self, open_home: Path, closed_home: Path, open_binaries: Binaries
    ) -> None:
        async with EmbeddedPostgres(open_home / "postgres", open_binaries) as url:
            await write(url, 1)
        (open_home / "postgres").rename(closed_home / "postgres")
        embedded = EmbeddedPostgres(closed_home / "postgres", open_binaries)
        async with embedded as url:
            await write(url, 2)
            assert in_own_user_namespace(embedded.pid)
        (closed_home / "postgres").rename(open_home / "postgres")
        embedded = EmbeddedPostgres(open_home / "postgres", open_binaries)
        async with embedded as url:
            assert uid_of(embedded.pid) == NOBODY.pw_uid
            assert await kept(url) == [1, 2]


class TestRootWithoutUserNamespaces:
    async def test_postgresql_runs_as_nobody_with_one_capability(
        self, closed_home: Path, open_binaries: Binaries
    ) -> None:
        prefix = (sys.executable, _FORBIDDING)
        async with supervised(closed_home / "postgres", prefix, open_binaries.directory) as supervisor:
            assert "url" in supervisor.said, supervisor.said
            pid = supervisor.said["pid"]
            assert await value(supervisor.said["url"], "SELECT 1") == 1
            assert uid_of(pid) == NOBODY.pw_uid
            assert capabilities(pid) == {"dac_override"}
            await supervisor.stop()
        assert mode(closed_home.parent) == 0o700

    async def test_without_capabilities_either_it_says_what_was_tried_and_what_to_do(
        self, closed_home: Path, open_binaries: Binaries
    ) -> None:
        prefix = (sys.executable, _FORBIDDING, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
        async with supervised(closed_home / "postgres", prefix, open_binaries.directory) as supervisor:
            assert supervisor.said["kind"] == "CannotLeaveRoot"
            for words in ("as the user nobody", "in a user namespace", "one capability", "INTERPLAY_HOME"):
                assert words in supervisor.said["error"]


class TestHomeOfAnOrdinaryUser:
    async def test_they_start_it_themselves(self, open_home: Path) -> None:
        os.chown(open_home, ORDINARY.pw_uid, ORDINARY.pw_gid)
        async with supervised(open_home / "home" / "postgres", AS_ORDINARY) as supervisor:
            assert "url" in supervisor.said, supervisor.said
            assert uid_of(supervisor.said["pid"]) == ORDINARY.pw_uid
            await supervisor.stop()
        assert owners(open_home) == {ORDINARY.pw_uid}

    async def test_after_a_start_by_root_it_is_still_theirs(self, open_home: Path, open_binaries: Binaries) -> None:
        os.chown(open_home, ORDINARY.pw_uid, ORDINARY.pw_gid)
        directory = open_home / "home" / "postgres"
        embedded = EmbeddedPostgres(directory, open_binaries)
        async with embedded as url:
            await write(url, 1)
            assert uid_of(embedded.pid) == ORDINARY.pw_uid
        assert owners(open_home) == {ORDINARY.pw_uid}
        async with supervised(directory, AS_ORDINARY) as supervisor:
            assert await kept(supervisor.said["url"]) == [1]
            await supervisor.stop()

    async def test_so_it_is_where_they_cannot_reach_the_programs(
        self, open_home: Path, closed_home: Path, open_binaries: Binaries
    ) -> None:
        home = open_home / "ordinary"
        os.mkdir(home)
        os.chown(home, ORDINARY.pw_uid, ORDINARY.pw_gid)
        embedded = EmbeddedPostgres(home / "postgres", copied(open_binaries, closed_home))
        async with embedded as url:
            await write(url, 1)
            assert uid_of(embedded.pid) == ORDINARY.pw_uid
            assert capabilities(embedded.pid) == {"dac_override"}
        assert owners(home) == {ORDINARY.pw_uid}

    async def test_one_that_they_may_not_write_is_named(self, open_home: Path) -> None:
        async with supervised(open_home / "postgres", AS_ORDINARY) as supervisor:
            assert supervisor.said["kind"] == "NoRights"
            assert str(open_home) in supervisor.said["error"]
            assert "INTERPLAY_HOME" in supervisor.said["error"]
        assert owners(open_home) == {0}

    async def test_one_whose_database_is_of_another_user_is_named(
        self, open_home: Path, open_binaries: Binaries
    ) -> None:
        async with EmbeddedPostgres(open_home / "postgres", open_binaries):
            pass
        async with supervised(open_home / "postgres", AS_ORDINARY) as supervisor:
            assert supervisor.said["kind"] == "NoRights"


class TestDisk:
    """In a mount namespace of their own, with a small disk in the place of the home."""

    @staticmethod
    def on_disk(home: Path, options: str) -> tuple[str, ...]:
        home.mkdir(parents=True, exist_ok=True)
        script = 'mount -t tmpfs -o "$0" tmpfs "$1" && shift && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", script, options, str(home))

    async def test_one_that_is_too_small_is_named_with_its_free_space(self, tmp_path: Path) -> None:
        async with supervised(
            tmp_path / "home" / "postgres", self.on_disk(tmp_path / "home", "size=64m")
        ) as supervisor:
            assert supervisor.said["kind"] == "NoDiskSpace"
            assert "MiB are free" in supervisor.said["error"]

    async def test_one_that_fills_up_while_the_database_is_made_is_named(self, tmp_path: Path) -> None:
        prefix = self.on_disk(tmp_path / "home", "size=400m,nr_inodes=400")
        async with supervised(tmp_path / "home" / "postgres", prefix) as supervisor:
            assert supervisor.said["kind"] == "NoDiskSpace"
            assert "Free some space" in supervisor.said["error"]

    async def test_one_that_fills_up_later_loses_no_commit_and_goes_on_when_there_is_space(
        self, tmp_path: Path
    ) -> None:
        home = tmp_path / "small,disk"  # the comma makes it listen on loopback: its socket would be out of sight
        async with supervised(home / "postgres", self.on_disk(home, "size=230m")) as supervisor:
            assert "url" in supervisor.said, supervisor.said
            ballast = Path(f"/proc/{supervisor.pid}/root{home}/ballast")
            fill(ballast, 90 << 20)
            acknowledged = await write_until_refused(supervisor.said["url"], 100)
            assert 0 < len(acknowledged) < 100
            os.unlink(ballast)
            rows = await kept_once_back(supervisor.said["url"])
            # The last one was sent, and its answer may be what was lost.
            assert rows[: len(acknowledged)] == acknowledged
            await write(supervisor.said["url"], 1000)
            await supervisor.stop()

    async def test_one_that_is_read_only_is_named(self, tmp_path: Path) -> None:
        async with supervised(tmp_path / "home" / "postgres", self.on_disk(tmp_path / "home", "ro")) as supervisor:
            assert supervisor.said["kind"] == "NoRights"
            assert "Read-only file system" in supervisor.said["error"]
