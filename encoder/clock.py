"""Where a film's zero lies in its file, so that every picture falls on the frame grid exactly and sound stays with it.

ffmpeg counts from the first sound or picture of a file; of a transport stream, whose clock may jump, from the first
sound or picture of what one run reads.
"""

from __future__ import annotations

from fractions import Fraction

from .model import AudioTrack, Source

EARLY_SOUND_S = 0.1  # less sound than this before the first picture is cut off; for more, the picture is held
OWN_CLOCKS = ("ts",)


def early_frames(source: Source) -> int:
    """Frames for which the first picture is shown before its time, because there is sound already."""
    after_s = source.picture_after_s
    return round(Fraction(after_s) * source.fps) if after_s >= EARLY_SOUND_S else 0


def picture_shift(source: Source) -> float:
    """Seconds that ffmpeg's clock of the picture is ahead of the film's."""
    begins_s = source.picture_after_s if source.container in OWN_CLOCKS else 0.0
    return round(_zero(source) - begins_s, 6)


def sound_shift(source: Source, track: AudioTrack) -> float:
    """Seconds that ffmpeg's clock of a sound track is ahead of the film's."""
    begins_s = track.after_s if source.container in OWN_CLOCKS else 0.0
    return round(_zero(source) - begins_s, 6)


def _zero(source: Source) -> float:
    """Seconds from the file's first sound or picture to the film's zero."""
    return source.picture_after_s - float(early_frames(source) / source.fps)
