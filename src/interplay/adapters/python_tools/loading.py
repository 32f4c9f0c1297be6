"""From `package.module:name` to the object; whoever runs the process named it, so it is imported as it is."""

from __future__ import annotations

import importlib
from typing import Any

from interplay.core.errors import SetupError


def load(reference: str, where: str) -> Any:
    """Raises SetupError in one sentence when there is no such thing."""
    module, _, name = reference.partition(":")
    if not module or not name:
        raise SetupError(f"{reference!r} names nothing.", where=where, advice="Write package.module:name.")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as missing:
        raise SetupError(f"{module} cannot be imported: {missing}.", where=where) from missing
    except AttributeError:
        raise SetupError(f"{module} has no {name!r}.", where=where) from None
