"""Services, over the real things."""
