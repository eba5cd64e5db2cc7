"""Frozen feature maps at strides 2 … 32, and where their weights come from."""
