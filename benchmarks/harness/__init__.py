"""What scenarios share: a server of ours, results with their bars, peers."""
