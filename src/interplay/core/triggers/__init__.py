"""What starts runs from messages: how a trigger is written, and what becomes of each message."""
