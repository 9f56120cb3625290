"""REST and what it serves."""
