"""Serves the models of this machine over OpenAI's API."""
