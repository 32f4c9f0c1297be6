"""Errors as HTTP answers: RFC 9457 problem documents, the status decided in one table."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from interplay.core.errors import (
    BudgetReached,
    Conflict,
    Forbidden,
    InputTooLarge,
    InterplayError,
    InvalidInput,
    InvalidRunInputs,
    LimitReached,
    NotFound,
    SetupError,
    Unauthorized,
    Unavailable,
)
from interplay.core.flows.problems import InvalidFlow, Problem
from interplay.core.models.reading import InvalidModels

STATUS: Final[tuple[tuple[type[InterplayError], int], ...]] = (
    (NotFound, 404),
    (InvalidFlow, 422),
    (InvalidRunInputs, 422),
    (InputTooLarge, 413),
    (InvalidInput, 422),
    (Conflict, 409),
    (Unauthorized, 401),
    (Forbidden, 403),
    (LimitReached, 429),
    (BudgetReached, 402),
    (Unavailable, 503),
    (SetupError, 500),
    (InterplayError, 500),
)
MEDIA_TYPE: Final = "application/problem+json"


class _Document(JSONResponse):
    """Half a character that somebody sent may be in the words about it, and must not break the answer."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    kind = "https://interplay.example/problems/" + title.lower().replace(" ", "-")
    body = {"type": kind, "title": title, "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    return _Document(body, status, media_type=MEDIA_TYPE)


def answer(error: InterplayError) -> JSONResponse:
    """The problem document of an error of ours."""
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    more: dict[str, Any] = {"where": error.where, "advice": error.advice}
    if isinstance(error, InvalidFlow | InvalidModels):
        more["problems"] = [shown(entry) for entry in error.problems]
    response = problem(status, error.title, error.detail, **more)
    if isinstance(error, Unavailable | LimitReached) and error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


def shown(entry: Problem) -> dict[str, Any]:
    """One problem of a flow as JSON."""
    made: dict[str, Any] = msgspec.to_builtins(entry)
    place = made.pop("place")
    return {**made, "line": place["line"], "column": place["column"], "file": place["file"]}


def install(app: FastAPI) -> None:
    @app.exception_handler(InterplayError)
    async def ours(_: Request, error: InterplayError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, InvalidInput.title, f"{where}: {first['msg']}.", where=where)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> JSONResponse:
        """The server logs what it was; callers are told no inner details."""
        detail = f"{request.method} {request.url.path} failed for a reason that is not the caller's."
        return problem(500, "Something went wrong", detail, advice="The server's log says more; please report it.")

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            advice = "The API is described at /openapi.json."
            return problem(404, "Not found", f"There is nothing at {request.url.path}.", advice=advice)
        if error.status_code == 400:  # what the framework says of a body that it cannot decode
            return problem(422, InvalidInput.title, "The body is not JSON in UTF-8.", where="body")
        if error.status_code == 405:
            return _other_method(request)
        return problem(error.status_code, str(error.detail), str(error.detail))


def _other_method(request: Request) -> JSONResponse:
    """Every method is tried on every route: the framework names those of a path's first route only."""
    found = [
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    allowed = ", ".join(found)
    response = problem(
        405,
        "Method not allowed",
        f"{request.method} means nothing at {request.url.path}.",
        where="method",
        advice=f"Possible here: {allowed}. The API is described at /openapi.json.",
    )
    response.headers["Allow"] = allowed
    return response
