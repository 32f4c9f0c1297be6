"""The scheduler as a process of its own."""
