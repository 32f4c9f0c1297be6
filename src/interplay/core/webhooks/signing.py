"""Signatures of webhooks: made as the Standard Webhooks specification says, and believed in the ways that senders have.

standard   webhook-id, webhook-timestamp, webhook-signature: v1,base64(HMAC-SHA256(id.timestamp.body))
github     x-hub-signature-256: sha256=hex(HMAC-SHA256(body)), without a time
stripe     stripe-signature: t=timestamp,v1=hex(HMAC-SHA256(timestamp.body))
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interplay.core.errors import InvalidInput
from interplay.core.webhooks.secrets import PREFIX

Scheme = Literal["standard", "github", "stripe"]
OLDEST: Final = 300.0  # seconds that a time stamp may be off, into the past and into the future
_MOST_SIGNATURES: Final = 10
_ID: Final = re.compile(r"[!-~]{1,256}")
_TIME: Final = re.compile(r"[0-9]{1,11}")


def signed(secrets: Sequence[str], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message; a signature for each secret that is valid."""
    made = (_standard(signing_key("standard", secret), message_id, str(at), body) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made),
    }


def signing_key(scheme: Scheme, secret: str) -> bytes:
    """Raises InvalidInput, which does not hold it."""
    if scheme != "standard":
        return secret.encode()
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX) + "==")
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        raise InvalidInput(f"The secret is none of Standard Webhooks: `{PREFIX}` and base64.", where="secret")
    return raw


@dataclass(frozen=True, slots=True)
class Believed:
    """A message that has a right signature. `identity`: the same when it is sent again. `at`: seconds since the epoch,
    where the sender says it."""

    identity: str
    at: float | None


def believe(
    scheme: Scheme, keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float
) -> Believed | None:
    """None: no signature that is right and of these minutes. `headers`: by names in small letters.

    What tells a message from others is something that is signed: its id, or the body where there is none.
    """
    return _SCHEMES[scheme](keys, headers, body, now)


def _believe_standard(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> Believed | None:
    message_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = [
        raw
        for one in headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
        if one.startswith("v1,") and (raw := _decoded(one[3:]))
    ]
    timely = _ID.fullmatch(message_id) is not None and _timely(at, now)
    right = _matches(given, (_standard(key, message_id, at, body) for key in keys))
    return Believed(message_id, float(at)) if right and timely else None


def _believe_github(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> Believed | None:  # noqa: ARG001
    given = headers.get("x-hub-signature-256", "").removeprefix("sha256=")
    right = _matches([_unhexed(given)], (hmac.digest(key, body, hashlib.sha256) for key in keys))
    return Believed(hashlib.sha256(body).hexdigest(), None) if right else None


def _believe_stripe(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> Believed | None:
    parts = [part.strip().partition("=")[::2] for part in headers.get("stripe-signature", "").split(",")[:20]]
    at = next((value for name, value in parts if name == "t"), "")
    given = [_unhexed(value) for name, value in parts if name == "v1"][:_MOST_SIGNATURES]
    signed_text = at.encode("utf-8", "replace") + b"." + body
    right = _matches(given, (hmac.digest(key, signed_text, hashlib.sha256) for key in keys))
    return Believed(hashlib.sha256(body).hexdigest(), float(at)) if right and _timely(at, now) else None


_Believe = Callable[[Sequence[bytes], Mapping[str, str], bytes, float], Believed | None]
_SCHEMES: Final[dict[Scheme, _Believe]] = {
    "standard": _believe_standard,
    "github": _believe_github,
    "stripe": _believe_stripe,
}


def _standard(key: bytes, message_id: str, at: str, body: bytes) -> bytes:
    head = f"{message_id}.{at}.".encode("utf-8", "replace")
    return hmac.digest(key, head + body, hashlib.sha256)


def _matches(given: Sequence[bytes], right: Iterable[bytes]) -> bool:
    """Every pair is compared, whatever the others were."""
    found = False
    for one in right:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found


def _timely(text: str, now: float) -> bool:
    return _TIME.fullmatch(text) is not None and abs(now - float(text)) <= OLDEST


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unhexed(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
