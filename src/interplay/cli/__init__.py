"""The `interplay` command."""
