"""Python functions as tools: their schema comes from their type hints, their description from their docstring."""
