"""Outgoing HTTP behind the egress guard."""
