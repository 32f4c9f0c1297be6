"""Side by side, in one run, on one machine: `make bench`."""
