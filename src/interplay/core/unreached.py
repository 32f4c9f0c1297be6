"""Why a connection was not made, or broke, in words for who reads them: a library's own are for who wrote it.

The classes are known by their names, as each library has its own, and the core knows none of them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_UNMADE: Final = frozenset(
    {"ConnectError", "ConnectTimeout", "ClientConnectorError", "EndpointConnectionError", "NewConnectionError",
     "ProxyConnectionError", "ConnectionRefusedError", "gaierror"}
)  # fmt: skip
_STRANGE: Final = frozenset({"RemoteProtocolError", "HttpProcessingError", "HTTPClientError"})
_CLOSED: Final = ("disconnect", "closed", "incomplete", "reset", "aborted", "eof")
_MIDDLE: Final = (
    "message body",
    "chunked read",
    "incompleteread",
    "payload is not completed",
    "payload is not complete",
)
_NOT_SENT: Final = "LocalProtocolError"
_PACKED: Final = frozenset({"DecodingError", "ContentEncodingError", "DecodeError"})


def why_unreached(error: BaseException) -> str:
    """Behind `cannot be reached: `."""
    for link in _chain(error):
        name = type(link).__name__
        if name == "gaierror":
            return "its name is not known"
        if isinstance(link, ConnectionRefusedError):
            return "nothing listens there, or it refuses connections"
        if name == "SSLCertVerificationError":
            return f"its certificate is not accepted ({getattr(link, 'verify_message', '') or 'for no stated reason'})"
        if name.startswith("SSL"):
            return "it does not speak TLS as we do"
        if isinstance(link, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            return "it closed the connection at once"
        if isinstance(link, OSError) and link.errno in _NO_WAY:
            return "no way leads to its network"
        if isinstance(link, TimeoutError):
            return "it did not take the connection in time"
    return "no connection came about"


def how_it_broke(error: BaseException, who: str, *, begun: bool = False) -> str:
    """A sentence. `begun`: a part of the answer was there."""
    chain = list(_chain(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    said = " ".join(str(link) for link in chain).lower()
    if names & _UNMADE or any(name.startswith("SSLCert") for name in names):
        return f"{who} cannot be reached: {why_unreached(error)}."
    if _NOT_SENT in names:
        return f"The request to {who} cannot be sent: one of its headers is none that HTTP can carry."
    if names & _PACKED:
        return f"{who} answered in an encoding that cannot be read."
    if names & _STRANGE and not any(sign in said for sign in _CLOSED):
        return f"{who} answered something that is no HTTP."
    middle = begun or any(sign in said for sign in _MIDDLE)
    return f"{who} closed the connection {'in the middle of its answer' if middle else 'before it answered'}."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, innermost last; of a group, each."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop(0)
        if link is None or link in seen:
            continue
        seen.append(link)
        yield link
        todo += [*(link.exceptions if isinstance(link, BaseExceptionGroup) else ()), link.__cause__, link.__context__]
