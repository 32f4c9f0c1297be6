"""What every answer says beside its body: which request it was, who answered, where the time went."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from interplay.use_cases.forward_call import Call

Pair = tuple[bytes, bytes]
UPSTREAM: Final = b"upstream"
_BEFORE: Final = b"auth;dur=%s, route;dur=%s, limits;dur=%s, "
_CONNECT: Final = b"connect;dur=%s, "
_UPSTREAM: Final = b"first-byte;dur=%s, upstream;dur=%s, "
_RETRY: Final = b"retry;dur=%s, "
_SHORT: Final = 0.0001  # seconds
_TOTAL: Final = b"overhead;dur=%s, total;dur=%s"
_THOUSANDTHS: Final = tuple(b"0.%03d" % micros for micros in range(1000))  # looking one up is cheaper than writing it
_SHOWN: Final = {
    "requests": (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests"),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens"),
}


def request_id(call: Call) -> bytes:
    return b"%032x" % call.record_id.int


def answered_by(call: Call) -> bytes:
    """Empty while nobody has."""
    if call.winner is not None:
        return line(call.winner.live.name)
    return line(call.looked.kept.deployment) if call.looked is not None and call.looked.kept is not None else b""


def line(text: str) -> bytes:
    """A text as the value of a header: names that people give may hold anything."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.encode("latin-1", "replace")


def timing(call: Call) -> bytes:
    """Where the time went, in milliseconds. A stage that was not come to is left out.

    `auth`: whose key it is; `route`: which model and deployment; `limits`: their room, and waiting for it; `connect`:
    of a connection that had to be made; `first-byte`: from there to the answer's head; `upstream`: all that until the
    answer was there, of a stream its first content; `retry`: calls before this one; `overhead`: ours.
    """
    now, winner, began = call.now(), call.winner, call.started
    known = call.known_at or now
    routed = call.routed_at or max(known, call.sent_at)
    sent = call.sent_at or (routed if call.looked is not None else now)
    said = _BEFORE % (_millis(known - began), _millis(routed - known), _millis(sent - routed))
    total = now - began
    upstream = retry = 0.0
    if winner is not None:
        since, connect = winner.started, winner.connect
        upstream, retry = (call.began_at or now) - since, since - sent
        if connect:
            said += _CONNECT % _millis(connect)
        first = winner.headed_at - since - connect if winner.headed_at else 0.0
        said += _UPSTREAM % (_millis(first), _millis(upstream))
        if retry >= _SHORT:
            said += _RETRY % _millis(retry)
    elif call.sent_at:
        upstream = now - sent
        said += _UPSTREAM % (b"0.000", _millis(upstream))
    return said + _TOTAL % (_millis(total - upstream - retry), _millis(total))


def _millis(seconds: float) -> bytes:
    micros = int(seconds * 1e6)
    return _THOUSANDTHS[micros] if 0 <= micros < 1000 else b"%.3f" % max(0.0, seconds * 1e3)


class Stages:
    """Where the time went of what is answered without a call: lists, metadata, health."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._said = b""
        self._upstream = 0.0

    @contextlib.contextmanager
    def stage(self, name: bytes) -> Iterator[None]:
        """Named as those of a call are; one that fails is told of, too."""
        began = self._now()
        try:
            yield
        finally:
            took = self._now() - began
            self._said += b"%s;dur=%s, " % (name, _millis(took))
            if name == UPSTREAM:
                self._upstream += took

    def timing(self) -> Pair:
        total = self._now() - self._began
        return b"server-timing", self._said + _TOTAL % (_millis(total - self._upstream), _millis(total))


def notes(call: Call) -> list[Pair]:
    """As headers."""
    found = [(b"x-request-id", request_id(call)), (b"server-timing", timing(call))]
    return [*found, *own(call)]


def lines(call: Call) -> bytes:
    """What `own` says, as lines of a head."""
    said = b""
    for pair in own(call):
        said += b"%s: %s\r\n" % pair
    return said


def own(call: Call) -> list[Pair]:
    """Who answered, and what is left of the caller's limits, in the names that OpenAI gives them."""
    found: list[Pair] = [*call.headers]
    by = answered_by(call)
    if by:
        found.append((b"x-interplay-model", by))
    if call.looked is not None and call.looked.kept is not None:
        found.append((b"x-interplay-cache", call.looked.how.encode()))
        if call.looked.similarity is not None:
            found.append((b"x-interplay-similarity", b"%g" % call.looked.similarity))
    for meter, left in call.limits():
        cap, rest = _SHOWN[meter.what]
        found += ((cap, b"%d" % meter.cap), (rest, b"%d" % left))
    return found
