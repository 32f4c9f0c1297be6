"""Models that run on this machine, from files."""
