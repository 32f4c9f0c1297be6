"""Flows and small programs; the test suite runs them."""
