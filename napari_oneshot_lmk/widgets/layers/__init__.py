"""Between napari layers and the core: image layers, points layers, labels."""
