"""What is said of a connection that was not made, or broke: in our words, whatever library it was."""

from __future__ import annotations

import errno
import ssl

import httpx
import pytest

from interplay.adapters.openai_http.errors import transport
from interplay.core.unreached import how_it_broke, why_unreached


def caused(outer: BaseException, *inner: BaseException) -> BaseException:
    link = outer
    for cause in inner:
        link.__cause__ = cause
        link = cause
    return outer


class NotKnown(OSError):
    """As `socket.gaierror`, which the core cannot import."""


NotKnown.__name__ = "gaierror"


class TestUnreached:
    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9)"), "it refuses connections"),
            (NotKnown(-2, "Name or service not known"), "its name is not known"),
            (OSError(errno.ENETUNREACH, "Network is unreachable"), "no way leads to its network"),
            (ConnectionResetError(104, "Connection reset by peer"), "it closed the connection at once"),
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "it does not speak TLS as we do"),
            (OSError("Multiple exceptions: …"), "no connection came about"),
        ],
    )
    def test_says_why(self, error: Exception, why: str) -> None:
        assert why in why_unreached(error)
        assert why in why_unreached(caused(httpx.ConnectError("All connection attempts failed"), OSError("x"), error))
        assert why in why_unreached(ExceptionGroup("several", [error]))

    def test_a_certificate_is_told_with_its_reason(self) -> None:
        wrong = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1006)")
        wrong.verify_message = "certificate has expired"
        said = transport(caused(httpx.ConnectError(str(wrong)), wrong), "openai").detail  # type: ignore[arg-type]
        assert said == "openai cannot be reached: its certificate is not accepted (certificate has expired)."


class TestBroken:
    @pytest.mark.parametrize(
        ("error", "begun", "said"),
        [
            (httpx.ReadError(""), False, "openai closed the connection before it answered."),
            (httpx.ReadError(""), True, "openai closed the connection in the middle of its answer."),
            (httpx.RemoteProtocolError("Server disconnected without sending a response."), False, "before it answered"),
            (
                httpx.RemoteProtocolError("peer closed connection without sending complete message body (…)"),
                False,
                "in the middle of its answer",
            ),
            (httpx.RemoteProtocolError("illegal status line: bytearray(b'SSH-2.0')"), False, "is no HTTP"),
            (httpx.DecodingError("Error -3 while decompressing data"), True, "an encoding that cannot be read"),
            (httpx.LocalProtocolError("Illegal header value b'a\\nsecret'"), False, "none that HTTP can carry"),
            (httpx.ConnectTimeout(""), False, "could not be reached in time"),
            (httpx.PoolTimeout(""), False, "none was free in time"),
            (httpx.ReadTimeout(""), False, "did not answer in time"),
            (httpx.ReadTimeout(""), True, "went silent in the middle"),
        ],
    )
    def test_says_when(self, error: httpx.HTTPError, begun: bool, said: str) -> None:
        found = transport(error, "openai", begun=begun)
        assert said in found.detail
        for foreign in (type(error).__name__, str(error) or "Error", "errno", "secret", "bytearray"):
            assert foreign not in found.detail
        assert found.failure.code == ("timeout" if isinstance(error, httpx.TimeoutException) else "unavailable")

    def test_says_how_long_a_connection_could_take(self) -> None:
        said = transport(httpx.ConnectTimeout(""), "openai", connect=0.25).detail
        assert said == "openai could not be reached within 0.25 s."

    def test_the_words_of_other_libraries_are_not_ours_either(self) -> None:
        class ClientPayloadError(Exception):
            """As aiohttp's."""

        broken = ClientPayloadError("Response payload is not completed: <TransferEncodingError: 400>")
        assert how_it_broke(broken, "google") == "google closed the connection in the middle of its answer."
