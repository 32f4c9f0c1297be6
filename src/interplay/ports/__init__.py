"""What the core needs of the world, one Protocol a file."""
