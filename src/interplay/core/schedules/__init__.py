"""Schedules: when a flow is to run, in whose time, and what is done about fires that meet a run or were missed."""
