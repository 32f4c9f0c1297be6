"""All providers at one address: each at its own paths and in its own shapes, playing one script.

Acts are those of `vendor_shapes`, and: `status`, `headers`, `error` (a body) answer with an error; `fault` is one of
`reset` (closes without an answer), `hang`, `cut` (a stream that breaks in the middle), `no_end` (a stream that ends
in the middle, in order), `stall` (goes silent in the middle), `malformed`, `wrong_type`. `last_event` ends a stream
with these bytes after two words.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests import vendor_shapes as shapes
from tests.scripted_server import answer, listening, serving

Whole = Callable[[shapes.Act], Any]
Events = Callable[[shapes.Act], Iterator[bytes]]


@dataclass(frozen=True)
class Chat:
    """One provider's chat: its path, when it streams, in which shapes."""

    path: str
    whole: Whole
    events: Events
    media: str = "text/event-stream"
    streams: Callable[[str, Any], bool] = lambda _, body: bool(body.get("stream"))


CHATS = {
    "anthropic": Chat(r"/v1/messages", shapes.anthropic_whole, shapes.anthropic_events),
    "azure": Chat(r"/openai/deployments/[^/]+/chat/completions", shapes.openai_whole, shapes.openai_events),
    "groq": Chat(r"/openai/v1/chat/completions", shapes.openai_whole, shapes.openai_events),
    "mistral": Chat(r"/mistral/v1/chat/completions", shapes.openai_whole, shapes.mistral_events),
    "cohere": Chat(r"/v2/chat", shapes.cohere_whole, shapes.cohere_events),
    "google": Chat(
        r"/v1/models/[^/]+:(generateContent|streamGenerateContent)", shapes.google_whole, shapes.google_events,
        streams=lambda path, _: "stream" in path,
    ),
    "ollama": Chat(r"/api/chat", shapes.ollama_whole, shapes.ollama_events, "application/x-ndjson"),
    "bedrock": Chat(
        r"/model/[^/]+/converse(-stream)?", shapes.bedrock_whole, shapes.bedrock_events,
        "application/vnd.amazon.eventstream", lambda path, _: path.endswith("-stream"),
    ),
}  # fmt: skip
# The address that a connection of this kind is given.
BASES = {"mistral": "/mistral/v1"}


@dataclass
class Call:
    """What one request said. `gone` is set when its caller left before the answer was whole."""

    kind: str
    path: str
    headers: dict[str, str]
    body: Any
    gone: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)


@dataclass
class VendorServer:
    url: str = ""
    script: list[shapes.Act] = field(default_factory=list)
    ledger: list[Call] = field(default_factory=list)

    def play(self, *acts: shapes.Act) -> None:
        self.script, self.ledger = list(acts), []

    def address(self, kind: str) -> str:
        return self.url + BASES.get(kind, "")

    def _act(self) -> shapes.Act:
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
        path = unquote(scope["path"])
        kind = next((name for name, chat in CHATS.items() if re.fullmatch(chat.path, path)), "other")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        call = Call(kind, path, headers, json.loads(raw) if raw else {})
        self.ledger.append(call)
        serving = asyncio.ensure_future(self._serve(call, self._act(), send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            call.gone.set()
            serving.cancel()
        leaving.cancel()
        if serving.done() and not serving.cancelled():
            serving.result()

    async def _serve(self, call: Call, act: shapes.Act, send: Any) -> None:
        call.begun.set()
        fault = act.get("fault")
        if fault == "reset":
            raise ConnectionResetError("as the script says")
        if fault == "hang":
            await asyncio.sleep(3600)
        if act.get("status", 200) >= 400:
            error = act.get("error", {"error": {"message": "no", "type": "no"}})
            await answer(send, act["status"], json.dumps(error).encode(), act.get("headers"))
        elif fault == "wrong_type":
            await answer(send, 200, b"<html>hello</html>", {"content-type": "text/html"})
        elif call.kind == "other":
            await answer(send, 200, json.dumps(_other(call.path, call.body)).encode())
        elif CHATS[call.kind].streams(call.path, call.body):
            await _stream(send, CHATS[call.kind], act)
        elif fault == "malformed":
            await answer(send, 200, b'{"choices": [')
        else:
            await answer(send, 200, json.dumps(CHATS[call.kind].whole(act)).encode())


def _other(path: str, body: Any) -> Any:
    """Embeddings, and reranking: a vector is the length of its text, and one."""
    if path == "/v2/rerank":
        scores = [float(len(set(body["query"].split()) & set(d.split()))) for d in body["documents"]]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return {"id": "r", "results": [{"index": place, "relevance_score": scores[place]} for place in order]}
    if path == "/v1/embed":
        vectors = [[float(len(text)), 1.0] for text in body["texts"]]
        return {
            "id": "r",
            "response_type": "embeddings_by_type",
            "texts": body["texts"],
            "embeddings": {"float": vectors},
        }
    if path == "/api/embed":
        return {"model": "m", "embeddings": [[float(len(text)), 1.0] for text in body["input"]]}
    if path.endswith(":batchEmbedContents"):
        texts = [request["content"]["parts"][0]["text"] for request in body["requests"]]
        return {"embeddings": [{"values": [float(len(text)), 1.0]} for text in texts]}
    if path.endswith("/invoke"):
        return {"embedding": [float(len(body["inputText"])), 1.0], "inputTextTokenCount": 1}
    rows = [{"index": n, "object": "embedding", "embedding": [float(len(t)), 1.0]} for n, t in enumerate(body["input"])]
    return {"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}


async def _stream(send: Any, chat: Chat, act: shapes.Act) -> None:
    fault = act.get("fault")
    head = [(b"content-type", chat.media.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    words = 0
    for event in chat.events(act):
        if words == 2:
            if fault == "stall":
                await asyncio.sleep(3600)
            if fault == "cut":
                raise ConnectionResetError("as the script says")
            if fault == "malformed" or "last_event" in act:
                event = act.get("last_event", b"data: {not json\n\n{not json\n")
                fault = "no_end"
                await send({"type": "http.response.body", "body": event, "more_body": True})
            if fault == "no_end":
                break
        words += any(word.encode() in event for word in ("one", "two"))
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(act.get("pace", 0))
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def vendor_server() -> Iterator[VendorServer]:
    """On a free port of its own; gone at the end."""
    with listening() as listener:
        state = VendorServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with serving(state, listener):
            yield state
