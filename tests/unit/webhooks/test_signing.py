"""Signatures: held against the reference implementation of Standard Webhooks, in both directions."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from interplay.core.errors import InvalidInput
from interplay.core.webhooks.signing import OLDEST, Scheme, believe, signed, signing_key

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"type":"run.succeeded"}'


def ours(
    headers: dict[str, str], body: bytes = BODY, secret: str = SECRET, scheme: Scheme = "standard", now: float = 0.0
) -> Any:
    return believe(scheme, [signing_key(scheme, secret)], headers, body, now or time.time())


class TestOut:
    def test_the_reference_believes_what_we_sign(self) -> None:
        Webhook(SECRET).verify(BODY, signed([SECRET], "msg_1", int(time.time()), BODY))

    def test_each_of_two_secrets_is_enough_while_they_overlap(self) -> None:
        headers = signed([SECRET, OTHER], "msg_1", int(time.time()), BODY)
        for secret in (SECRET, OTHER):
            Webhook(secret).verify(BODY, headers)

    @pytest.mark.parametrize("change", ["body", "id", "time", "secret"])
    def test_it_believes_nothing_else(self, change: str) -> None:
        headers, body, secret = signed([SECRET], "msg_1", int(time.time()), BODY), BODY, SECRET
        if change == "id":
            headers["webhook-id"] = "msg_2"
        elif change == "time":
            headers["webhook-timestamp"] = str(int(time.time()) + 1)
        elif change == "body":
            body += b" "
        else:
            secret = OTHER
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)
        assert ours(headers, body, secret) is None


class TestIn:
    def test_we_believe_what_the_reference_signs(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        headers = {
            "webhook-id": "msg_x",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("msg_x", now, BODY.decode()),
        }
        found = ours(headers)
        assert (found.identity, found.at) == ("msg_x", int(now.timestamp()))

    @pytest.mark.parametrize("off", [-OLDEST - 2, OLDEST + 2])
    def test_a_time_stamp_of_other_minutes_is_not_believed(self, off: float) -> None:
        now = time.time()
        assert ours(signed([SECRET], "msg_1", int(now + off), BODY)) is None
        assert ours(signed([SECRET], "msg_1", int(now + off * 0.9), BODY)) is not None

    def test_among_several_signatures_one_that_is_right_is_enough(self) -> None:
        headers = signed([SECRET], "msg_1", int(time.time()), BODY)
        headers["webhook-signature"] = f"v1,bm90 v1a,zzz {headers['webhook-signature']}"
        assert ours(headers) is not None

    @pytest.mark.parametrize(
        "change",
        [
            {"webhook-signature": ""},
            {"webhook-signature": "v1,"},
            {"webhook-signature": "v1,%%%"},
            {"webhook-signature": "v1 v1"},
            {"webhook-timestamp": "soon"},
            {"webhook-timestamp": "-1"},
            {"webhook-timestamp": "9" * 400},
            {"webhook-id": ""},
            {"webhook-id": "x" * 257},
        ],
    )
    def test_what_is_none_is_not_believed_and_breaks_nothing(self, change: dict[str, str]) -> None:
        assert ours({**signed([SECRET], "msg_1", int(time.time()), BODY), **change}) is None

    @given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature",
                                            "stripe-signature", "x-hub-signature-256"]), st.text()),
           st.sampled_from(["standard", "github", "stripe"]))  # fmt: skip
    def test_whatever_strangers_send_is_not_believed(self, headers: dict[str, str], scheme: Scheme) -> None:
        assert ours(headers, scheme=scheme) is None

    def test_github(self) -> None:
        digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
        found = ours({"x-hub-signature-256": f"sha256={digest}"}, scheme="github")
        assert found.identity == hashlib.sha256(BODY).hexdigest()
        assert ours({"x-hub-signature-256": f"sha256={digest[:-2]}00"}, scheme="github") is None
        assert ours({"x-hub-signature-256": f"sha256={digest}"}, BODY + b" ", scheme="github") is None
        assert ours({}, scheme="github") is None

    def test_githubs_own_example(self) -> None:
        """From its documentation, so that not both sides here are ours."""
        headers = {
            "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        }
        assert ours(headers, b"Hello, World!", "It's a Secret to Everybody", "github") is not None

    def test_stripe(self) -> None:
        now = int(time.time())

        def header(at: int) -> dict[str, str]:
            digest = hmac.new(SECRET.encode(), f"{at}.".encode() + BODY, hashlib.sha256).hexdigest()
            return {"stripe-signature": f"t={at},v0=00,v1={digest}"}

        assert ours(header(now), scheme="stripe").at == now
        assert ours(header(now - 301), scheme="stripe") is None
        assert ours({"stripe-signature": header(now)["stripe-signature"].replace(str(now), str(now + 1))},
                    scheme="stripe") is None  # fmt: skip


class TestSecrets:
    def test_one_that_is_none_is_told_without_being_shown(self) -> None:
        for wrong in ("whsec_", "whsec_ä", ""):
            with pytest.raises(InvalidInput) as refused:
                signing_key("standard", wrong)
            assert "ä" not in str(refused.value)
