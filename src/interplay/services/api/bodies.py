"""Bodies that a route reads by itself: whatever was sent, what is wrong with it is said in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.storable import unstorable

T = TypeVar("T")


def decoded(raw: bytes, decode: Callable[[bytes], T], what: str) -> T:
    """`what` as in "The body is not `what`". Raises InvalidInput."""
    try:
        return decode(raw)
    except (msgspec.MsgspecError, ValueError) as wrong:  # ValueError: text that is no UTF-8, numbers of a mile's length
        words = "it is not UTF-8" if isinstance(wrong, UnicodeError) else str(wrong)
        raise InvalidInput(f"The body is not {what}: {words}.", where="body") from None
    except RecursionError:
        raise InvalidInput(f"The body is not {what}: it is nested too deeply.", where="body") from None


def keepable(value: Any, what: str) -> None:
    """Raises InvalidInput for what a journal cannot hold, before it goes into a key, a digest or a message."""
    wrong = unstorable(value, what)
    if wrong is not None:
        raise InvalidInput(f"{wrong}.", where="body")
