"""The Open Inference Protocol v2 on the model plane: classic models by alias, tensors forwarded as they are.

Only JSON is spoken: of the binary extension nothing is asked of an upstream, and what is sent in it is refused.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from interplay.core.errors import InterplayError, InvalidInput, NotFound
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.routing import LiveModel
from interplay.ports.upstream import Outgoing, Patience, WholeAnswer
from interplay.services.gateway.answers import UPSTREAM, Pair, Stages
from interplay.services.gateway.asgi import AsgiFace, Receive, Scope, Send, answer, forward, read_body
from interplay.services.gateway.errors import refused
from interplay.use_cases.forward_find import find_caller, find_model
from interplay.use_cases.forward_parts import Endpoint, ForwardParts, Incoming

ENDPOINT: Final = Endpoint("predict", "infer", "POST /v2/models/{model}/infer")
_ENCODE: Final = msgspec.json.Encoder().encode
_PATIENCE: Final = Patience(5.0, 30.0, 30.0)
_BINARY: Final = b"inference-header-content-length"
_WISHES: Final = ("binary_data", "binary_data_output")


class InferenceFace(AsgiFace):
    """Errors as the protocol has them: a sentence under `error`."""

    __slots__ = ()

    def refused(self, wrong: InterplayError | Failure) -> tuple[int, bytes, list[Pair]]:
        return refused_simply(wrong)


def refused_simply(wrong: InterplayError | Failure) -> tuple[int, bytes, list[Pair]]:
    status, body, headers = refused(wrong)
    return status, _ENCODE({"error": msgspec.json.decode(body)["error"]["message"]}), headers


class Inference:
    def __init__(self, parts: ForwardParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send, token: bytes) -> None:
        stages = Stages(self._parts.clock.monotonic)
        try:
            await self._answer(scope, receive, send, token, stages)
        except InterplayError as wrong:
            status, body, headers = refused_simply(wrong)
            await answer(send, status, body, [*headers, stages.timing()])
        except ConnectionError:
            return

    async def _answer(self, scope: Scope, receive: Receive, send: Send, token: bytes, stages: Stages) -> None:
        method, place = scope["method"], scope["path"].removeprefix("/v2").strip("/").split("/")
        match method, *place:
            case "GET", "":
                await _say(send, stages, {"name": "interplay", "version": "2", "extensions": []})
            case "GET", "health", "live":
                await _say(send, stages, {"live": True})
            case "GET", "health", "ready":
                ready = bool(self._parts.snapshot().version)
                await _say(send, stages, {"ready": ready}, 200 if ready else 503)
            case "GET", "models", name:
                found = await self._asked(token, unquote(name), "", stages)
                await answer(send, found.status, found.body, [stages.timing()])
            case "GET", "models", name, "ready":
                found = await self._asked(token, unquote(name), "/ready", stages)
                await _say(send, stages, {"name": unquote(name), "ready": found.status < 300}, found.status)
            case "POST", "models", name, "infer":
                with stages.stage(b"auth"):
                    self._parts.admit.authenticate(token)
                await self._infer(unquote(name), token, scope, receive, send)
            case _:
                raise NotFound(
                    f"There is nothing at {method} {scope['path']}.",
                    advice="There are POST /v2/models/{model}/infer, GET /v2/models/{model}, its /ready, /v2/health.",
                )

    async def _infer(self, name: str, token: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """The call tells stages of its own."""
        if any(header == _BINARY for header, _ in scope["headers"]):
            raise InvalidInput("Tensors are taken as JSON only.", where="body", advice="Set `binary_data=False`.")
        body = _without_wishes(await read_body(receive))
        incoming = Incoming(ENDPOINT, body, token, scope["headers"])
        incoming.model = name
        await forward(self._parts, incoming, receive, send, InferenceFace())

    async def _asked(self, token: bytes, name: str, what: str, stages: Stages) -> WholeAnswer:
        """What the model's first deployment says of itself."""
        parts = self._parts
        incoming = Incoming(ENDPOINT, b"", token)
        with stages.stage(b"auth"):
            caller = find_caller(parts, incoming)
        with stages.stage(b"route"):
            model: LiveModel = find_model(parts, caller, incoming, name)
        if not model.deployments:
            raise StepFailure("not_found", model.nothing(parts.clock.monotonic()).detail)
        deployment = model.deployments[0].deployment
        try:
            target = await parts.upstream.resolve(caller.project_id, model.deployments[0].connection)
            path = f"/v2/models/{quote(deployment.model, safe='')}{what}"
            with stages.stage(UPSTREAM):
                return await parts.upstream.call(Outgoing(target, path, None), _PATIENCE)
        except StepFailure as failed:
            status, body, _ = refused_simply(failed.failure)
            return WholeAnswer(status, b"application/json", None, body)


def _without_wishes(body: bytes) -> bytes:
    """Without what would make an upstream answer in binary: clients wish it by default, and take JSON as well."""
    if b'"binary_data' not in body:
        return body
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body  # what is wrong with it is said later
    outputs = asked.get("outputs") if isinstance(asked, dict) else None
    for one in [asked, *(outputs if isinstance(outputs, list) else [])]:
        if isinstance(one, dict) and isinstance(one.get("parameters"), dict):
            one["parameters"] = {k: v for k, v in one["parameters"].items() if k not in _WISHES}
    return _ENCODE(asked)


async def _say(send: Send, stages: Stages, said: dict[str, Any], status: int = 200) -> None:
    await answer(send, status, _ENCODE(said), [stages.timing()])
