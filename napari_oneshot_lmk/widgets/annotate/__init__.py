"""The dock "Annotate template" and the landmarks that people place."""
