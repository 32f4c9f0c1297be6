"""Webhooks as a file holds them: `webhooks:`, a mapping of names to what each is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.source import Path, Source, read_yaml
from interplay.core.flows.suggestions import nearest
from interplay.core.webhooks.webhook import Webhook, webhook_name, webhook_of

_FIELDS: Final = (*(field.encode_name for field in msgspec.structs.fields(Webhook)), "paused")


class WrittenWebhook(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    webhook: Webhook
    paused: bool | None


def is_webhooks(text: str) -> bool:
    """Whether this YAML is such a file, and so no flow."""
    data = read_yaml(text).data
    return isinstance(data, dict) and set(data) == {"webhooks"}


def read_webhooks(text: str, file: str) -> list[WrittenWebhook]:
    """Raises InvalidInput that says where and what was expected."""
    source = read_yaml(text, file)
    if source.problems:
        raise InvalidInput(str(source.problems[0]), where=file)
    written = source.data["webhooks"]
    if not isinstance(written, dict):
        raise InvalidInput("`webhooks` holds webhooks by name.", where=str(source.place(("webhooks",))))
    return [_read(source, name, body) for name, body in written.items()]


def _read(source: Source, name: str, body: Any) -> WrittenWebhook:
    path: Path = ("webhooks", name)
    if not isinstance(body, dict):
        advice = f"With {', '.join(_FIELDS)}."
        raise InvalidInput(f"{name}: a webhook is a mapping.", where=str(source.place(path)), advice=advice)
    for key in body:
        if key not in _FIELDS:
            near = nearest(str(key), _FIELDS)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_FIELDS)}."
            where = str(source.key((*path, key)))
            raise InvalidInput(f"{name}: {key!r} is not known here.", where=where, advice=advice)
    paused = body.get("paused")
    try:
        if paused not in (None, True, False):
            raise InvalidInput("`paused` is true or false.", where="paused")
        webhook = webhook_of({key: value for key, value in body.items() if key != "paused"})
        return WrittenWebhook(webhook_name(name), webhook, paused)
    except InvalidInput as wrong:
        at = (*path, str(wrong.where)) if wrong.where in body else None
        where = str(source.place(at)) if at is not None else str(source.key(path))
        raise InvalidInput(f"{name}: {wrong.detail}", where=where, advice=wrong.advice) from None
