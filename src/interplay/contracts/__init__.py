"""What is said on the wire, versioned: shapes that other processes and programs rely on."""
