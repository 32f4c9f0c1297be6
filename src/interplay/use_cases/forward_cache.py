"""Whole answers given before to equal requests, kept as bytes where the alias's policy says for how long."""

from __future__ import annotations

import hashlib
import logging
from typing import Final

import msgspec

from interplay.core.errors import Unavailable
from interplay.core.models.routing import LiveModel
from interplay.core.models.wire import Asked
from interplay.ports.result_cache import ResultCache

_LOG: Final = logging.getLogger("interplay.gateway")
_ASIDE: Final = frozenset({"stream", "stream_options", "user", "metadata", "store"})  # they change no answer
_MOST: Final = 1024 * 1024  # bytes of an answer that is kept


class Kept(msgspec.Struct, array_like=True):
    deployment: str
    content_type: bytes
    body: bytes


class ForwardCache:
    """A cache that is away is a miss, and never a failure of the call."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    async def find(self, project_id: int, digest: str) -> Kept | None:
        try:
            raw = await self._cache.get(project_id, digest)
            return None if raw is None else msgspec.msgpack.decode(raw, type=Kept)
        except msgspec.DecodeError:
            return None  # another release kept it in another shape
        except Unavailable as away:
            _LOG.warning("the cache of answers is away: %s", away.detail)
            return None

    async def keep(self, project_id: int, digest: str, kept: Kept, seconds: float) -> None:
        if len(kept.body) > _MOST:
            return
        try:
            await self._cache.put(project_id, digest, msgspec.msgpack.encode(kept), seconds)
        except Unavailable as away:
            _LOG.warning("an answer was not kept: %s", away.detail)


def digest_of_call(model: LiveModel, path: str, asked: Asked) -> str:
    """Of the request, byte by byte below its top level, and of every deployment that may answer it."""
    behind = [[d.connection, d.model, d.options] for d in model.model.deployments]
    digest = hashlib.sha256(msgspec.json.encode(["call", path, model.name, behind], order="deterministic"))
    for name in sorted(asked.fields.keys() - _ASIDE):
        digest.update(msgspec.json.encode(name) + b":" + bytes(asked.fields[name]) + b"\n")
    return digest.hexdigest()
