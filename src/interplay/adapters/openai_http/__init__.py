"""Models behind any OpenAI-compatible HTTP server, our own model server included."""
