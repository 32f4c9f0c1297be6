"""Interplay: compose any models into flows, run them durably, serve both behind one API."""
