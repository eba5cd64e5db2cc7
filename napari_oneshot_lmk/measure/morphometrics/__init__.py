"""Shapes of landmarks over many images: semilandmarks, alignment, outliers, observers."""
