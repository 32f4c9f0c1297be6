"""Measurements of one part by itself, beside the scenarios that measure the product."""
