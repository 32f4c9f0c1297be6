"""`make demo`: review triage by real models over real reviews, with the worker killed halfway."""
