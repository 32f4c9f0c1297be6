"""The egress guard: which addresses outgoing calls may reach, decided on what a name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from interplay.core.failures import StepFailure

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Global by the library's table of the day, and still none to be reached: addresses that only carry an IPv4 one,
# site-local ones, blocks for documentation and for segments, the anycast of 6to4 relays. By IANA's registries of
# special-purpose addresses.
_ODD: Final = tuple(
    ipaddress.ip_network(one)
    for one in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16", "192.88.99.0/24")
)
_RECENT: Final = 60.0  # seconds
_MOST_PASSED: Final = 10_000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressGuard:
    """`allow`: hosts (`localhost`, `db.internal`) and ranges (`10.0.0.0/8`) that are private and still fine."""

    def __init__(self, allow: tuple[str, ...] = ()) -> None:
        self._hosts: set[str] = set()
        self._ranges: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in allow:
            try:
                self._ranges.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(entry.lower())

    async def address(self, url: str) -> str:
        """The one address to connect to. Raises StepFailure (`egress_refused`, `unavailable`)."""
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            raise StepFailure("egress_refused", f"{url!r} is not an http or https address.")
        if parts.username or parts.password:
            raise StepFailure(
                "egress_refused", "An address may not carry a user name or password.", advice="Use a header."
            )
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as missing:
            raise StepFailure("unavailable", f"The host {host!r} cannot be found: {missing}.") from None
        addresses = [str(entry[4][0]).split("%", 1)[0] for entry in found]
        if host.lower() not in self._hosts:
            for address in addresses:
                self._check(host, ipaddress.ip_address(address))
        return addresses[0]

    def recently(self) -> Recently:
        """For callers that keep their connections: an address is looked at again after a minute at the latest."""
        return Recently(self.address)

    def _check(self, host: str, address: Address) -> None:
        plain = _unwrapped(address)
        if any(plain in allowed for allowed in self._ranges if allowed.version == plain.version):
            return
        if (
            not plain.is_global
            or plain.is_multicast
            or any(plain in odd for odd in _ODD if odd.version == plain.version)
        ):
            raise StepFailure(
                "egress_refused",
                f"{host} is at {address}, which is not a public address.",
                advice="Name it in INTERPLAY_EGRESS_ALLOW if flows may reach it.",
            )


class Recently:
    """A URL that passed less than a minute ago passes without a look."""

    def __init__(self, look: Callable[[str], Awaitable[str]], now: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._now = now
        self._passed: dict[str, float] = {}

    async def __call__(self, url: str) -> None:
        """Raises StepFailure (`egress_refused`, `unavailable`)."""
        now = self._now()
        if now - self._passed.get(url, -_RECENT) < _RECENT:
            return
        await self._look(url)
        if len(self._passed) >= _MOST_PASSED:
            self._passed.clear()
        self._passed[url] = now


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only carries it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
