"""A server whose database is away for a while: it answers 503 so many times, and then as it should."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROBLEM = {
    "type": "about:blank",
    "title": "Not available right now",
    "status": 503,
    "detail": "The database does not answer: the connection to it broke off.",
}


@dataclass
class AwayServer:
    """`refusals`: how many requests are still refused; -1 for all. `seen` are the requests as they came."""

    url: str = ""
    refusals: int = -1
    retry_after: str = "0"
    seen: list[str] = field(default_factory=list)


@contextlib.contextmanager
def away_server() -> Iterator[AwayServer]:
    state = AwayServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.seen.append(f"{self.command} {self.path}")
            refused = state.refusals != 0
            state.refusals -= 1 if state.refusals > 0 else 0
            body = json.dumps(PROBLEM if refused else {"items": [], "next": None, "status": "succeeded"}).encode()
            self.send_response(503 if refused else 200)
            if refused:
                self.send_header("Retry-After", state.retry_after)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
