"""Which user the programs of PostgreSQL run as, because they refuse uid 0.

* Not root: as ourselves.
* Root, and the owner of the data (else of its directory, else nobody) can reach
  both the programs and the directory: as that user.
* Root, and that user cannot: in a user namespace (`unshare -U`), where our own
  uid has another number. This is the case of a home under /root.
* Root where user namespaces are forbidden, as in most containers, or in the home
  of an ordinary user who cannot reach the programs: as that user with one
  capability left, to pass the folders that are in the way.

Whether one works is tried, by asking the programs for their version from the directory
(for another user from its parent: the directory itself is ours to open).
Nothing is changed for it: no user is made, no rights of parent folders.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interplay.adapters.postgres.embedded.binaries import Binaries
from interplay.adapters.postgres.embedded.errors import CannotLeaveRoot, NoRights

_PROBE_SECONDS = 10
_NOBODY = "nobody"
# What the programs see: nothing of ours, or a PGDATA of the user would speak with them.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Identity:
    """How to run a program of PostgreSQL, and who then owns the files it makes."""

    label: str
    owner_uid: int
    owner_gid: int
    prefix: tuple[str, ...] = ()
    switch_user: bool = False

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line that runs these arguments under this identity."""
        return [*self.prefix, *(str(argument) for argument in arguments)]

    @property
    def user(self) -> int | None:
        """For `Popen(user=, group=)`: the uid to change to, or None to stay."""
        return self.owner_uid if self.switch_user else None

    @property
    def group(self) -> int | None:
        return self.owner_gid if self.switch_user else None

    def adopt(self, path: Path) -> None:
        """Makes this identity the owner of a folder and of all in it, where it is not yet."""
        if os.geteuid() != 0 or path.lstat().st_uid == self.owner_uid:
            return
        for _, _, names, descriptor in os.fwalk(path):
            os.fchown(descriptor, self.owner_uid, self.owner_gid)
            for name in names:
                os.chown(name, self.owner_uid, self.owner_gid, dir_fd=descriptor, follow_symlinks=False)


def choose_identity(binaries: Binaries, directory: Path, data: Path) -> Identity:
    """The first identity that can run PostgreSQL in `directory`. Raises `CannotLeaveRoot` or `NoRights`."""
    tried: list[str] = []
    for identity in _candidates(directory, data):
        refusal = _refusal(identity, binaries, directory.parent if identity.switch_user else directory)
        if refusal is None:
            return identity
        tried.append(f"{identity.label}: {refusal}")
    if os.geteuid() != 0:
        raise NoRights(
            f"The programs of PostgreSQL do not run here ({tried[0]}).",
            where=str(binaries.directory),
            advice="Install Interplay where this user may execute programs.",
        )
    raise CannotLeaveRoot(
        f"PostgreSQL refuses to run as root, and no other way works ({'; '.join(tried)}).",
        where=str(directory),
        advice="Start Interplay as an ordinary user, or set INTERPLAY_HOME to a folder that other users can reach.",
    )


def _candidates(directory: Path, data: Path) -> Iterator[Identity]:
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        yield Identity("as this user", uid, gid)
        return
    owner = _ordinary_owner(data, directory)
    user = owner or _stranger()
    if user is None:
        return
    name, ids = f"as the user {user.pw_name}", (user.pw_uid, user.pw_gid)
    mapping = ("-U", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")
    namespace = Identity("in a user namespace", uid, gid, ("unshare", *mapping))
    reaching = Identity(f"{name} with one capability", *ids, _keep_reach(user))
    yield Identity(name, *ids, switch_user=True)
    # What an ordinary user owns stays theirs where that is possible at all.
    yield from (reaching, namespace) if owner else (namespace, reaching)


def _ordinary_owner(data: Path, directory: Path) -> pwd.struct_passwd | None:
    """Who owns the data, else the directory, unless that is root or nobody."""
    for path in (data, directory):
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = pwd.getpwuid(path.lstat().st_uid)
            if owner.pw_uid != 0 and owner.pw_name != _NOBODY:
                return owner
    return None


def _stranger() -> pwd.struct_passwd | None:
    """Nobody, or where there is none any other user but root: initdb wants one that has a name."""
    users = sorted(pwd.getpwall(), key=lambda user: user.pw_name != _NOBODY)
    return next((user for user in users if user.pw_uid != 0), None)


def _keep_reach(user: pwd.struct_passwd) -> tuple[str, ...]:
    capability = "+dac_override"
    return (
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--inh-caps=-all,{capability}",
        f"--ambient-caps=-all,{capability}",
        f"--bounding-set=-all,{capability}",
        # Without it access(2), by which initdb looks for its programs, ignores capabilities.
        "--securebits=+no_setuid_fixup",
        "--",
    )


def _refusal(identity: Identity, binaries: Binaries, directory: Path) -> str | None:
    """Why this identity cannot work, or None when it can."""
    script = 'cd "$1" && "$2" --version && exec "$3" --version'
    command = identity.command("sh", "-c", script, "sh", directory, binaries.postgres, binaries.initdb)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            timeout=_PROBE_SECONDS,
            user=identity.user,
            group=identity.group,
            extra_groups=[] if identity.switch_user else None,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else _last_line(done.stderr)


def _last_line(output: bytes) -> str:
    lines: Sequence[str] = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
