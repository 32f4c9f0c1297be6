"""A server that takes no connection, and does not refuse one either."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def unconnectable() -> Iterator[str]:
    """A server whose line of connections is full: what comes now waits for an answer that is never given."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = False
        while not waiting:
            one = stack.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect(server.getsockname())
            except TimeoutError:
                waiting = True
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
