"""Brings the schema to this release."""
