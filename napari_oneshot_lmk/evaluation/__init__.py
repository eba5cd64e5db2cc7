"""Errors of found landmarks: measured, summarised, plotted."""
