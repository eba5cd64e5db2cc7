"""The network that is trained: CC2D's decoder with one adapter a landmark."""
