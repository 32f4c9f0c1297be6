"""What every answer says beside its body: which request it was, who answered, where the time went."""

from __future__ import annotations

from typing import Final

from interplay.use_cases.forward_call import Call

Pair = tuple[bytes, bytes]
_STAGES: Final = (
    b"auth;dur=%.3f, route;dur=%.3f, limits;dur=%.3f, connect;dur=%.3f, first-byte;dur=%.3f, upstream;dur=%.3f, "
    b"retry;dur=%.3f, overhead;dur=%.3f, total;dur=%.3f"
)


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
    """Where the time went, in milliseconds. A stage that was not come to has none.

    `auth`: whose key it is; `route`: which model and deployment; `limits`: their room, and waiting for it; `connect`:
    of a connection that had to be made; `first-byte`: from there to the answer's head; `upstream`: all that until the
    answer was there, of a stream its first content; `retry`: calls before this one; `overhead`: ours.
    """
    now, winner, began = call.now(), call.winner, call.started
    known = call.known_at or now
    routed = call.routed_at or max(known, call.sent_at)
    sent = call.sent_at or (routed if call.looked is not None else now)
    connect = byte = 0.0
    if winner is not None:
        since, connect = winner.started, winner.connect
        if winner.headed_at:
            byte = winner.headed_at - since - connect
    else:
        since = sent if call.sent_at else now
    upstream = (call.began_at or now) - since
    retry = since - sent if winner is not None else 0.0
    total = now - began
    stages = (
        (known - began) * 1e3,
        max(0.0, routed - known) * 1e3,
        max(0.0, sent - routed) * 1e3,
        connect * 1e3,
        max(0.0, byte) * 1e3,
        upstream * 1e3,
        retry * 1e3,
        max(0.0, total - upstream - retry) * 1e3,
        total * 1e3,
    )
    return _STAGES % stages


def notes(call: Call) -> list[Pair]:
    """As headers."""
    found = [(b"x-request-id", request_id(call)), (b"server-timing", timing(call))]
    return [*found, *own(call)]


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
        what = meter.what.encode()
        found.append((b"x-ratelimit-limit-" + what, b"%d" % meter.cap))
        found.append((b"x-ratelimit-remaining-" + what, b"%d" % left))
    return found
