"""Webhooks: how events are told to other systems, how what they send is believed, and what is tried again."""
