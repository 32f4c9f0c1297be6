"""Where the process begins: from its first line on, Ctrl-C ends it with one word."""

from __future__ import annotations

import sys

from interplay.cli import exit_codes


def main() -> None:
    try:
        from interplay.cli.main import main as work  # noqa: PLC0415 - it takes time, and may be stopped in it

        work()
    except KeyboardInterrupt:
        print("interplay: stopped", file=sys.stderr)
        sys.exit(exit_codes.STOPPED)
