"""LangGraph: a graph of five nodes; each step's checkpoint is written before the next (`durability="sync"`)."""

import asyncio
import itertools
import sys
import uuid
from typing import TypedDict

import uvloop
from answering import answer_with_tasks, answers
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool


class State(TypedDict):
    x: int


async def add(state: State) -> State:
    return {"x": state["x"] + 1}


def chain() -> StateGraph:
    graph = StateGraph(State)
    for name in "abcde":
        graph.add_node(name, add)
    for before, after in itertools.pairwise([START, *"abcde", END]):
        graph.add_edge(before, after)
    return graph


async def main(url: str, savers: int) -> None:
    to = answers()
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    graphs = []
    for number in range(savers):
        pool = AsyncConnectionPool(url, min_size=1, max_size=1, open=False, kwargs=settings)
        await pool.open(wait=True)
        saver = AsyncPostgresSaver(pool)
        if number == 0:
            await saver.setup()
        graphs.append(chain().compile(checkpointer=saver))
    turns = itertools.cycle(graphs)

    async def job() -> int:
        thread = {"configurable": {"thread_id": str(uuid.uuid4())}}
        return (await next(turns).ainvoke({"x": 1}, thread, durability="sync"))["x"]

    await answer_with_tasks(job, to)


uvloop.install()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
