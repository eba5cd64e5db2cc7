"""Distances, angles and ratios between landmarks, defined once and computed for all images."""
