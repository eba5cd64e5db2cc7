"""Errors of found landmarks, summarised, tabulated and drawn."""
