"""What goes over topics."""
