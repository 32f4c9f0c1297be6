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

    lock            held by the supervisor          password   of the user `interplay`, mode 0600
    data/           the cluster (PostgreSQL's own)   run/       the socket, mode 0700
    log/            what PostgreSQL says             config/    its settings; local.conf is the user's
    format          the shape of this directory     port       the loopback port, where there is one
    """

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

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
        """Makes the directory and its folders where they are missing; as root, for the owner of the parent."""
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True)
            self._give(self.directory, self.directory.parent)
        for folder in (self.configuration, self.log.parent, self.run):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                self._give(folder, self.directory)

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
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._give(fresh, self.directory)
            fresh.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise

    def new_staging(self) -> Path:
        """A name for a cluster in the making. Each try has its own, so that an orphaned one cannot interfere."""
        return self.directory / f"{_STAGING}{secrets.token_hex(4)}"

    def drop_staging(self) -> None:
        """Removes what an interrupted first start left."""
        for left in self.directory.glob(f"{_STAGING}*"):
            shutil.rmtree(left, ignore_errors=True)

    @staticmethod
    def _give(path: Path, like: Path) -> None:
        if os.geteuid() == 0:
            owner = like.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
