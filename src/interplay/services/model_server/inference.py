"""The Open Inference Protocol v2 over HTTP: classic models, tensors in and out."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from interplay.core.errors import InterplayError, InvalidInput, NotFound
from interplay.core.models.tensors import Tensor, check
from interplay.ports.local_models import LocalModels

_TASK = "predict"


class InferenceRequest(msgspec.Struct):
    """What we read of a request; `parameters` and other fields may be there."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[dict[str, Any]] | None = None


def add_inference(app: FastAPI, models: LocalModels) -> None:
    def ready(model_id: str) -> bool:
        return any(m.model_id == model_id and m.task == _TASK and m.state != "absent" for m in models.models())

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "interplay-model-server", "version": "2", "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def server_ready() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/v2/models/{model}")
    async def metadata(model: str) -> JSONResponse:
        return await _answered({"name": model, "versions": ["1"]}, models.describe(model))

    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str) -> JSONResponse:
        return JSONResponse({"name": model, "ready": ready(model)}, 200 if ready(model) else 404)

    @app.post("/v2/models/{model}/infer")
    async def infer(model: str, request: Request) -> JSONResponse:
        try:
            asked = msgspec.json.decode(await request.body(), type=InferenceRequest)
            inputs = [check(tensor) for tensor in asked.inputs]
        except (msgspec.DecodeError, InvalidInput) as wrong:
            return JSONResponse({"error": str(wrong)}, 400)
        named = {one.get("name") for one in asked.outputs} if asked.outputs else None
        given = {"model_name": model, "model_version": "1", **({"id": asked.id} if asked.id else {})}
        return await _answered(given, _outputs(models.infer(model, inputs), named))


async def _outputs(work: Any, named: set[Any] | None) -> dict[str, Any]:
    tensors: list[Tensor] = await work
    return {"outputs": [msgspec.to_builtins(one) for one in tensors if named is None or one.name in named]}


async def _answered(given: dict[str, Any], work: Any) -> JSONResponse:
    """The protocol's own shape of an error is a sentence under `error`."""
    try:
        return JSONResponse({**given, **await work})
    except (NotFound, InvalidInput) as wrong:
        return JSONResponse({"error": str(wrong)}, 404 if isinstance(wrong, NotFound) else 400)
    except InterplayError as away:
        return JSONResponse({"error": str(away)}, 503)
