"""Tenancy: projects, keys and their scopes, limits and budgets."""
