"""A provider that plays a script and keeps a ledger of calls: real HTTP on 127.0.0.1.

A script is a list of acts; each call takes the next one, the last is played for ever. Acts: `{}` answers;
`status`, `headers`, `text` answer with an error or another text; `raw` is a whole body;
`tool_calls` answers with those; `delay` waits before the answer, `pace` between two words of a stream;
`fault` is one of `reset` (closes without an answer), `hang`, `cut` (a stream that stops in the middle),
`stall` (goes silent in the middle), `malformed`, `no_done`, `no_usage`, `wrong_type`.
Other processes set it up through `/_script` and read `/_ledger`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.scripted_server import answer, listening, serving

_WORDS = ["one", "two", "three", "four", "five"]


@dataclass
class ProviderServer:
    """The server and its state. `url` ends in `/v1`."""

    url: str = ""
    script: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def play(self, *acts: dict[str, Any]) -> None:
        self.script = list(acts)

    def calls(self, key: str | None = None) -> list[dict[str, Any]]:
        return [call for call in self.ledger if key in (None, call["key"])]

    def _act(self) -> dict[str, Any]:
        if not self.script:
            return {}
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        if path == "/_script":
            self.play(*json.loads(raw))
            await answer(send, 200, b"{}")
        elif path == "/_ledger":
            await answer(send, 200, json.dumps(self.ledger).encode())
        else:
            await self._serve(scope, raw, send)

    async def _serve(self, scope: Any, raw: bytes, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.loads(raw) if raw and raw[:1] in b"{[" else {}
        entry = {"path": scope["path"], "key": headers.get("idempotency-key"), "body": body, "headers": headers}
        entry |= {"ended": False, "at": time.monotonic(), "began": time.time()}
        entry["beside"] = sum(not call["ended"] for call in self.ledger)
        self.ledger.append(entry)
        act = self._act()
        if act.get("delay"):
            await asyncio.sleep(act["delay"])
        fault = act.get("fault")
        if fault == "reset":
            raise ConnectionResetError("as the script says")
        if fault == "hang":
            await asyncio.sleep(3600)
        if act.get("status", 200) >= 300:
            error = json.dumps({"error": {"message": act.get("text", "no"), "code": act.get("code")}}).encode()
            await answer(send, act["status"], error, act.get("headers"))
        elif "raw" in act:
            await answer(send, 200, act["raw"].encode(), act.get("headers"))
        elif fault == "wrong_type":
            await answer(send, 200, b"<html>hello</html>", {"content-type": "text/html"})
        elif body.get("stream"):
            await _stream(send, act, fault)
        else:
            await answer(send, 200, json.dumps(_whole(scope["path"], body, act, fault)).encode())
        entry |= {"ended": True, "over": time.time()}


def _whole(path: str, body: dict[str, Any], act: dict[str, Any], fault: str | None) -> dict[str, Any]:
    usage = {} if fault == "no_usage" else {"usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    if path.endswith("/embeddings"):
        given, packed = body["input"], body.get("encoding_format") == "base64"
        rows = [[float(len(text)), 1.0] for text in ([given] if isinstance(given, str) else given)]
        vectors = [base64.b64encode(struct.pack("<2f", *row)).decode() if packed else row for row in rows]
        return {"data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)], **usage}
    if path.endswith("/rerank"):
        scores = [float(len(set(body["query"].split()) & set(d.split()))) for d in body["documents"]]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return {"results": [{"index": i, "relevance_score": scores[i]} for i in order]}
    if path.endswith("/classify"):
        labels = body.get("labels") or ["x", "y"]
        scores = {label: 1.0 / len(labels) for label in labels}
        given = body.get("input")
        row = {"label": labels[0], "scores": scores, "confidence": scores[labels[0]]}
        return {"results": [row for _ in (given if isinstance(given, list) else [given])]}
    if fault == "malformed":
        return {"choices": []}
    message = {"role": "assistant", "content": act.get("text", " ".join(_WORDS))}
    if "tool_calls" in act:
        message = {"role": "assistant", "content": None, "tool_calls": act["tool_calls"]}
    finish = act.get("finish", "tool_calls" if "tool_calls" in act else "stop")
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **usage}


async def _stream(send: Any, act: dict[str, Any], fault: str | None) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    if "tool_calls" in act:
        await _tool_events(send, act["tool_calls"])
        return
    words = act.get("text", " ".join(_WORDS)).split(" ")
    for number, word in enumerate(words):
        if number == 2 and fault == "stall":
            await asyncio.sleep(3600)
        if number == 2 and fault == "cut":
            raise ConnectionResetError("as the script says")
        if number == 2 and fault == "malformed":
            await _event(send, b"{not json")
            continue
        if number == 2 and fault == "no_done":
            await send({"type": "http.response.body", "body": b""})
            return
        if number and act.get("pace"):
            await asyncio.sleep(act["pace"])
        delta = {"content": word if number == 0 else f" {word}"}
        await _event(send, json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode())
    last = {"index": 0, "delta": {}, "finish_reason": act.get("finish", "stop")}
    await _event(send, json.dumps({"choices": [last]}).encode())
    if fault != "no_usage":
        await _event(send, b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}')
    await _event(send, b"[DONE]")
    await send({"type": "http.response.body", "body": b""})


async def _tool_events(send: Any, calls: list[dict[str, Any]]) -> None:
    """Each call in two pieces, as providers send them: its name first, its arguments after."""
    for number, call in enumerate(calls):
        named = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
        rest = {"index": number, "function": {"arguments": call["function"]["arguments"]}}
        for piece in (named, rest):
            choice = {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}
            await _event(send, json.dumps({"choices": [choice]}).encode())
    await _event(send, b'{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}')
    await _event(send, b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}')
    await _event(send, b"[DONE]")
    await send({"type": "http.response.body", "body": b""})


async def _event(send: Any, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})


@contextmanager
def provider_server() -> Iterator[ProviderServer]:
    """On a free port of its own; gone at the end."""
    with listening() as listener:
        state = ProviderServer(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        with serving(state, listener):
            yield state
