"""Who calls, and which alias is meant; each refusal says what to do."""

from __future__ import annotations

from typing import Final

from interplay.core.errors import Forbidden, InterplayError, InvalidInput, NotFound, near_names
from interplay.core.models.routing import LiveModel
from interplay.core.tenancy.keys import Caller, may_call
from interplay.use_cases.forward_parts import ForwardParts, Incoming

SCOPE: Final = "models:call"
FLOWS: Final = "flows:call"
_ENDPOINTS: Final = {
    "chat": "POST /v1/chat/completions",
    "embed": "POST /v1/embeddings",
    "rerank": "POST /v1/rerank",
    "predict": "POST /v2/models/{model}/infer",
}


def find_caller(parts: ForwardParts, incoming: Incoming) -> Caller:
    """Raises Unauthorized, and Forbidden for a key that may call nothing at all."""
    caller = parts.admit.authenticate(incoming.token)
    if SCOPE not in caller.key.scopes and FLOWS not in caller.key.scopes:
        raise _without_scope()
    return caller


def _without_scope() -> Forbidden:
    return Forbidden(
        f"This key lacks the scope {SCOPE!r}.",
        where=SCOPE,
        advice=f"Use a key that has it, or make one with `interplay keys create --scope {SCOPE}`.",
    )


def find_model(parts: ForwardParts, caller: Caller, incoming: Incoming, name: str) -> LiveModel:
    """Raises NotFound with near names, Forbidden, and InvalidInput for a model that is for something else."""
    if SCOPE not in caller.key.scopes:
        raise _without_scope()
    model = parts.snapshot().models.get((caller.project_id, name))
    if model is None or not may_call(caller.key, name):
        raise _refusal(parts, caller, name, there=model is not None)
    task = model.model.task
    if task != incoming.task:
        raise InvalidInput(
            f"{name!r} is a model for {task!r}, which is not what {incoming.shown} is for.",
            where="model",
            advice=f"Call {_ENDPOINTS.get(task, 'it in a flow')}.",
        )
    return model


def _refusal(parts: ForwardParts, caller: Caller, name: str, *, there: bool) -> InterplayError:
    if there:
        return Forbidden(
            f"This key may not call the model {name!r}.",
            where="model",
            advice="Its `models` say which it may; GET /v1/models lists them.",
        )
    known = [
        alias
        for project, alias in parts.snapshot().models
        if project == caller.project_id and may_call(caller.key, alias)
    ]
    near = near_names(name, known)
    meant = f"Did you mean {' or '.join(map(repr, near))}?" if near else "GET /v1/models lists what this key may call."
    return NotFound(f"There is no model {name!r}.", where="model", advice=meant)
