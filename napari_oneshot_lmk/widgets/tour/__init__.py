"""A tour of the docks on the sample data."""
