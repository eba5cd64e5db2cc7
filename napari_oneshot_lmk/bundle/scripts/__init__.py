"""What configs/inference.json needs beside MONAI: a reader and the table of points.

This folder travels inside each bundle. It stands on torch, MONAI, ignite, SimpleITK
and numpy alone.
"""

from . import fine_stage, images, points_table

__all__ = ["fine_stage", "images", "points_table"]
