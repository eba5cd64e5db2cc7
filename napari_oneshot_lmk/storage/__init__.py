"""Writing results: whole or not at all, one process at a time."""
