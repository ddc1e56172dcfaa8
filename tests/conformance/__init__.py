"""Holds published streams against RFC 8216 and against their own bytes, with readers that share nothing with ours.

`check(folder)` returns every finding; an empty list means that playlists, segments and pictures all agree.
"""

from .findings import Finding
from .rules import check

__all__ = ["Finding", "check"]
