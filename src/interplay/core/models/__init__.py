"""Models: requests, responses, usage, pricing."""
