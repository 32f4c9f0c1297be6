"""Stands in for a chat model that calls tools: rules behind OpenAI's API, for machines that have no such model.

    python examples/agent/planner.py [PORT]

It looks for a word of the question that may be an item, asks the tool for it, and says what the tool said.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NO_ITEMS = {"how", "many", "are", "there", "left", "of", "the", "is", "any", "do", "we", "have", "still", "a"}


def answer(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The next message of the assistant."""
    last = messages[-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The warehouse says: {last['content']}"}
    words = [word.strip("?.,!").lower() for word in str(last["content"]).split()]
    items = [word.removesuffix("s") for word in words if word not in NO_ITEMS]
    if not items or not tools:
        return {"role": "assistant", "content": "Ask me about an item, such as a lamp."}
    arguments = json.dumps({"item": items[0]})
    call = {"name": tools[0]["function"]["name"], "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = answer(asked["messages"], asked.get("tools", []))
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": len(str(asked)) // 4, "completion_tokens": len(str(message)) // 4},
        }
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """It says nothing of the calls."""


if __name__ == "__main__":
    address = ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
    with ThreadingHTTPServer(address, Handler) as running:
        print(f"ready: http://{address[0]}:{running.server_port}/v1", flush=True)
        running.serve_forever()
