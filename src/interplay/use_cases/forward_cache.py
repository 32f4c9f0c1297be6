"""Answers given before to requests that are equal, or that mean the same, as the alias's policy says.

They are kept as bytes: an answer that came whole is given again whole, one that was streamed is given again as the
stream that it was.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final, Literal

import msgspec

from interplay.core.errors import Unavailable
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.policy import CachePolicy
from interplay.core.models.routing import LiveModel
from interplay.core.models.wire import DONE, Asked
from interplay.ports.result_cache import ResultCache
from interplay.ports.semantic_cache import SemanticCache
from interplay.use_cases.embed_question import Ask, question_call
from interplay.use_cases.forward_attempt import Asker, Attempt, StreamAttempt
from interplay.use_cases.model_call import Whose

_LOG: Final = logging.getLogger("interplay.gateway")
_ASIDE: Final = frozenset({"stream", "stream_options", "user", "metadata", "store"})  # they change no answer
_MOST: Final = 1024 * 1024  # bytes of an answer that is kept


class Kept(msgspec.Struct, array_like=True):
    deployment: str
    content_type: bytes
    body: bytes


class Looked:
    """What was found for one call: `kept`, and `how`; else where to keep what it is answered with."""

    __slots__ = ("_size", "digest", "how", "kept", "pieces", "policy", "project_id", "scope", "similarity", "vector")

    def __init__(self, project_id: int, policy: CachePolicy, digest: str) -> None:
        self.project_id = project_id
        self.policy = policy
        self.digest = digest
        self.scope = ""
        self.vector: list[float] | None = None
        self.kept: Kept | None = None
        self.how: Literal["exact", "semantic"] = "exact"
        self.similarity: float | None = None
        self.pieces: list[bytes] | None = None  # of a stream that is to be kept; None: there is none
        self._size = 0

    def record(self, asker: Asker, *, whole: bool) -> Asker:
        """`asker`, and a copy of the stream on its way there. `whole`: it is no part of an answer that broke."""
        self.pieces, self._size = ([], 0) if whole else (None, 0)
        return _Recorded(asker, self)

    def take(self, data: bytes) -> None:
        if self.pieces is not None:
            self._size += len(data)
            self.pieces.append(data)
            if self._size > _MOST:
                self.pieces = None

    def worth(self, attempt: Attempt) -> Kept | None:
        """What may be given again; an answer that was cut off or filtered is not worth it."""
        if isinstance(attempt, StreamAttempt):
            if self.pieces is None or attempt.scan.finish in ("length", "content_filter"):
                return None
            ending = b"" if attempt.scan.done else DONE
            body = b"".join([*self.pieces, ending])
        elif attempt.finish in ("length", "content_filter"):
            return None
        else:
            body = attempt.body
        return Kept(attempt.live.name, attempt.content_type, body) if len(body) <= _MOST else None


class _Recorded(Asker):
    """Passes on what an attempt tells, and takes a copy of its stream."""

    __slots__ = ("_asker", "_looked")

    def __init__(self, asker: Asker, looked: Looked) -> None:
        self._asker = asker
        self._looked = looked

    def began(self, attempt: Attempt) -> None:
        self._asker.began(attempt)

    def passed(self, attempt: Attempt, data: bytes) -> None:
        self._looked.take(data)
        self._asker.passed(attempt, data)

    def ended(self, attempt: Attempt) -> None:
        self._asker.ended(attempt)

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        self._asker.failed(attempt, failure)


class ForwardCache:
    """A cache that is away, or an embedding that fails, is a miss and never a failure of the call."""

    def __init__(self, exact: ResultCache, semantic: SemanticCache | None = None, ask: Ask | None = None) -> None:
        self._exact = exact
        self._semantic = semantic
        self._ask = ask

    async def look(self, model: LiveModel, path: str, asked: Asked, whose: Whose) -> Looked:
        policy = model.policy.cache
        assert policy is not None
        looked = Looked(model.project_id, policy, _digest(model, path, asked, "exact", asked.fields))
        looked.kept = _read(await self._raw(looked))
        if looked.kept is None and policy.semantic is not None:
            await self._look_by_meaning(looked, model, path, asked, whose)
        return looked

    async def _raw(self, looked: Looked) -> bytes | None:
        try:
            return await self._exact.get(looked.project_id, looked.digest)
        except Unavailable as away:
            _LOG.warning("the cache of answers is away: %s", away.detail)
            return None

    async def _look_by_meaning(self, looked: Looked, model: LiveModel, path: str, asked: Asked, whose: Whose) -> None:
        semantic, question = looked.policy.semantic, _question(asked)
        if semantic is None or question is None or self._semantic is None or self._ask is None:
            return
        text, before = question
        try:
            embedded = (await self._ask(question_call(looked.project_id, semantic.model, text, whose))).answer
        except StepFailure as failed:
            _LOG.warning("the semantic cache of %s cannot embed: %s", model.name, failed.detail)
            return
        around = {**asked.fields, "messages": before}
        looked.scope = _digest(model, path, asked, semantic.model, around)
        looked.vector = embedded.vectors[0]
        near = await self._semantic.nearest(looked.project_id, looked.scope, looked.vector)
        if near is not None and near[0] >= semantic.similarity:
            looked.kept = _read(near[1])
            looked.how, looked.similarity = "semantic", round(near[0], 4)

    async def keep(self, looked: Looked, kept: Kept) -> None:
        raw, ttl = msgspec.msgpack.encode(kept), looked.policy.ttl
        try:
            await self._exact.put(looked.project_id, looked.digest, raw, ttl)
        except Unavailable as away:
            _LOG.warning("an answer was not kept: %s", away.detail)
        if looked.vector is not None and self._semantic is not None:
            await self._semantic.put(looked.project_id, looked.scope, looked.vector, raw, ttl)


def _read(raw: bytes | None) -> Kept | None:
    """What another release kept in another shape counts as nothing."""
    try:
        return None if raw is None else msgspec.msgpack.decode(raw, type=Kept)
    except msgspec.DecodeError:
        return None


def _question(asked: Asked) -> tuple[str, msgspec.Raw] | None:
    """The last question as text, and the messages before it; None where the last message is no plain question."""
    messages = asked.items("messages")
    if not isinstance(messages, list) or not messages:
        return None
    last = msgspec.json.decode(messages[-1])
    if not isinstance(last, dict) or last.get("role") != "user" or not isinstance(last.get("content"), str):
        return None
    before = b",".join(bytes(message) for message in messages[:-1])
    return last["content"], msgspec.Raw(b"[%s]" % before)


def _digest(model: LiveModel, path: str, asked: Asked, kind: str, fields: dict[str, msgspec.Raw]) -> str:
    """Of the request, byte by byte below its top level, of the way it is answered in, and of every deployment that may
    answer it: a changed alias answers anew."""
    behind = [[d.connection, d.model, d.options] for d in model.model.deployments]
    about = ["call", kind, path, model.name, behind, asked.stream, asked.wants_usage]
    digest = hashlib.sha256(msgspec.json.encode(about, order="deterministic"))
    for name in sorted(fields.keys() - _ASIDE):
        digest.update(msgspec.json.encode(name) + b":" + bytes(fields[name]) + b"\n")
    return digest.hexdigest()
