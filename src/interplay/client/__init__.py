"""The public Python client, async and sync."""
