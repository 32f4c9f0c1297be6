"""Errors as HTTP answers: RFC 9457 problem documents, the status decided in one table."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from interplay.core.errors import (
    Conflict,
    Forbidden,
    InputTooLarge,
    InterplayError,
    InvalidInput,
    InvalidRunInputs,
    NotFound,
    SetupError,
    Unavailable,
)
from interplay.core.flows.problems import InvalidFlow, Problem

STATUS: Final[tuple[tuple[type[InterplayError], int], ...]] = (
    (NotFound, 404),
    (InvalidFlow, 422),
    (InvalidRunInputs, 422),
    (InputTooLarge, 413),
    (InvalidInput, 422),
    (Conflict, 409),
    (Forbidden, 403),
    (Unavailable, 503),
    (SetupError, 500),
    (InterplayError, 500),
)
MEDIA_TYPE: Final = "application/problem+json"


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    kind = "https://interplay.example/problems/" + title.lower().replace(" ", "-")
    body = {"type": kind, "title": title, "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    return JSONResponse(body, status, media_type=MEDIA_TYPE)


def answer(error: InterplayError) -> JSONResponse:
    """The problem document of an error of ours."""
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    more: dict[str, Any] = {"where": error.where, "advice": error.advice}
    if isinstance(error, InvalidFlow):
        more["problems"] = [shown(entry) for entry in error.problems]
    response = problem(status, error.title, error.detail, **more)
    if isinstance(error, Unavailable):
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

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            advice = "The API is described at /openapi.json."
            return problem(404, "Not found", f"There is nothing at {request.url.path}.", advice=advice)
        return problem(error.status_code, str(error.detail), str(error.detail))
