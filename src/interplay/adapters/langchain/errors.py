"""What the providers' clients raise, as the codes that policies know.

Each has its own tree of errors, but all keep the answer's status, headers and body somewhere in it; classes of
LangChain often wrap them, so the whole chain is read.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from interplay.core.failures import StepFailure
from interplay.core.models.refusals import FILTERED, closer, code_of, seconds_of
from interplay.core.unreached import how_it_broke

# Where an error comes inside a stream, the status was 200 and a word is all there is.
_BY_WORD: Final = {
    "overloaded_error": "unavailable",
    "api_error": "unavailable",
    "server_error": "unavailable",
    "internalserverexception": "unavailable",
    "modelerrorexception": "unavailable",
    "modelstreamerrorexception": "unavailable",
    "modelnotreadyexception": "unavailable",
    "serviceunavailableexception": "unavailable",
    "unavailable": "unavailable",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "throttlingexception": "rate_limited",
    "servicequotaexceededexception": "rate_limited",
    "resource_exhausted": "rate_limited",
    "timeout_error": "timeout",
    "modeltimeoutexception": "timeout",
    "deadline_exceeded": "timeout",
    "authentication_error": "unauthorized",
    "permission_error": "unauthorized",
    "accessdeniedexception": "unauthorized",
    "unrecognizedclientexception": "unauthorized",
    "expiredtokenexception": "unauthorized",
    "invalidsignatureexception": "unauthorized",
    "not_found_error": "not_found",
    "resourcenotfoundexception": "not_found",
    "request_too_large": "context_too_long",
    "context_length_exceeded": "context_too_long",
    "content_filter": "content_filtered",
    "invalid_request_error": "bad_request",
    "validationexception": "bad_request",
}
_TIMEOUTS: Final = frozenset(
    {"TimeoutException", "TimeoutError", "APITimeoutError", "ReadTimeoutError", "ConnectTimeoutError"}
)
_BROKEN: Final = frozenset(
    {"HTTPError", "TransportError", "APIConnectionError", "HTTPClientError", "ConnectionError", "OSError",
     "ResponseStreamingError", "StreamError", "IncompleteReadError", "ProtocolError", "ClientPayloadError",
     "ClientConnectionError", "HttpProcessingError"}
)  # fmt: skip
_NO_ANSWER: Final = frozenset(
    {"JSONDecodeError", "UnicodeDecodeError", "APIResponseValidationError", "UnknownApiResponseError",
     "ResponseParserError", "ParserError", "SSEError", "NoInitialResponseError"}
)  # fmt: skip

_ANSWERS: Final = ("Response", "Chunk", "Result")  # pydantic classes of what comes back


def failure_of(error: BaseException, who: str) -> StepFailure:
    """The failure for whatever a call raised."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, StepFailure):
            return link
    for link in chain:
        status = _status(link)
        words, message = _said(link)
        code = _code(status, words, message)
        if code is not None:
            number = f" {status}" if status is not None and status >= 400 else " with an error"
            detail = f"{who} answered{number}: {message or 'no reason given'}"
            return StepFailure(code, detail[:1000], retry_after=_wish(chain))
    return _without_answer(error, chain, who)


def _wish(chain: list[BaseException]) -> float | None:
    """When to come again; some clients lose the headers, but what they wrap has them."""
    return next((wish for link in chain if (wish := retry_after(_headers(link))) is not None), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        yield link
        link = link.__cause__ or link.__context__


def _without_answer(error: BaseException, chain: list[BaseException], who: str) -> StepFailure:
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    text = f"{type(error).__name__} {error}".strip()[:500]
    if names & _TIMEOUTS:
        return StepFailure("timeout", f"{who} did not answer in time.")
    if names & _NO_ANSWER:
        return StepFailure("unavailable", f"{who} answered something that is no answer: {text}")
    if names & _BROKEN:
        return StepFailure("unavailable", how_it_broke(error, who))
    if "ValidationError" in names and str(getattr(error, "title", "")).endswith(_ANSWERS):
        return StepFailure("unavailable", f"{who} answered something that is no answer: {text}")
    if isinstance(error, ValueError) and any(sign in text.lower() for sign in FILTERED):
        return StepFailure("content_filtered", f"{who} filtered the model's answer: {text}")
    if isinstance(error, ValueError) and "response" in text.lower():  # a class that could not read what came
        return StepFailure("unavailable", f"{who} answered something that is no answer: {text}")
    if isinstance(error, ValueError | NotImplementedError):
        return StepFailure("bad_request", f"{who} cannot take this request: {text}")
    if "NoCredentialsError" in names or "PartialCredentialsError" in names:
        return StepFailure("unauthorized", f"{who} has no credentials: {text}")
    if "ParamValidationError" in names:
        return StepFailure("bad_request", f"{who} cannot take this request: {text}")
    return StepFailure("unavailable", f"{who} answered something that is no answer: {text}")


def _code(status: int | None, words: list[str], message: str) -> str | None:
    """None where the error is not an answer."""
    said = f"{' '.join(words)} {message}"
    if status is not None and status >= 400:
        return code_of(status, said)
    code = next((_BY_WORD[word.lower()] for word in words if word.lower() in _BY_WORD), None)
    return None if code is None else closer(code, said)


def _status(error: BaseException) -> int | None:
    if any(kind.__name__ == "HttpProcessingError" for kind in type(error).__mro__):
        return None  # what aiohttp cannot read has a code of its own: nobody answered with it
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # AWS
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    for value in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(value, int):
            return value
    found = getattr(response, "status_code", None)
    return found if isinstance(found, int) else None


def _headers(error: BaseException) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        found = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        found = getattr(response, "headers", None) or getattr(error, "headers", None)
    return {str(name).lower(): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _said(error: BaseException) -> tuple[list[str], str]:
    """The error's words for what it is, and its sentence."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        told = response.get("Error", {})
        return [str(told.get("Code") or "")], str(told.get("Message") or error)
    body = getattr(error, "body", None) or getattr(error, "details", None)
    if body is None:
        with contextlib.suppress(RuntimeError):  # httpx: a body that was never read
            body = getattr(response, "text", None)
    words, message = _read(body)
    own = getattr(error, "code", None) or getattr(error, "status", None)
    if isinstance(own, str):
        words.append(own)
    return words, message or str(error)


def _read(body: Any) -> tuple[list[str], str]:
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return [], body[:300].strip()
    if not isinstance(body, Mapping):
        return [], ""
    error = body.get("error", body)
    if isinstance(error, str):
        return [], error
    if not isinstance(error, Mapping):
        return [], ""
    words = [str(error[name]) for name in ("code", "type", "status") if isinstance(error.get(name), str)]
    inner = error.get("innererror")
    if isinstance(inner, Mapping) and isinstance(inner.get("code"), str):
        words.append(str(inner["code"]))
    return words, str(error.get("message") or body.get("message") or body.get("detail") or "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date."""
    value = headers.get("retry-after")
    return None if value is None else seconds_of(value.encode("latin-1", "replace"), time.time())
