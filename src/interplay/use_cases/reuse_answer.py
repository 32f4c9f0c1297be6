"""Answers given before, for requests that are equal, or that mean the same where the policy says so."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any, Final, Generic

import msgspec

from interplay.core.errors import Unavailable
from interplay.core.failures import StepFailure
from interplay.core.models.policy import CachePolicy
from interplay.core.models.registry import Deployment
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.ports.result_cache import ResultCache
from interplay.ports.semantic_cache import SemanticCache
from interplay.use_cases.embed_question import Ask, question_call
from interplay.use_cases.model_call import Answer, ModelCall

_LOG = logging.getLogger("interplay.models")


class _Entry(msgspec.Struct, array_like=True):
    deployment: Deployment
    answer: msgspec.Raw


@dataclass(slots=True)
class Looked(Generic[Answer]):
    """What was found. `answer` is None where nothing was: then `digest`, `scope` and `vector` say where to keep it.

    An answer that is used again cost what was spent to find it: nothing, or the embedding of the question.
    """

    project_id: int
    policy: CachePolicy
    digest: str = ""
    scope: str = ""
    vector: list[float] | None = None
    spent: Usage = field(default_factory=Usage)
    answer: Answer | None = None
    deployment: Deployment = field(default_factory=lambda: Deployment("", ""))
    how: str = ""
    similarity: float | None = None


class ReuseAnswer:
    """A cache that is away, or an embedding that fails, is a miss and never a failure of the call."""

    def __init__(self, exact: ResultCache | None = None, semantic: SemanticCache | None = None) -> None:
        self._exact = exact
        self._semantic = semantic

    async def look(self, model: LiveModel, call: ModelCall[Answer], ask: Ask) -> Looked[Answer]:
        policy = model.policy.cache
        assert policy is not None
        found: Looked[Answer] = Looked(call.project_id, policy)
        if call.asked is None:
            return found
        found.digest = _digest(model, "exact", call.asked)
        raw = await self._raw(call.project_id, found.digest)
        if raw is not None:
            return _filled(found, call, raw, "exact", None)
        if policy.semantic is not None and self._semantic is not None and call.meaning:
            await self._look_by_meaning(found, model, call, ask)
        return found

    async def _raw(self, project_id: int, digest: str) -> bytes | None:
        if self._exact is None:
            return None
        try:
            return await self._exact.get(project_id, digest)
        except Unavailable as away:
            _LOG.warning("the cache of answers is away: %s", away.detail)
            return None

    async def _look_by_meaning(
        self, found: Looked[Answer], model: LiveModel, call: ModelCall[Answer], ask: Ask
    ) -> None:
        semantic = found.policy.semantic
        assert semantic is not None
        assert self._semantic is not None
        question = question_call(call.project_id, semantic.model, call.meaning or "", call.whose)
        try:
            embedded = (await ask(question)).answer
        except StepFailure as failed:
            _LOG.warning("the semantic cache of %s cannot embed: %s", model.name, failed.detail)
            return
        found.scope = _digest(model, semantic.model, call.asked_around)
        found.vector, found.spent = embedded.vectors[0], embedded.usage
        near = await self._semantic.nearest(call.project_id, found.scope, found.vector)
        if near is not None and near[0] >= semantic.similarity:
            _filled(found, call, near[1], "semantic", round(near[0], 4))

    async def keep(self, looked: Looked[Answer], deployment: Deployment, answer: Answer) -> None:
        """For the next time. An answer that was filtered or cut off is not worth keeping."""
        if not looked.digest or getattr(answer, "finish", "stop") in ("length", "content_filter"):
            return
        raw = msgspec.json.encode(_Entry(deployment, msgspec.Raw(msgspec.json.encode(answer))))
        try:
            if self._exact is not None:
                await self._exact.put(looked.project_id, looked.digest, raw, looked.policy.ttl)
        except Unavailable as away:
            _LOG.warning("an answer was not kept: %s", away.detail)
        if looked.vector is not None and self._semantic is not None:
            await self._semantic.put(looked.project_id, looked.scope, looked.vector, raw, looked.policy.ttl)


def _filled(
    found: Looked[Answer], call: ModelCall[Answer], raw: bytes, how: str, similarity: float | None
) -> Looked[Answer]:
    """What an older release kept in another shape counts as nothing."""
    try:
        entry = msgspec.json.decode(raw, type=_Entry)
        answer: Any = msgspec.json.decode(entry.answer, type=call.answer)
    except msgspec.DecodeError:
        return found
    found.answer = msgspec.structs.replace(answer, usage=found.spent)
    found.deployment, found.how, found.similarity = entry.deployment, how, similarity
    return found


def _digest(model: LiveModel, kind: str, asked: Any) -> str:
    """Of the question, and of every deployment that may answer it: a changed alias answers anew."""
    behind = [[d.connection, d.model, d.options] for d in model.model.deployments]
    parts = ["answer", kind, model.name, model.model.task, behind, asked]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


NO_REUSE: Final = ReuseAnswer()
