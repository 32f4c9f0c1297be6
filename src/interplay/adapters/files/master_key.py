"""The master key of an installation: the one that it was given, or one of its home, made at first need."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from interplay.core.errors import SetupError

FILE: Final = "master.key"
LEAST: Final = 32  # characters


def master_keys(given: str | None, home: Path) -> list[bytes]:
    """The first is the one for what is new. Raises SetupError."""
    if given is None:
        return [_of_home(home / FILE).encode()]
    found = [part.strip() for part in given.split(",")]
    if any(len(part) < LEAST for part in found):
        raise SetupError(
            f"A master key has at least {LEAST} characters.",
            where="INTERPLAY_MASTER_KEY",
            advice="`openssl rand -base64 32` makes one.",
        )
    return [part.encode() for part in found]


def _of_home(path: Path) -> str:
    """Readable by its owner only; whole from the moment that it is there, whoever else makes one right now."""
    try:
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(LEAST) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(part, path)
        finally:
            part.unlink()
        return path.read_text().strip()
    except OSError as wrong:
        raise SetupError(
            f"The master key {path} can neither be read nor made: {wrong.strerror}.",
            where="INTERPLAY_MASTER_KEY",
            advice="Set it, or give this process a home that it may write to.",
        ) from None
