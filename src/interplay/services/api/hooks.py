"""`POST /hooks/{project}/{name}`: where other systems call triggers. Public but for the signature."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from interplay.core.errors import InputTooLarge, InvalidInput, Unavailable
from interplay.ports.run_store import CreatedRun
from interplay.services.api.draining import drain
from interplay.services.api.problems import answer, problem
from interplay.use_cases.receive_hook import Call, ReceiveHook

MOST_BYTES: Final = 1024 * 1024
_IN_HAND: Final = 128 * 1024 * 1024  # bytes of bodies of all calls
_AT_ONCE: Final = 200  # calls that are looked at
_SLOWEST: Final = 20.0  # seconds that a body may take


def install_hooks(api: FastAPI, receive: ReceiveHook) -> None:
    hooks = _Hooks(receive)

    @api.post("/hooks/{project}/{name}", include_in_schema=False)
    async def hook(project: str, name: str, request: Request) -> Response:
        """202 with the run's id when it is durable, 200 where the filter does not want the call."""
        return await hooks.answered(project, name, request)


class _Hooks:
    """Bounded in what strangers may make it keep: they take room by what they sent, not by being slow."""

    def __init__(self, receive: ReceiveHook) -> None:
        self._receive = receive
        self._bytes = 0
        self._looking = 0

    async def answered(self, project: str, name: str, request: Request) -> Response:
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(_SLOWEST):
                await self._read(request, parts)
            call = Call(project, name, dict(request.headers), b"".join(parts))
            created = await self._looked_at(call)
        except InputTooLarge as large:
            return answer(large)
        except InvalidInput as wrong:  # those who call know 400, and take others for a wrong address
            return problem(400, wrong.title, wrong.detail, where=wrong.where, advice=wrong.advice)
        except TimeoutError:
            return problem(408, "Request timeout", f"A call is whole in {_SLOWEST:g} s.")
        finally:
            self._bytes -= sum(map(len, parts))
        if created is None:
            return JSONResponse({"run": None, "new": False})
        told: dict[str, Any] = {"run": str(created.run_id), "new": created.created}
        return JSONResponse(told, 202)

    async def _looked_at(self, call: Call) -> CreatedRun | None:
        if self._looking >= _AT_ONCE:
            raise Unavailable("Too many calls at once.", retry_after=1.0)
        self._looking += 1
        try:
            return await self._receive.receive(call)
        finally:
            self._looking -= 1

    async def _read(self, request: Request, parts: list[bytes]) -> None:
        """Raises InputTooLarge. What is too much is taken and forgotten, or its sender would hear no answer."""
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > MOST_BYTES:
            await drain(request.receive, dict(request.scope["headers"]))
            raise _too_large()
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                continue
            if self._bytes + len(part) > _IN_HAND:
                raise Unavailable("Too much is in hand.", retry_after=2.0)
            self._bytes += len(part)
            parts.append(part)
        if size > MOST_BYTES:
            raise _too_large()


def _too_large() -> InputTooLarge:
    return InputTooLarge(f"A call may have {MOST_BYTES:,} bytes.", advice="Send a reference to what is large.")
