"""What a call cost: a pure function of its raw usage and the price that was valid when it was made."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Any

import msgspec

from interplay.core.models.registry import Price
from interplay.core.models.usage import Usage, count_of


def cost(usage: Usage, price: Price | None) -> float | None:
    """US dollars; None where no price is known, never 0.

    Cached, image and audio tokens are input tokens with rates of their own, reasoning tokens output tokens;
    without a rate of its own a token costs what its side costs.
    """
    if price is None:
        return None
    plain = max(0, usage.input_tokens - usage.cached_tokens - usage.image_tokens - usage.audio_tokens)
    spoken = max(0, usage.output_tokens - usage.reasoning_tokens)
    rated = (
        (plain, price.input),
        (usage.cached_tokens, price.cached),
        (usage.image_tokens, price.image),
        (usage.audio_tokens, price.audio),
    )
    taken = sum(count * (price.input if rate is None else rate) for count, rate in rated)
    thought = price.output if price.reasoning is None else price.reasoning
    return (taken + spoken * price.output + usage.reasoning_tokens * thought) / 1e6


def raw_usage(raw: Any) -> Usage:
    """The counts of an answer in OpenAI's shape (chat, embeddings or responses); nothing where there are none."""
    if not isinstance(raw, dict):
        return Usage(calls=1)
    taken = _count(raw, "prompt_tokens") or _count(raw, "input_tokens")
    given = _count(raw, "completion_tokens") or _count(raw, "output_tokens")
    into = raw.get("prompt_tokens_details") or raw.get("input_tokens_details")
    out = raw.get("completion_tokens_details") or raw.get("output_tokens_details")
    return Usage(
        taken,
        given,
        _count(into, "cached_tokens"),
        1,
        None,
        _count(out, "reasoning_tokens"),
        _count(into, "image_tokens"),
        _count(into, "audio_tokens"),
    )


def _count(raw: Any, name: str) -> int:
    return count_of(raw.get(name)) if isinstance(raw, dict) else 0


class PricePoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """From `valid_from` (seconds since the epoch) on, `target` has this price. `target`: `connection/model` for one
    deployment, or the alias of a model for all of its deployments that have none of their own."""

    project_id: int
    target: str
    valid_from: float
    price: Price


class PriceBook:
    """Prices over time. Immutable: a change makes a new one."""

    def __init__(self, points: Iterable[PricePoint] = ()) -> None:
        self.points = tuple(sorted(points, key=lambda point: point.valid_from))
        self._by: dict[tuple[int, str], tuple[list[float], list[Price]]] = {}
        for point in self.points:
            times, prices = self._by.setdefault((point.project_id, point.target), ([], []))
            times.append(point.valid_from)
            prices.append(point.price)

    def at(self, project_id: int, target: str, when: float) -> Price | None:
        """The price of exactly this target then."""
        found = self._by.get((project_id, target))
        if found is None:
            return None
        place = bisect.bisect_right(found[0], when)
        return found[1][place - 1] if place else None

    def price(self, project_id: int, alias: str, deployment: str, when: float) -> Price | None:
        """What a call of this deployment (`connection/model`) under this alias cost then."""
        return self.at(project_id, deployment, when) or self.at(project_id, alias, when)
