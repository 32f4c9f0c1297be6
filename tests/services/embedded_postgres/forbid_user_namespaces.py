"""Runs a command as a root that may not make user namespaces, as in most containers.

    python forbid_user_namespaces.py COMMAND...

The command gets a user namespace of its own with the uids 0 to 65535 as they are, and none below it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
_IDS = "0 0 65536"


def main(command: list[str]) -> None:
    entered_out, entered_in = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.read(entered_out, 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{kind}").write_text(_IDS)
        os._exit(0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(entered_in, b"!")
    os.waitpid(mapper, 0)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
