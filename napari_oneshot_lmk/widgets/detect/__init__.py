"""The dock "Detect landmarks", models, and their export."""
