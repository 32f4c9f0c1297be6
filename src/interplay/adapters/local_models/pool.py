"""The models of this machine: loaded at first use, bounded, unloaded when nobody asks for them."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from interplay.adapters.local_models.assets import MINILM, SMOLLM2, TOKENIZER, Asset, missing
from interplay.adapters.local_models.chat_gguf import CONTEXT, GgufChat
from interplay.adapters.local_models.classifiers import Language, Vader
from interplay.adapters.local_models.embed_onnx import LONGEST, MiniLM
from interplay.adapters.local_models.tensors_onnx import OnnxTensors
from interplay.core.errors import InvalidInput, NotFound, Unavailable
from interplay.core.models.requests import Task
from interplay.core.models.tensors import Tensor
from interplay.ports.local_models import LocalModel, OnChunk

T = TypeVar("T")
MOST_WAITING: Final = 64  # requests of one runtime, running ones included


@dataclass(slots=True)
class Runtime:
    """What is loaded once and serves one or more model ids."""

    load: Callable[[], Any]
    assets: tuple[Asset, ...]
    at_once: int
    value: Any = None
    loading: bool = False
    used_at: float = 0.0
    waiting: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


@dataclass(frozen=True, slots=True)
class Entry:
    task: Task
    runtime: str
    about: str
    context: int | None = None


CATALOGUE: Final[dict[str, Entry]] = {
    "smollm2-135m-instruct": Entry("chat", "gguf", "SmolLM2-135M-Instruct, a very small chat model (Q4_1).", CONTEXT),
    "all-minilm-l6-v2": Entry("embed", "minilm", "384 numbers a text (int8).", LONGEST),
    "minilm-maxsim": Entry("rerank", "minilm", "Late interaction over the embedder's token states.", LONGEST),
    "zero-shot-minilm": Entry("classify", "minilm", "Any labels, by how near a text is to each.", LONGEST),
    "vader": Entry("classify", "vader", "Sentiment of English text by a lexicon."),
    "langid": Entry("classify", "langid", "The language of a text, one of 97."),
}


class MachineModels:
    """Implements `ports.local_models.LocalModels` over files in `directory`."""

    def __init__(self, directory: Path, idle_seconds: float = 300.0) -> None:
        self._directory = directory
        self._idle = idle_seconds
        gguf, minilm, tokens = (directory / asset.name for asset in (SMOLLM2, MINILM, TOKENIZER))
        self._runtimes = {
            "gguf": Runtime(lambda: GgufChat(gguf, "smollm2-135m-instruct"), (SMOLLM2,), 2),
            "minilm": Runtime(lambda: MiniLM(minilm, tokens), (MINILM, TOKENIZER), 2),
            "vader": Runtime(Vader, (), 1),
            "langid": Runtime(Language, (), 1),
        }
        for runtime in self._runtimes.values():
            runtime.room = asyncio.Semaphore(runtime.at_once)

    def models(self) -> list[LocalModel]:
        return [
            LocalModel(model_id, entry.task, entry.about, self._state(self._runtimes[entry.runtime]), entry.context)
            for model_id, entry in self._catalogue().items()
        ]

    def _state(self, runtime: Runtime) -> str:
        if runtime.value is not None:
            return "ready"
        if runtime.loading:
            return "loading"
        return "absent" if missing(self._directory, runtime.assets) else "cold"

    async def chat(self, model_id: str, body: dict[str, Any], on_chunk: OnChunk | None) -> dict[str, Any]:
        runtime = self._runtime(model_id, "chat")
        loop = asyncio.get_running_loop()
        stopped = threading.Event()

        def take(chunk: dict[str, Any]) -> bool:
            if not stopped.is_set() and on_chunk is not None:
                loop.call_soon_threadsafe(on_chunk, chunk)
            return stopped.is_set()

        def work(model: GgufChat) -> dict[str, Any]:
            if on_chunk is not None:
                return model.chat(body, take)
            return _collected(model, body, stopped)

        return await self._run(runtime, work, stopped)

    async def embed(self, model_id: str, texts: list[str]) -> tuple[list[list[float]], int]:
        return await self._run(self._runtime(model_id, "embed"), lambda model: model.embed(texts))

    async def rerank(self, model_id: str, query: str, documents: list[str]) -> list[float]:
        return await self._run(self._runtime(model_id, "rerank"), lambda model: model.rerank(query, documents))

    async def classify(self, model_id: str, texts: list[str], labels: list[str] | None) -> list[dict[str, float]]:
        if model_id == "zero-shot-minilm" and not labels:
            raise InvalidInput("zero-shot-minilm needs labels.", where="labels", advice="Send a list of them.")
        return await self._run(self._runtime(model_id, "classify"), lambda model: model.classify(texts, labels))

    async def describe(self, model_id: str) -> dict[str, Any]:
        return await self._run(self._runtime(model_id, "predict"), lambda model: model.describe())

    async def infer(self, model_id: str, inputs: list[Tensor]) -> list[Tensor]:
        return await self._run(self._runtime(model_id, "predict"), lambda model: model.infer(inputs))

    # ------------------------------------------------------------------ loading and bounds

    def _catalogue(self) -> dict[str, Entry]:
        """Our own, and every ONNX file that lies in the folder `onnx` now."""
        found = dict(CATALOGUE)
        for path in sorted((self._directory / "onnx").glob("*.onnx")):
            found[path.stem] = Entry("predict", f"onnx:{path.stem}", f"{path.name}, tensors in and out.")
            if f"onnx:{path.stem}" not in self._runtimes:
                self._runtimes[f"onnx:{path.stem}"] = Runtime(partial(OnnxTensors, path), (), 2)
                self._runtimes[f"onnx:{path.stem}"].room = asyncio.Semaphore(2)
        return found

    def _runtime(self, model_id: str, task: Task) -> Runtime:
        catalogue = self._catalogue()
        entry = catalogue.get(model_id)
        if entry is None:
            raise NotFound.named("model", model_id, catalogue)
        if entry.task != task:
            raise InvalidInput(f"{model_id} is a model for {entry.task}, not for {task}.", where="model")
        runtime = self._runtimes[entry.runtime]
        if runtime.value is None and missing(self._directory, runtime.assets):
            raise NotFound(
                f"The files of {model_id} are not installed.", where=model_id, advice="Run `interplay models install`."
            )
        return runtime

    async def _run(self, runtime: Runtime, work: Callable[[Any], T], stopped: threading.Event | None = None) -> T:
        if runtime.waiting >= MOST_WAITING:
            raise Unavailable("Too many requests wait for this model.", retry_after=2.0)
        runtime.waiting += 1
        try:
            model = await self._loaded(runtime)
            async with runtime.room:
                task = asyncio.create_task(asyncio.to_thread(work, model))
                try:
                    return await asyncio.shield(task)
                except asyncio.CancelledError:
                    if stopped is not None:
                        stopped.set()
                    await asyncio.wait([task])  # the room is taken until the native code has let go
                    raise
        finally:
            runtime.waiting -= 1
            runtime.used_at = time.monotonic()

    async def _loaded(self, runtime: Runtime) -> Any:
        async with runtime.lock:
            if runtime.value is None:
                runtime.loading = True
                try:
                    runtime.value = await asyncio.to_thread(runtime.load)
                finally:
                    runtime.loading = False
            runtime.used_at = time.monotonic()
            return runtime.value

    async def unload_idle(self) -> list[str]:
        now, names = time.monotonic(), []
        for name, runtime in self._runtimes.items():
            if runtime.value is not None and not runtime.waiting and now - runtime.used_at > self._idle:
                async with runtime.lock:
                    runtime.value = None
                names.append(name)
        if names:
            gc.collect()
        return [model_id for model_id, entry in self._catalogue().items() if entry.runtime in names]

    async def close(self) -> None:
        for runtime in self._runtimes.values():
            runtime.value = None


def _collected(model: GgufChat, body: dict[str, Any], stopped: threading.Event) -> dict[str, Any]:
    """A whole answer put together from a stream, so that a caller who leaves ends the work.

    Log probabilities come only with whole answers; those are short by their nature.
    """
    if body.get("logprobs") or body.get("response_format"):
        return model.chat(body, None)
    texts: list[str] = []
    last: dict[str, Any] = {}
    finish, usage = "stop", None

    def take(chunk: dict[str, Any]) -> bool:
        nonlocal last, finish, usage
        last = chunk
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            texts.append((choice.get("delta") or {}).get("content") or "")
            finish = choice.get("finish_reason") or finish
        return stopped.is_set()

    model.chat(body, take)
    message = {"role": "assistant", "content": "".join(texts)}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {**last, "object": "chat.completion", "choices": [choice], "usage": usage}
