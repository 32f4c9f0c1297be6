"""Everything of one machine in one process."""
