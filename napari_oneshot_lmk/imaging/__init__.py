"""Images: from a file to grey pixels with their geometry, and on to the network."""
