"""In-memory twins of the ports: for tests, and where nothing outside is configured."""
