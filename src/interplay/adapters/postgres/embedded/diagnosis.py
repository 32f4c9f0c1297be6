"""From what PostgreSQL or the system said to the sentence for the person who started us."""

from __future__ import annotations

import errno
from pathlib import Path

from interplay.adapters.postgres.embedded.errors import (
    EmbeddedPostgresError,
    HomeFromAnotherVersion,
    NoDiskSpace,
    NoRights,
    PortInUse,
    PostgresFailed,
)
from interplay.adapters.postgres.embedded.paths import Paths

_SHOWN_LINES = 12


def failure(paths: Paths, said: str, what: str) -> EmbeddedPostgresError:
    """The error for a program of PostgreSQL that printed `said`; `what` is our own sentence when no cause is known."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return NoDiskSpace(paths.directory)
    if "database files are incompatible with server" in said or "not compatible with this version" in said:
        return other_version(paths, "another version of PostgreSQL")
    if "Address already in use" in said:
        return PortInUse(
            "Another program took the loopback port of the database.",
            where=str(paths.directory),
            advice="Start again: a free port is chosen then.",
        )
    if "Permission denied" in said or "Read-only file system" in said:
        return no_rights(paths.directory, _first_line_with(said, "Permission denied", "Read-only file system"))
    tail = "\n".join(said.strip().splitlines()[-_SHOWN_LINES:])
    return PostgresFailed(what, log=paths.log, log_tail=tail)


def refusal(directory: Path, error: OSError) -> EmbeddedPostgresError | None:
    """The error for what the system refused to do in `directory`, or None when it is none that we know."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoDiskSpace(directory)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return no_rights(directory, _sentence(error))
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR):
        return NoRights(
            f"This cannot be the folder of the database ({_sentence(error)}).",
            where=str(directory),
            advice="Set INTERPLAY_HOME to a folder of yours.",
        )
    return None


def no_rights(directory: Path, said: str) -> NoRights:
    return NoRights(
        f"The database cannot be kept here ({said}).",
        where=str(directory),
        advice="Let this user write there, or set INTERPLAY_HOME to a folder of its own.",
    )


def other_version(paths: Paths, maker: str, ours: str = "") -> HomeFromAnotherVersion:
    needed = f" this Interplay needs {ours};" if ours else ""
    return HomeFromAnotherVersion(
        f"The database of this home was made by {maker};{needed} nothing was changed.",
        where=str(paths.directory),
        advice="Start it with the Interplay that made it, or set INTERPLAY_HOME to another folder.",
    )


def _sentence(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def _first_line_with(said: str, *words: str) -> str:
    return next(line for line in said.splitlines() if any(word in line for word in words)).strip()
