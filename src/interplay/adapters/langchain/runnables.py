"""Registered LangChain Runnables and LangGraph graphs, each run as one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import pydantic

from interplay.core.errors import SetupError, near_names
from interplay.core.failures import StepFailure

Load = Callable[[str, str], Any]
_ANSWER: Final = pydantic.TypeAdapter(Any)


class LangChainRunnables:
    """`references`: a name to `package.module:object`, loaded by `load` at first use, in a thread."""

    def __init__(self, references: Mapping[str, str], load: Load) -> None:
        self._references = dict(references)
        self._load = load
        self._loaded: dict[str, Any] = {}

    def names(self) -> Sequence[str]:
        return list(self._references)

    async def run(
        self, name: str, given: Any, *, run_id: UUID, step_key: str, on_delta: Callable[[str], None] | None
    ) -> Any:
        runnable = await self._of(name)
        config: dict[str, Any] = {
            "run_name": step_key,
            "metadata": {"run": str(run_id), "step": step_key},
            "configurable": {"thread_id": f"{run_id}:{step_key}"},
        }
        try:
            if on_delta is None:
                output = await runnable.ainvoke(given, config)
            else:
                output = await _streamed(runnable, given, config, on_delta)
            return _ANSWER.dump_python(_plain(output), mode="json")
        except StepFailure:
            raise
        except (ConnectionError, TimeoutError) as away:
            code = "timeout" if isinstance(away, TimeoutError) else "unavailable"
            raise StepFailure(code, f"{name}: {type(away).__name__}: {away}.") from away
        except Exception as failed:
            raise StepFailure("bad_request", f"{name} failed: {type(failed).__name__}: {failed}.") from failed

    async def _of(self, name: str) -> Any:
        if name not in self._references:
            near = near_names(name, self._references)
            advice = f"Did you mean {near[0]!r}?" if near else "Runnables are named in INTERPLAY_EXTENSIONS."
            raise StepFailure("not_found", f"There is no runnable {name!r}.", advice=advice)
        if name not in self._loaded:
            try:
                found = await asyncio.to_thread(self._load, self._references[name], name)
            except SetupError as wrong:
                raise StepFailure("not_found", wrong.detail, where=name, advice=wrong.advice) from wrong
            if not hasattr(found, "ainvoke"):
                raise StepFailure("not_found", f"{self._references[name]} is no Runnable: it has no `ainvoke`.")
            self._loaded[name] = found
        return self._loaded[name]


async def _streamed(runnable: Any, given: Any, config: dict[str, Any], on_delta: Callable[[str], None]) -> Any:
    """The tokens of every chat model inside as they come, then the output of the whole."""
    output: Any = None
    root: str | None = None
    async for event in runnable.astream_events(given, config, version="v2"):
        root = root or event["run_id"]
        if event["event"] == "on_chat_model_stream":
            text = event["data"]["chunk"].text
            text = text() if callable(text) else text
            if text:
                on_delta(str(text))
        elif event["run_id"] == root and event["event"].endswith("_end"):
            output = event["data"].get("output")
    return output


def _plain(value: Any) -> Any:
    """Messages in OpenAI's shape; everything else as it is."""
    from langchain_core.messages import BaseMessage, convert_to_openai_messages

    if isinstance(value, BaseMessage):
        return convert_to_openai_messages(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
