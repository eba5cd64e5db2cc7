"""How images are shown: contrast presets, inverted, and a loupe at the mouse."""
