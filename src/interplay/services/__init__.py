"""What listens: one thin folder a deployed process."""
