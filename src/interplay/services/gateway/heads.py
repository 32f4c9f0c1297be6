"""The head that a caller's connection sends again and again, told by its bytes instead of parsed anew.

Clients repeat a head with every call of a connection; only the length of the body differs. A request whose bytes are
those of the last head, but for the digits of that length, is what the parser made of it the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interplay.use_cases.forward_parts import Endpoint

SHORT: Final = 65_536  # bytes of a body: a longer one is looked at by the parser
_DIGITS: Final = 5
_LENGTH: Final = b"\r\ncontent-length:"
_OTHERS: Final = (b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nupgrade:", b"\r\nconnection:")


class KnownHead:
    """`before` and `after`: its bytes around the digits. What the parser made of it stands beside them."""

    __slots__ = ("after", "before", "endpoint", "named", "token")

    def __init__(
        self, before: bytes, after: bytes, endpoint: Endpoint, token: bytes, named: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self.before = before
        self.after = after
        self.endpoint = endpoint
        self.token = token
        self.named = named

    def body(self, data: bytes) -> bytes | None:
        """The body, where the data is one whole request with this head and nothing else."""
        at = len(self.before)
        end = data.find(b"\r", at, at + _DIGITS + 1)
        if end < 0 or not data.startswith(self.before) or not data.startswith(self.after, end):
            return None
        digits = data[at:end]
        begin = end + len(self.after)
        if not digits.isdigit() or int(digits) != len(data) - begin:
            return None
        return data[begin:]


def known_head(
    data: bytes, size: int, endpoint: Endpoint, token: bytes, named: Sequence[tuple[bytes, bytes]]
) -> KnownHead | None:
    """`data`: a request that the parser found to be whole, with a body of `size` bytes. None: not one to know again."""
    head = data[: len(data) - size].lower()
    at = head.find(_LENGTH)
    if size >= SHORT or at < 0 or head.find(b"\r\n\r\n") != len(head) - 4 or head.find(_LENGTH, at + 1) >= 0:
        return None
    if any(other in head for other in _OTHERS):
        return None
    at += len(_LENGTH)
    while head[at : at + 1] == b" ":
        at += 1
    end = head.find(b"\r", at)
    if not head[at:end].isdigit() or end - at > _DIGITS or int(head[at:end]) != size:
        return None
    others = [(name, value) for name, value in named if name.lower() != b"content-length"]
    return KnownHead(data[:at], data[end : len(head)], endpoint, token, others)
