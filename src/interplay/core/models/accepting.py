"""What a connection and a model must be to be kept. Those kept by an earlier release are read as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from interplay.core.models.registry import Connection

HIDDEN: Final = "(hidden)"
_REFERENCE: Final = re.compile(r"((?:[A-Za-z][A-Za-z0-9_-]{0,31} )?)secret://([A-Za-z0-9_-]{1,128})")
_ADDRESS: Final = re.compile(
    r"https?://(?P<user>[^/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:(?P<port>[0-9]{1,5}))?([/?#].*)?", re.IGNORECASE
)
_MOST_PORT: Final = 65_535
_LONGEST_NAME: Final = 200
# names of headers and options whose value is a credential
_CREDENTIAL: Final = re.compile(
    r"auth|cookie|credential|passw|secret|token|(^|[-_])(api|access|private)?[-_]?key$", re.IGNORECASE
)
_PUBLIC: Final = frozenset({"max_tokens", "token_limit"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """`path` leads to what is wrong inside the connection or model."""

    path: tuple[str, ...]
    detail: str
    expected: str


def reference(value: Any) -> tuple[str, str] | None:
    """What stands before the secret, and its name: `Bearer secret://k` is ("Bearer ", "k"). None for anything else."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return (found[1], found[2]) if found is not None else None


def is_credential(name: str) -> bool:
    """Whether a header or option of this name holds what nobody else may see."""
    return name.lower() not in _PUBLIC and _CREDENTIAL.search(name) is not None


def connection_problem(connection: Connection) -> Refusal | None:
    """The first thing that is wrong with a connection that somebody wants to keep."""
    return name_problem(connection.name) or _address_problem(connection.base_url) or _plain_problem(connection)


def name_problem(name: str) -> Refusal | None:
    if 0 < len(name) <= _LONGEST_NAME and name.isprintable():
        return None
    message = f"the name has {len(name):,} characters or some that cannot be read"
    return Refusal(("name",), message, f"at most {_LONGEST_NAME} characters")


def _address_problem(base_url: str | None) -> Refusal | None:
    if base_url is None:
        return None
    expected = "an address such as https://api.example.com/v1, and a key in `api_key`"
    found = _ADDRESS.fullmatch(base_url)
    fine = found is not None and int(found["port"] or 0) <= _MOST_PORT and base_url.isprintable()
    named = found is not None and found["user"] is not None
    if named:
        return Refusal(("base_url",), "an address may not carry a user name or a password", expected)
    return None if fine else Refusal(("base_url",), f"{base_url[:200]!r} is no http or https address", expected)


def _plain_problem(connection: Connection) -> Refusal | None:
    """A credential that stands there as it is would be shown to whoever may list connections."""
    held: list[tuple[tuple[str, ...], str]] = []
    if connection.api_key is not None:
        held.append((("api_key",), connection.api_key))
    held += [(("headers", name), value) for name, value in connection.headers.items() if is_credential(name)]
    held += [
        (("options", name), value)
        for name, value in connection.options.items()
        if is_credential(name) and isinstance(value, str)
    ]
    for path, value in held:
        found = reference(value)
        if found is None or (found[0] and path[0] != "headers"):
            expected = "secret://NAME, with INTERPLAY_SECRET_NAME set where the worker runs"
            return Refusal(path, "a credential may not stand here as it is", expected)
    return None


def shown(connection: Connection) -> Connection:
    """As it may be shown: one that an earlier release kept may hold a credential as it is."""
    return msgspec.structs.replace(
        connection,
        api_key=_hidden(connection.api_key),
        headers=_all_hidden(connection.headers),
        options=_all_hidden(connection.options),
    )


def _all_hidden(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _hidden(value) if is_credential(name) else value for name, value in values.items()}


def _hidden(value: Any) -> Any:
    return value if not isinstance(value, str) or reference(value) is not None else HIDDEN
