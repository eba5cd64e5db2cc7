"""From feature maps to points: similarity, shape, peak, score."""
