"""What a call consumed: tokens, money, time."""

from __future__ import annotations

import msgspec


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
