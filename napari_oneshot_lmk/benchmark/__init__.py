"""Accuracy of methods on the test images of a data folder."""
