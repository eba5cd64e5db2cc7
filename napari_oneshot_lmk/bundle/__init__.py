"""A trained model as a MONAI bundle, out and in."""
