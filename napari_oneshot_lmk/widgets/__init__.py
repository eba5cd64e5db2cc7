"""The napari side: docks, and what reads, writes and opens samples there."""
