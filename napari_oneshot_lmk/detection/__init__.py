"""Landmark detection, without training or with a trained model."""
