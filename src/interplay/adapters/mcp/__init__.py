"""Tools of MCP servers, by stdio and by HTTP."""
