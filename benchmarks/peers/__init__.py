"""Other systems doing the same work: one module each, behind the protocol of `peer.py`."""
