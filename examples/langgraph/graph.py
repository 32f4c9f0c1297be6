"""A LangGraph graph: it reads a text, and goes one way or the other."""

from __future__ import annotations

from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    text: str
    words: int
    verdict: str


def count(state: State) -> State:
    return {"words": len(state["text"].split())}


def brief(_: State) -> State:
    return {"verdict": "brief"}


def wordy(_: State) -> State:
    return {"verdict": "wordy"}


_graph = StateGraph(State)
_graph.add_node("count", count)
_graph.add_node("brief", brief)
_graph.add_node("wordy", wordy)
_graph.add_edge(START, "count")
_graph.add_conditional_edges("count", lambda state: "wordy" if state["words"] > 20 else "brief", ["brief", "wordy"])
_graph.add_edge("brief", END)
_graph.add_edge("wordy", END)
graph = _graph.compile()
