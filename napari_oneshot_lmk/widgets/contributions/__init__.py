"""What napari.yaml offers beside the docks: readers, writers, samples, settings."""
