"""Which lines that ffmpeg says are about damage in the source: what could be decoded is kept, and its owner is told."""

from __future__ import annotations

import re

# Only what no whole file makes ffmpeg say: a seek into an open group of pictures, for one, also lacks references.
SIGNS = re.compile(
    r"Error submitting packet to decoder"
    r"|Error while decoding stream #\S+ (?!Resource temporarily unavailable)"  # the same, up to ffmpeg 6
    r"|[Pp]acket corrupt|corrupt input packet|corrupt decoded frame"
    r"|Invalid NAL unit size|missing picture in access unit"
    r"|error while decoding MB|concealing \d+"
    r"|invalid as first byte of an EBML number|exceeds containing master element"
    r"|invalid frame header|Failed to parse temporal unit"
)


def is_damage(line: str) -> bool:
    return SIGNS.search(line) is not None
