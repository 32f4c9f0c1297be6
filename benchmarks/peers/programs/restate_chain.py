"""Restate: a service whose handler runs five journaled steps; served by hypercorn as its documentation advises."""

import restate

chain = restate.Service("Chain")


def add(x: int) -> int:
    return x + 1


@chain.handler()
async def run(ctx: restate.Context, x: int) -> int:
    for name in "abcde":
        x = await ctx.run_typed(name, add, x=x)
    return x


app = restate.app([chain])
