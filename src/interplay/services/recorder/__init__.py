"""Turns the events of runs into what others are told: metrics, webhooks; and publishes what was not published."""
