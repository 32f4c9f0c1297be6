"""All services of a deployment as processes on this machine, under a supervisor: `make up-cluster`, and for tests."""
