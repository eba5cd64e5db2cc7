"""From feature maps to points: similarity, shape, peaks, confidence."""
