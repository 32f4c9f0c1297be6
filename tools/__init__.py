"""What builds, checks and documents the repository; no part of the product."""
