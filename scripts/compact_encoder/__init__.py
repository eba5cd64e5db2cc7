"""A compact CNN encoder trained on generated images: a measured candidate."""
