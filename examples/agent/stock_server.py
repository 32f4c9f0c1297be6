"""An MCP server with one tool, by standard input and output."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

SHELVES = {"lamp": 7, "chair": 0, "table": 23}
server = MCPServer("stock")


@server.tool()
def count(item: str) -> str:
    """How many of an item are in the warehouse. Items are named in the singular."""
    if item not in SHELVES:
        return f"There is no {item!r} here. There are: {', '.join(SHELVES)}."
    return f"{SHELVES[item]} of {item!r}"


if __name__ == "__main__":
    server.run("stdio")
