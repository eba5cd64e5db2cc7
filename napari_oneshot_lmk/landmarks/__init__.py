"""Landmarks: names, positions and states, templates, and their files."""
