"""What the extensions file of the tests names."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph


def weight(name: str, kilos: float = 1.0) -> dict[str, Any]:
    """What a thing weighs."""
    return {"name": name, "grams": kilos * 1000}


async def slowly(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


def broken() -> None:
    raise RuntimeError("no such luck")


class State(TypedDict, total=False):
    text: str
    letters: int
    verdict: str


def _graph() -> Any:
    graph = StateGraph(State)
    graph.add_node("count", lambda state: {"letters": len(state["text"])})
    graph.add_node("judge", lambda state: {"verdict": "long" if state["letters"] > 5 else "short"})
    graph.add_edge(START, "count")
    graph.add_edge("count", "judge")
    graph.add_edge("judge", END)
    return graph.compile()


graph = _graph()
twice = RunnableLambda(lambda number: number * 2)
failing = RunnableLambda(lambda _: broken())
not_runnable = 7
