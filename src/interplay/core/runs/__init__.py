"""Runs: status, events, the fold of state, frontier, joins, retry."""
