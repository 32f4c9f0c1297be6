"""The flow language: parse, check, expressions, identity, diff."""
