"""TODO: say what distributed is."""
