"""What commands say of a run: what it used, and why it did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spent_on(view: Mapping[str, Any]) -> str:
    """What a run used: calls, tokens, and money where a price is known."""
    usage = view.get("usage") or {}
    calls, tokens = int(usage.get("calls", 0)), int(usage.get("input_tokens", 0)) + int(usage.get("output_tokens", 0))
    parts = [f"{calls:,} call{'' if calls == 1 else 's'}"] if calls else []
    if tokens:
        parts.append(f"{tokens:,} tokens")
    if usage.get("usd") is not None:
        parts.append(f"{usage['usd']:.4f} USD")
    return ", ".join(parts)


def why_ended(view: Mapping[str, Any]) -> str:
    """Why a run did not succeed: where, what, and what to do."""
    error = view.get("error") or {}
    failure = error.get("failure") or {}
    place = f"{error['step']}: " if error.get("step") else ""
    return f"{place}{failure.get('detail', view['status'])} {failure.get('advice') or ''}".strip()
