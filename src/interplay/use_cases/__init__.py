"""Orders the steps. One verb a file."""
