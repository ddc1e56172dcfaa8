"""Do sound and picture belong together? For films that flash and beep at the same moments."""

from __future__ import annotations

from array import array
from pathlib import Path

import av

LOUD = 0.05  # of full scale
BRIGHT = 150  # luma of a flash, of 255
SAME_EVENT_S = 0.4


def flashes(film: Path) -> list[float]:
    """When the picture turns from dark to bright, in seconds of the film's own clock."""
    found, was_bright = [], False
    with av.open(str(film), options={"allowed_extensions": "ALL"}) as media:
        for frame in media.decode(media.streams.video[0]):
            plane = frame.planes[0]
            middle = bytes(plane)[plane.line_size * (frame.height // 2) + frame.width // 2]
            if middle > BRIGHT and not was_bright and frame.time is not None:
                found.append(frame.time)
            was_bright = middle > BRIGHT
    return found


def beeps(film: Path, *, quiet_s: float = 0.2) -> list[float]:
    """When sound begins after a silence, in seconds of the film's own clock."""
    found: list[float] = []
    last_loud = -1e9
    with av.open(str(film), options={"allowed_extensions": "ALL"}) as media:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
        for frame in media.decode(media.streams.audio[0]):
            for part in resampler.resample(frame):
                for number, level in enumerate(_samples(part)):
                    if abs(level) < LOUD:
                        continue
                    at = (part.time or 0.0) + number / 48_000
                    if at - last_loud > quiet_s:
                        found.append(at)
                    last_loud = at
    return found


def apart(picture: list[float], sound: list[float]) -> list[float]:
    """For each flash how much later its beep is heard; a flash without a beep counts as the longest time."""
    return [min((beep - flash for beep in sound), key=abs, default=SAME_EVENT_S) for flash in picture]


def _samples(frame: av.AudioFrame) -> array[float]:
    values = array("f")
    values.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    return values
