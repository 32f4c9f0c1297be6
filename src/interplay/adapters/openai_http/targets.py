"""Where calls of a connection go: its address, its credentials, and the request head made of them once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from interplay.core.failures import StepFailure
from interplay.core.models.accepting import reference
from interplay.core.models.registry import Connection
from interplay.ports.secret_store import SecretStore
from interplay.ports.upstream import Outgoing, Target

_CONTROL: Final = frozenset("\r\n\0")
LocalServer = Callable[[], Awaitable[str]]
Address = Callable[[str], Awaitable[str]]


class HttpTarget(Target):
    """`lane`: connections of one lane may carry requests of each other's targets."""

    __slots__ = ("_authority", "_heads", "_lines", "_prefix", "guarded", "host", "lane", "port", "tls", "url")

    def __init__(self, who: str, url: str, headers: dict[str, str], *, guarded: bool) -> None:
        super().__init__(who)
        parts = urlsplit(url)
        self.url = url
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.guarded = guarded
        self.lane = f"{parts.scheme}://{self.host}:{self.port}"
        self._authority = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.rstrip("/")
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._heads: dict[tuple[str, bool], bytes] = {}

    def head(self, outgoing: Outgoing) -> bytes:
        body = outgoing.body
        made = self._heads.get((outgoing.path, body is None)) or self._made(outgoing.path, body is None)
        if body is None:
            return b"%s%s\r\n" % (made, outgoing.headers)
        return b"%s%d\r\n%s\r\n" % (made, len(body), outgoing.headers)

    def _made(self, path: str, bodiless: bool) -> bytes:
        method = "GET" if bodiless else "POST"
        place = f"{self._prefix}/{path}"
        if path.startswith("/"):  # beside the API's own root
            place = self._prefix.removesuffix("/v1").removesuffix("/v2") + path
        text = f"{method} {place} HTTP/1.1\r\nhost: {self._authority}\r\naccept-encoding: identity\r\n"
        text += self._lines
        if not bodiless:
            text += "content-type: application/json\r\ncontent-length: "
        made = self._heads[path, bodiless] = text.encode("latin-1")
        return made


class Targets:
    """Kept while the connection stays as it is. `address` says to which address a host leads, and refuses others."""

    def __init__(self, secrets: SecretStore, local_server: LocalServer, address: Address | None = None) -> None:
        self._secrets = secrets
        self._local_server = local_server
        self._address = address
        self._kept: dict[tuple[int, str], tuple[Connection, HttpTarget]] = {}

    def known(self, project_id: int, connection: Connection) -> HttpTarget | None:
        """None for our own model server too: it may have been stopped since, and started at another port."""
        if _is_local(connection):
            return None
        kept = self._kept.get((project_id, connection.name))
        if kept is not None and (kept[0] is connection or kept[0] == connection):
            return kept[1]
        return None

    async def find(self, project_id: int, connection: Connection) -> HttpTarget:
        """Raises StepFailure (`bad_request`, `unauthorized`)."""
        known = self.known(project_id, connection)
        if known is not None:
            return known
        local = _is_local(connection)
        url = f"{await self._local_server()}/v1" if local else _checked(connection)
        headers = {name: await self._revealed(project_id, value) for name, value in connection.headers.items()}
        if connection.api_key is not None:
            headers["authorization"] = f"Bearer {await self._revealed(project_id, connection.api_key)}"
        for name, text in headers.items():
            if _CONTROL & {*name, *text}:
                raise StepFailure(
                    "bad_request", f"The connection {connection.name!r} has a header {name!r} with a line break in it."
                )
            if not (name + text).isascii():
                raise StepFailure(
                    "bad_request",
                    f"The connection {connection.name!r} has a header {name!r} with a letter that HTTP cannot carry.",
                    advice="Look for quotation marks or dashes that came with a copied credential.",
                )
        kept = self._kept.get((project_id, connection.name))
        if kept is not None and kept[0] == connection and kept[1].url == url:
            return kept[1]
        target = HttpTarget(connection.name, url, headers, guarded=not local)
        self._kept[project_id, connection.name] = (connection, target)
        return target

    async def _revealed(self, project_id: int, value: str) -> str:
        found = reference(value)
        return found[0] + await self._secrets.reveal(project_id, found[1]) if found is not None else value

    async def address(self, target: HttpTarget) -> str:
        """Raises StepFailure (`egress_refused`, `unavailable`)."""
        if self._address is None or not target.guarded:
            return target.host
        return await self._address(target.url)


def _is_local(connection: Connection) -> bool:
    return connection.kind == "local" and connection.base_url is None


def _checked(connection: Connection) -> str:
    parts = urlsplit(connection.base_url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or not (connection.base_url or "").isascii():
        raise StepFailure(
            "bad_request",
            f"The connection {connection.name!r} has no usable address: {connection.base_url!r}.",
            advice="Give it a base_url such as https://api.example.com/v1.",
        )
    return str(connection.base_url)
