"""Values as texts in templates, and texts put together. Knows nothing of the template engine."""

from __future__ import annotations

import json
from typing import Any

from interplay.core.flows.template_meter import METER, listed, shown_size


def tick() -> str:
    """One turn of a loop."""
    METER.get().turn()
    return ""


def shown(value: Any) -> str:
    """A value as text: JSON for what is not text, nothing for null."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, dict | list | tuple) and hasattr(value, "__iter__"):
        value = listed(value, "list")
    METER.get().build(shown_size(value))
    return json.dumps(value, ensure_ascii=False)


def concat(*parts: Any) -> str:
    """`a ~ b`."""
    texts = [shown(part) for part in parts]
    METER.get().build(sum(len(text) for text in texts))
    return "".join(texts)


def kept(value: Any) -> str:
    """A part of a text that is kept for later: of `{% set x %}…{% endset %}`, of `{% filter … %}`."""
    text = shown(value)
    METER.get().build(len(text))
    return text
