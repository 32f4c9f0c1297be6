"""The model server's HTTP surface, in OpenAI's shapes (rerank in Cohere's, classify in our own)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from interplay.core.errors import InputTooLarge, InterplayError, InvalidInput, NotFound, Unavailable
from interplay.ports.local_models import LocalModels
from interplay.services.model_server.inference import add_inference

_STATUS = ((NotFound, 404), (InputTooLarge, 400), (InvalidInput, 400), (Unavailable, 503))
_SWEEP = 5.0  # seconds between two looks for idle models
_UNSUPPORTED = ("tools", "functions", "audio")


def make_app(models: LocalModels) -> FastAPI:
    app = FastAPI(title="Interplay model server", lifespan=lambda _: _sweeping(models))
    _add_operations(app, models)
    _add_models(app, models)
    add_inference(app, models)
    return app


def _add_operations(app: FastAPI, models: LocalModels) -> None:
    """What operators ask for: health, counts, and errors in OpenAI's shape."""
    counts: dict[str, int] = {}

    @app.exception_handler(InterplayError)
    async def refused(_: Request, error: InterplayError) -> JSONResponse:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        headers = {"Retry-After": str(max(1, int(error.retry_after)))} if isinstance(error, Unavailable) else None
        body = _error(str(error), status, error.where if isinstance(error, InputTooLarge) else None)
        return JSONResponse(body, status, headers)

    @app.middleware("http")
    async def count(request: Request, following: Any) -> Response:
        response: Response = await following(request)
        key = f'path="{request.url.path}",status="{response.status_code}"'
        if response.status_code != 404:
            counts[key] = counts.get(key, 0) + 1
        return response

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz")
    async def readyz() -> dict[str, Any]:
        return {"status": "ready", "reasons": {}, "models": {m.model_id: m.state for m in models.models()}}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        lines = [f"interplay_model_server_requests_total{{{key}}} {n}" for key, n in sorted(counts.items())]
        loaded = [f'interplay_model_loaded{{model="{m.model_id}"}} {int(m.state == "ready")}' for m in models.models()]
        return PlainTextResponse("\n".join([*lines, *loaded]) + "\n")


def _add_models(app: FastAPI, models: LocalModels) -> None:
    """What callers ask of models."""

    @app.get("/v1/models")
    async def listed() -> dict[str, Any]:
        data = [
            {
                "id": m.model_id,
                "object": "model",
                "owned_by": "interplay",
                "task": m.task,
                "state": m.state,
                "about": m.about,
                "context": m.context,
            }
            for m in models.models()
        ]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await _body(request)
        model = _text(body, "model")
        for field in _UNSUPPORTED:
            if body.get(field):
                raise InvalidInput(f"{model} cannot do `{field}`.", where=field)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise InvalidInput("`messages` must be a list with at least one message.", where="messages")
        if body.get("n", 1) != 1:
            raise InvalidInput("`n` can only be 1 here.", where="n")
        if body.get("stream"):
            return await _streamed(models, model, body)
        return JSONResponse(await _unless_gone(request, models.chat(model, body, None)))

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> JSONResponse:
        body = await _body(request)
        texts = _texts(body, "input")
        vectors, tokens = await models.embed(_text(body, "model"), texts)
        as_text = body.get("encoding_format") == "base64"
        rows = [
            {"object": "embedding", "index": i, "embedding": _packed(vector) if as_text else vector}
            for i, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": rows, "model": body["model"], "usage": usage})

    @app.post("/v1/rerank")
    async def rerank(request: Request) -> JSONResponse:
        body = await _body(request)
        raw = body.get("documents")
        documents = [d.get("text", "") if isinstance(d, dict) else str(d) for d in raw] if isinstance(raw, list) else []
        if not documents:
            raise InvalidInput("`documents` must be a list with at least one document.", where="documents")
        scores = await models.rerank(_text(body, "model"), _text(body, "query"), documents)
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.get("top_n") or len(scores)]
        return JSONResponse(
            {"model": body["model"], "results": [{"index": i, "relevance_score": scores[i]} for i in order]}
        )

    @app.post("/v1/classify")
    async def classify(request: Request) -> JSONResponse:
        body = await _body(request)
        labels = body.get("labels")
        rows = await models.classify(_text(body, "model"), _texts(body, "input"), labels)
        results = []
        for scores in rows:
            label = max(scores, key=lambda name: scores[name])
            results.append({"label": label, "scores": scores, "confidence": scores[label]})
        return JSONResponse({"model": body["model"], "results": results})


@contextlib.asynccontextmanager
async def _sweeping(models: LocalModels) -> AsyncIterator[None]:
    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            await models.unload_idle()

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        await models.close()


async def _streamed(models: LocalModels, model: str, body: dict[str, Any]) -> StreamingResponse:
    """Waits for the first chunk, so that a refusal still has its true status."""
    chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    task = asyncio.create_task(models.chat(model, body, chunks.put_nowait))
    task.add_done_callback(lambda _: chunks.put_nowait(None))
    first = await chunks.get()
    if first is None:
        await task  # raises why

    async def events() -> AsyncIterator[bytes]:
        chunk = first
        try:
            while chunk is not None:
                yield b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
                chunk = await chunks.get()
            if task.exception() is not None:
                yield b"data: " + json.dumps(_error(str(task.exception()), 500)).encode() + b"\n\n"
            else:
                yield b"data: [DONE]\n\n"
        finally:
            task.cancel()

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _unless_gone(request: Request, work: Any) -> Any:
    """Ends the work when its caller leaves."""
    task = asyncio.ensure_future(work)

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await task
    finally:
        watcher.cancel()


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as wrong:
        raise InvalidInput(f"The body is not JSON: {wrong}.") from None
    if not isinstance(body, dict):
        raise InvalidInput("The body must be a JSON object.")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"`{name}` must be text.", where=name)
    return value


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"`{name}` must be text or a list of texts.", where=name)
    return texts


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _error(message: str, status: int, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": None, "at": int(time.time())}}
