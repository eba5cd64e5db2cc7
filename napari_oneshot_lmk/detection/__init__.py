"""Images to landmarks: one at a time, or many."""
