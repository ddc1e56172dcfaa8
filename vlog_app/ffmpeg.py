"""Finds the ffmpeg to use: the one that was named, else the one on PATH, else the bundled one."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST = (5, 1)  # the oldest that was shown to make exact segments; Debian 12 has it
NEEDED_ENCODERS = ("libx264", "aac")
CODEC_ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}  # what every host falls back to
NEEDED_FILTERS = ("zscale", "tonemap")  # without them HDR would come out grey
ANSWER_S = 20.0  # the first run of a cold 170 MB file from a slow disk


class FfmpegNotFound(Exception):
    """No ffmpeg fits; the text is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    path: str
    version: str
    source: str  # "VLOG_FFMPEG", "PATH" or "bundled"
    encoders: frozenset[str]
    filters: frozenset[str]

    @property
    def missing(self) -> list[str]:
        encoders = [name for name in NEEDED_ENCODERS if name not in self.encoders]
        return encoders + [name for name in NEEDED_FILTERS if name not in self.filters]

    def lacks_for(self, codec: str) -> str | None:
        """The encoder it would need for films in `codec`; None when it has it."""
        name = CODEC_ENCODERS[codec]
        return None if name in self.encoders else name


def find_ffmpeg(named: str = "") -> Ffmpeg:
    """Raises FfmpegNotFound. A program named in VLOG_FFMPEG is used or refused, never passed over."""
    if named:
        return _named(named)
    for source, path in (("PATH", shutil.which("ffmpeg")), ("bundled", bundled_path())):
        if path and (found := _inspect(path, source)) and not found.missing:
            return found
    raise FfmpegNotFound(
        "No ffmpeg 5.1 or newer with libx264, aac and zscale was found; install it, or set VLOG_FFMPEG to one."
    )


def bundled_path() -> str | None:
    """The program inside the imageio-ffmpeg wheel; None where that wheel has none for this machine."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _named(named: str) -> Ffmpeg:
    path = shutil.which(named) or (named if Path(named).is_file() else None)
    found = _inspect(path, "VLOG_FFMPEG") if path else None
    if found is None:
        raise FfmpegNotFound(f'VLOG_FFMPEG is "{named}": it must be an ffmpeg 5.1 or newer that can be run.')
    if found.missing:
        raise FfmpegNotFound(f'VLOG_FFMPEG is "{named}": it lacks {" and ".join(found.missing)}.')
    return found


def _inspect(path: str, source: str) -> Ffmpeg | None:
    """None when it does not run or is too old."""
    first = re.match(r"ffmpeg version (\S+)", _ask(path, "-version"))
    if first is None or not new_enough(first[1]):
        return None
    listed = re.findall(r"^ [VAS][A-Z.]{5} (\S+)", _ask(path, "-encoders"), re.MULTILINE)
    filters = re.findall(r"^ [A-Z.]{2,3} (\S+) +\S+->", _ask(path, "-filters"), re.MULTILINE)
    return Ffmpeg(path, first[1], source, frozenset(listed), frozenset(filters))


def new_enough(version: str) -> bool:
    """`5.1.9-0+deb12u1`, `n9.0.2`; a build from git (`N-118-g…`, a date) has no number and is taken as new."""
    numbers = re.match(r"n?(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= OLDEST


def _ask(path: str, option: str) -> str:
    try:
        done = subprocess.run(
            [path, "-hide_banner", option] if option != "-version" else [path, option],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
