"""`POST /hooks/{project}/{name}`: where other systems call triggers. Public but for the signature."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from interplay.core.errors import InputTooLarge, InvalidInput, Unavailable
from interplay.services.api.draining import drain
from interplay.services.api.problems import answer, problem
from interplay.use_cases.receive_hook import Call, ReceiveHook

MOST_BYTES: Final = 1024 * 1024
_AT_ONCE: Final = 200  # calls in hand, with their bodies


def install_hooks(api: FastAPI, receive: ReceiveHook) -> None:
    going = 0

    @api.post("/hooks/{project}/{name}", include_in_schema=False)
    async def hook(project: str, name: str, request: Request) -> Response:
        """202 with the run's id when it is durable, 200 where the filter does not want the call."""
        nonlocal going
        if going >= _AT_ONCE:
            return answer(Unavailable("Too many calls at once.", retry_after=1.0))
        going += 1
        try:
            return await _answered(receive, project, name, request)
        finally:
            going -= 1


async def _answered(receive: ReceiveHook, project: str, name: str, request: Request) -> Response:
    try:
        body = await _body(request)
        created = await receive.receive(Call(project, name, dict(request.headers), body))
    except InputTooLarge as large:
        return answer(large)
    except InvalidInput as wrong:  # those who call know 400, and take others for a wrong address
        return problem(400, wrong.title, wrong.detail, where=wrong.where, advice=wrong.advice)
    if created is None:
        return JSONResponse({"run": None, "new": False})
    told: dict[str, Any] = {"run": str(created.run_id), "new": created.created}
    return JSONResponse(told, 202)


async def _body(request: Request) -> bytes:
    """Raises InputTooLarge. What is too much is taken and forgotten, or its sender would hear no answer."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MOST_BYTES:
        await drain(request.receive, dict(request.scope["headers"]))
        raise _too_large()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
    if size > MOST_BYTES:
        raise _too_large()
    return b"".join(parts)


def _too_large() -> InputTooLarge:
    return InputTooLarge(f"A call may have {MOST_BYTES:,} bytes.", advice="Send a reference to what is large.")
