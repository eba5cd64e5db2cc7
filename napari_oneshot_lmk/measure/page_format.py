"""What pages are written as; apart, so that a command's help need not load more."""

from __future__ import annotations

from enum import StrEnum


class PageFormat(StrEnum):
    """A kind of file."""

    PDF = "pdf"
    PNG = "png"
