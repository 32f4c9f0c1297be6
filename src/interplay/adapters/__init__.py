"""What does the work: one technology a folder, the only code that imports its library."""
