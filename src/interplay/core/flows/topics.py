"""Names of topics that flows may write to and triggers may read."""

from __future__ import annotations

import re
from typing import Any, Final

OURS: Final = "interplay."  # what Interplay itself says to other systems
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def topic_problem(name: Any) -> str | None:
    """Why it is no name of such a topic, without the end of the sentence; None when it is one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (".", ".."):
        return f"{name!r} is no name of a topic: letters, digits, `.`, `_` and `-`, at most 249"
    if name.startswith(OURS):
        return f"{name!r} is a topic of Interplay's own: names that begin with `{OURS}` are not for flows"
    return None
