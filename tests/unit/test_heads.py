"""A head that is known by its bytes, and everything that must not be taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.services.gateway.app import ENDPOINTS
from interplay.services.gateway.heads import SHORT, KnownHead, known_head

CHAT = next(iter(ENDPOINTS.values()))
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nAuthorization: Bearer k\r\n\r\n"


def request(body: bytes, head: bytes = HEAD) -> bytes:
    return head % len(body) + body


def learned(data: bytes, size: int) -> KnownHead | None:
    return known_head(data, size, CHAT, b"k", [(b"Host", b"a"), (b"Content-Length", b"2")])


class TestKnownHead:
    @given(st.binary(max_size=300), st.binary(max_size=300))
    def test_gives_the_body_of_the_next_request(self, first: bytes, second: bytes) -> None:
        head = learned(request(first), len(first))
        assert head is not None
        assert head.body(request(second)) == second
        assert head.named == [(b"Host", b"a")]

    @given(st.binary(max_size=50), st.integers(0, 200), st.binary(min_size=1, max_size=3))
    def test_takes_nothing_whose_bytes_differ(self, body: bytes, place: int, other: bytes) -> None:
        head = learned(request(b"{}"), 2)
        assert head is not None
        data = request(body)
        place %= len(data)
        changed = data[:place] + other + data[place + len(other) :]
        found = head.body(changed)
        begin = len(data) - len(body)
        assert found is None or (changed[:begin] == data[:begin] and found == changed[begin:])

    @pytest.mark.parametrize("data", [
        request(b"{}") + b"x", request(b"{}")[:-1], request(b"{}") * 2, b"", request(b"{}")[:40],
        request(b"{}").replace(b": 2\r", b": +2\r"), request(b"{}").replace(b": 2\r", b": \r"),
        request(b"{}").replace(b": 2\r", b": 0x2\r"), request(b"{}").replace(b": 2\r", b": 1 2\r"),
        request(b"x" * 100_000),
    ])  # fmt: skip
    def test_takes_nothing_that_is_not_one_whole_request(self, data: bytes) -> None:
        head = learned(request(b"{}"), 2)
        assert head is not None
        assert head.body(data) is None

    @pytest.mark.parametrize("line", [
        b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"Connection: close\r\n",
        b"Content-Length: 2\r\n",
    ])  # fmt: skip
    def test_is_not_made_of_a_head_that_says_how_to_read_on(self, line: bytes) -> None:
        assert learned(request(b"{}", HEAD.replace(b"Host", line + b"Host")), 2) is None

    def test_is_not_made_of_a_long_body_or_one_that_came_in_parts(self) -> None:
        assert learned(request(b"x" * SHORT), SHORT) is None
        assert learned(request(b"{}")[:-1], 2) is None
