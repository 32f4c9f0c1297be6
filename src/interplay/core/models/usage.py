"""What a call consumed: tokens, money, time."""

from __future__ import annotations

from typing import Any, Final

import msgspec

MOST_TOKENS: Final = 10**9  # of one call; a larger count is a defect of whoever counted


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens as the upstream counted them. `usd` is None where no price is known, never 0.

    Cached, image and audio tokens are part of the input tokens, reasoning tokens of the output tokens.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    usd: float | None = None
    reasoning_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def believable(self) -> bool:
        """Whether a call can have used this; the counts of an upstream may be anything."""
        return all(
            0 <= count <= MOST_TOKENS
            for count in (
                self.input_tokens,
                self.output_tokens,
                self.cached_tokens,
                self.reasoning_tokens,
                self.image_tokens,
                self.audio_tokens,
            )
        )

    def __add__(self, other: Usage) -> Usage:
        priced = [u.usd for u in (self, other) if u.usd is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.calls + other.calls,
            sum(priced) if priced else None,
            self.reasoning_tokens + other.reasoning_tokens,
            self.image_tokens + other.image_tokens,
            self.audio_tokens + other.audio_tokens,
        )


def count_of(value: Any) -> int:
    """A count out of an answer; 0 for what cannot be one."""
    return int(value) if isinstance(value, int | float) and 0 < value <= MOST_TOKENS else 0
