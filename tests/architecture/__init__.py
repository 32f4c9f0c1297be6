"""The rules of the house, each with its reason, and each shown to be able to fail."""
