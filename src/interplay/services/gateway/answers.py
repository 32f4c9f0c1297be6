"""What every answer says beside its body: which request it was, who answered, where the time went."""

from __future__ import annotations

from interplay.use_cases.forward_call import Call

Pair = tuple[bytes, bytes]


def request_id(call: Call) -> bytes:
    return b"%032x" % call.record_id.int


def answered_by(call: Call) -> bytes:
    return line(call.cached) if call.winner is None else line(call.winner.live.name)


def line(text: str) -> bytes:
    """A text as the value of a header: names that people give may hold anything."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.encode("latin-1", "replace")


def timing(call: Call) -> bytes:
    """`admit`: who may, and what; `upstream`: until its answer, or the first content of it; `overhead`: ours."""
    now = call.now()
    winner = call.winner
    upstream = 0.0 if winner is None else (call.began_at or now) - winner.started
    admit = max(0.0, call.admitted - call.started)
    overhead = max(0.0, now - call.started - upstream)
    return b"admit;dur=%.3f, upstream;dur=%.3f, overhead;dur=%.3f" % (admit * 1e3, upstream * 1e3, overhead * 1e3)


def notes(call: Call) -> list[Pair]:
    """As headers."""
    found = [(b"x-request-id", request_id(call)), (b"server-timing", timing(call))]
    return [*found, *own(call)]


def own(call: Call) -> list[Pair]:
    """Who answered, and what is left of the caller's limits, in the names that OpenAI gives them."""
    found: list[Pair] = [*call.headers]
    if call.winner is not None or call.cached:
        found.append((b"x-interplay-model", answered_by(call)))
    if call.cached:
        found.append((b"x-interplay-cache", b"exact"))
    for meter, left in call.limits():
        what = meter.what.encode()
        found.append((b"x-ratelimit-limit-" + what, b"%d" % meter.cap))
        found.append((b"x-ratelimit-remaining-" + what, b"%d" % left))
    return found
