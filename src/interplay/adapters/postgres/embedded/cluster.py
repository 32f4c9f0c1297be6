"""Makes the cluster of an embedded PostgreSQL, once and whole, and keeps its password."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from pathlib import Path

from interplay.adapters.postgres.embedded import child, diagnosis
from interplay.adapters.postgres.embedded.binaries import MAJOR_VERSION, Binaries
from interplay.adapters.postgres.embedded.errors import NoDiskSpace
from interplay.adapters.postgres.embedded.identity import Identity
from interplay.adapters.postgres.embedded.listening import DATABASE, USER
from interplay.adapters.postgres.embedded.lock import ProcessLock
from interplay.adapters.postgres.embedded.paths import Paths

# The shape of the directory itself. A directory with a higher number is left alone.
FORMAT = 1
SPACE_TO_CREATE = 192 * 1024 * 1024
SPACE_TO_START = 32 * 1024 * 1024
# Making a cluster takes half a second; recovery after a crash may come before a repair.
_SECONDS = 600

_INITDB = (
    f"--username={USER}",
    "--auth=reject",  # our own pg_hba.conf decides
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # sorts the same with every libc
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)


class Cluster:
    """The data directory under `paths`. Wants the home locked and `lock` held: no PostgreSQL runs on it."""

    def __init__(self, paths: Paths, binaries: Binaries, lock: ProcessLock) -> None:
        self._paths = paths
        self._binaries = binaries
        self._lock = lock

    async def prepare(self, identity: Identity) -> str:
        """Makes what is missing of cluster and password; returns the password."""
        await asyncio.to_thread(self._paths.drop_staging)
        if self._paths.data.exists():
            _ask_for_space(self._paths.directory, SPACE_TO_START)
            identity.adopt(self._paths.data)
            password = self._read_password() or await self._renew_password(identity)
        else:
            _ask_for_space(self._paths.directory, SPACE_TO_CREATE)
            password = self._read_password() or self._write_password(secrets.token_urlsafe(24))
            await self._create(identity, password)
        if _number(self._paths.format) != FORMAT:
            self._paths.write(self._paths.format, f"{FORMAT}\n", mode=0o600)
        return password

    async def _create(self, identity: Identity, password: str) -> None:
        """Builds beside and renames at the end: a cluster is there whole or not at all."""
        staging = self._paths.new_staging()
        try:
            staging.mkdir(mode=0o700)
            identity.adopt(staging)
            await self._run(identity, staging, self._binaries.initdb, "-D", staging, *_INITDB)
            await self._alone(identity, staging, _set_password(password), f"CREATE DATABASE {DATABASE}")
            staging.rename(self._paths.data)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _sync_folder(self._paths.directory)

    async def _renew_password(self, identity: Identity) -> str:
        """For a lost password file: first the cluster learns the new one, then the file says it."""
        password = secrets.token_urlsafe(24)
        await self._alone(identity, self._paths.data, _set_password(password))
        return self._write_password(password)

    async def _alone(self, identity: Identity, data: Path, *statements: str) -> None:
        """Runs SQL in a stand-alone backend: no server, no socket, no password."""
        script = "".join(f"{statement};\n\n" for statement in statements)
        command = (self._binaries.postgres, "--single", "-D", data, "-j", "postgres")
        said = await self._run(identity, data, *command, script=script)
        if "ERROR:" in said or "FATAL:" in said:
            raise diagnosis.failure(self._paths, said, "PostgreSQL could not set up its database.")

    async def _run(self, identity: Identity, data: Path, *command: str | Path, script: str = "") -> str:
        """Runs a program in the folder of the cluster: a later start finds and ends it there, if we are killed."""
        place = child.Place(identity, data, self._lock.descriptor)
        try:
            code, said = await child.run(place, *command, said=script, timeout=_SECONDS)
        except TimeoutError as error:
            raise diagnosis.failure(self._paths, "", f"PostgreSQL could not be set up: {error}.") from error
        if code != 0:
            raise diagnosis.failure(self._paths, said, "PostgreSQL could not set up its data folder.")
        return said

    def _read_password(self) -> str | None:
        try:
            self._paths.password.chmod(0o600)
            return self._paths.password.read_text().strip() or None
        except FileNotFoundError:
            return None

    def _write_password(self, password: str) -> str:
        self._paths.write(self._paths.password, f"{password}\n", mode=0o600)
        return password


def check_version(paths: Paths) -> None:
    """Reads only. Raises `HomeFromAnotherVersion` for a home that this Interplay must not touch."""
    form = _number(paths.format)
    if form is not None and form > FORMAT:
        raise diagnosis.other_version(paths, "a newer Interplay")
    if not paths.data.exists():
        return
    try:
        found = (paths.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        maker = "something else (there is no PG_VERSION in it)"
        raise diagnosis.other_version(paths, maker, f"PostgreSQL {MAJOR_VERSION}") from None
    if found != MAJOR_VERSION:
        raise diagnosis.other_version(paths, f"PostgreSQL {found}", f"PostgreSQL {MAJOR_VERSION}")


def _set_password(password: str) -> str:
    """`password` is from `secrets.token_urlsafe`, or what a person put into the file."""
    quoted = password.replace("'", "''")
    return f"SET standard_conforming_strings = on;\n\nALTER ROLE {USER} PASSWORD '{quoted}'"


def _ask_for_space(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        detail = f"The database needs {needed >> 20} MiB of disk here, and {free >> 20} MiB are free."
        raise NoDiskSpace(directory, detail)


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
