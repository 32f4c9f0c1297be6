"""Decides. Plain Python: no I/O, no clock, no framework."""
