"""Where the process begins: from its first line on, Ctrl-C ends it with one word."""

from __future__ import annotations

import importlib
import sys

from interplay.cli import exit_codes


def main() -> None:
    try:
        importlib.import_module("interplay.cli.main").main()  # to load it takes time, and may be stopped in it
    except KeyboardInterrupt:
        print("interplay: stopped", file=sys.stderr)
        sys.exit(exit_codes.STOPPED)
