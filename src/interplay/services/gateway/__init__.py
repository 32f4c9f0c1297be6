"""The model plane: OpenAI's API in front of every model."""
