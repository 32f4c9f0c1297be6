"""The folders and files of one embedded PostgreSQL, and writing them without surprises."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from interplay.adapters.postgres.embedded.identity import Identity

_STAGING = "data.new-"


@dataclass(frozen=True)
class Paths:
    """`directory` and all in it is ours; nothing above it is touched.

    lock            held by the supervisor           process-lock   held by all of PostgreSQL
    password        of the user `interplay`, 0600
    data/           the cluster (PostgreSQL's own)   run/       the socket, mode 0700
    log/            what PostgreSQL says             config/    its settings; local.conf is the user's
    format          the shape of this directory     port       the loopback port, where there is one
    """

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def process_lock(self) -> Path:
        return self.directory / "process-lock"

    @property
    def password(self) -> Path:
        return self.directory / "password"

    @property
    def format(self) -> Path:
        return self.directory / "format"

    @property
    def port(self) -> Path:
        return self.directory / "port"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def log(self) -> Path:
        return self.directory / "log" / "postgres.log"

    @property
    def configuration(self) -> Path:
        return self.directory / "config"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def make(self) -> None:
        """Makes the directory and its folders where they are missing; as root, for the owner of what is above."""
        missing = [folder for folder in (self.directory, *self.directory.parents) if not folder.is_dir()]
        for folder in (*reversed(missing), self.configuration, self.log.parent, self.run):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                _give(folder, folder.parent)

    def open_to(self, identity: Identity) -> None:
        """Lets another user of the machine pass to what it needs, where PostgreSQL runs as one."""
        self.run.chmod(0o700)
        identity.adopt(self.run)
        if identity.owner_uid != self.directory.stat().st_uid:
            self.directory.chmod(0o711)
            self.configuration.chmod(0o711)

    def write(self, path: Path, text: str, mode: int) -> None:
        """Replaces a file as a whole, on disk before it is seen, never through a link."""
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(open_owned(fresh, os.O_WRONLY | os.O_EXCL), "w") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise

    def remove_pid_files(self) -> None:
        """Removes what a PostgreSQL that was killed left of its pid."""
        self.pid_file.unlink(missing_ok=True)
        for stale in self.run.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)

    def drop_staging(self) -> None:
        """Removes what interrupted first starts left."""
        for left in self.staging():
            shutil.rmtree(left, ignore_errors=True)

    def new_staging(self) -> Path:
        """A name for a cluster in the making, another for each try."""
        return self.directory / f"{_STAGING}{secrets.token_hex(4)}"

    def staging(self) -> list[Path]:
        """What interrupted first starts left."""
        return list(self.directory.glob(f"{_STAGING}*"))


def open_owned(path: Path, flags: int) -> int:
    """Opens a file of ours, made where it is missing with mode 0600, never through a link.

    As root, its owner is the owner of its folder: a home of an ordinary user stays usable for them.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _give(path: Path, like: Path) -> None:
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
