"""The picture that stands for a film: where to look, what ffmpeg has to write, and which picture is the best one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from operator import sub
from pathlib import Path

from .filters import first_scale
from .inputs import Origin, source_input
from .model import EncodePlan, RenditionPlan
from .stills import JPEG_COLOURS

PLACES = (0.10, 0.25, 0.50, 0.75, 0.90)  # parts of the film; each gives one candidate
KEY_FRAMES = 3  # looked at in each place: decoding nothing else is what makes this cheap
REACH_S = 20.0  # how far after a place its key frames may stand
CLOSER_S = 30.0  # how much of a film with too few key frames is decoded instead
ALL_PLACES_S = 10.0  # so short a film is decoded rather than offered with fewer candidates

LARGE_WIDTH, SMALL_WIDTH = 1280, 640
LOOK_WIDTH, LOOK_HEIGHT = 64, 36  # what is judged: small enough for plain Python, large enough to see blur

# Brightness from 0 to 255. Nearer to an end than this a pixel shows nothing.
DARK, BRIGHT = 24, 238
DIM, PALE = 60.0, 200.0  # a picture whose mean lies between these is well exposed
LEAST = 0.1  # what bad light leaves of a score
ENOUGH_CONTRAST = 40.0  # standard deviation of a lively picture
ENOUGH_DETAIL = 10.0  # mean step from a pixel to the next of a sharp picture
POOR = 0.05  # below this a picture is black, white, plain or fog: better ones are searched for


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame in two sizes. `look` is what was judged; two pictures with the same look are the same."""

    large: Path
    small: Path
    look: bytes
    score: float


def peek_command(ffmpeg: str, source: Origin, plan: EncodePlan, part: float, out: Path) -> list[str]:
    """The key frame before a place and the next ones."""
    return [
        *_preamble(ffmpeg),
        # The seek stays on the key frame it found: what lies between it and the place is not decoded.
        *("-skip_frame", "nokey", "-noaccurate_seek", "-ss", f"{plan.duration_s * part:.3f}"),
        *("-t", f"{REACH_S:.0f}", *_read(source)),
        *_write(plan, [], KEY_FRAMES, out),
    ]


def closer_command(ffmpeg: str, source: Origin, plan: EncodePlan, out: Path) -> list[str]:
    """A picture from each place of the film's beginning, found by decoding all but the frames nobody refers to."""
    window_s = min(CLOSER_S, plan.duration_s)
    due = "+".join(f"gte(t,{part * window_s:.3f})*{_not_yet(part * window_s)}" for part in PLACES)
    return [
        *_preamble(ffmpeg),
        *("-skip_frame", "noref", "-t", f"{window_s + 1:.3f}", *_read(source)),
        *_write(plan, [f"select='{due}'"], len(PLACES), out),
    ]


def pictures_in(folder: Path) -> list[Picture]:
    """What a command has left there, in order."""
    found = []
    for number in range(1, len(PLACES) + 1):
        names = [folder / f"{kind}_{number}" for kind in ("large", "small", "look")]
        large, small, gray = (
            names[0].with_suffix(".jpg"),
            names[1].with_suffix(".jpg"),
            names[2].with_suffix(".pgm"),
        )
        if not (large.is_file() and small.is_file() and gray.is_file()):
            break
        look = gray.read_bytes()[-LOOK_WIDTH * LOOK_HEIGHT :]  # behind a header of one line
        if len(look) == LOOK_WIDTH * LOOK_HEIGHT:
            found.append(Picture(large, small, look, score(look)))
    return found


def best(pictures: Iterable[Picture]) -> Picture | None:
    return max(pictures, key=lambda picture: picture.score, default=None)


def distinct(pictures: Iterable[Picture]) -> list[Picture]:
    """Without those that show the same as an earlier one."""
    return list({picture.look: picture for picture in reversed(list(pictures))}.values())[::-1]


def is_closer_look_due(candidates: list[Picture], duration_s: float) -> bool:
    """Key frames may be too few: a screen recording of minutes can have a single one, and that one be black."""
    found = best(candidates)
    if found is None or found.score < POOR:
        return True
    return len(candidates) < len(PLACES) and duration_s <= ALL_PLACES_S


def score(look: bytes) -> float:
    """From 0 (nothing to see) to 1 (well exposed, lively, sharp). Each factor makes a picture worse; without contrast
    or detail nothing else counts, while a page of text is pale and a night is dark and both are pictures.
    """
    count = len(look)
    mean = sum(look) / count
    deviation = math.sqrt(max(0.0, sum(level * level for level in look) / count - mean * mean))
    lost = sum(level < DARK or level > BRIGHT for level in look) / count
    light = _softened(_exposure(mean)) * _softened(1 - lost)
    return light * min(1.0, deviation / ENOUGH_CONTRAST) * min(1.0, detail(look) / ENOUGH_DETAIL)


def detail(look: bytes) -> float:
    """Mean step between neighbours, across and down: blur and plain areas have none."""
    rows = [look[at : at + LOOK_WIDTH] for at in range(0, len(look), LOOK_WIDTH)]
    across = sum(abs(left - right) for row in rows for left, right in pairwise(row))
    down = sum(sum(map(abs, map(sub, upper, lower))) for upper, lower in pairwise(rows))
    return (across + down) / (2 * len(look))


def _exposure(mean: float) -> float:
    if mean < DIM:
        return mean / DIM
    return 1.0 if mean <= PALE else max(0.0, (255 - mean) / (255 - PALE))


def _softened(factor: float) -> float:
    return LEAST + (1 - LEAST) * factor


def _not_yet(time_s: float) -> str:
    """True while no frame has been taken at or after this time."""
    return f"(isnan(prev_selected_t)+lt(prev_selected_t,{time_s:.3f}))"


def _preamble(ffmpeg: str) -> list[str]:
    return [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning", "-progress", "pipe:1"]


def _read(source: Origin) -> list[str]:
    return ["-threads", "1", *source_input(source)]


def _write(plan: EncodePlan, head: list[str], count: int, out: Path) -> list[str]:
    """Each frame three times: as a poster, as a candidate, as what is judged."""
    chain = [*head, *_still(plan), "split=3[large][one][two]"]
    small = f"[one]scale={_size(plan, SMALL_WIDTH)}[small]"
    look = f"[two]scale={LOOK_WIDTH}:{LOOK_HEIGHT}:flags=area,format=gray[look]"
    argv = ["-filter_complex", f"[0:V:0]{','.join(chain)};{small};{look}"]
    for name, suffix, quality in (("large", "jpg", "3"), ("small", "jpg", "4"), ("look", "pgm", "")):
        argv += [
            "-map",
            f"[{name}]",
            "-map_metadata",
            "-1",
            "-fps_mode",
            "passthrough",
            "-frames:v",
            str(count),
        ]
        argv += [*(("-q:v", quality) if quality else ()), "-y", str(out / f"{name}_%d.{suffix}")]
    return argv


def _still(plan: EncodePlan) -> list[str]:
    """As the film will look: one field of interlaced pictures, HDR toned down, then the colours of a JPEG file."""
    width, height = map(int, _size(plan, LARGE_WIDTH).split(":"))
    row = RenditionPlan("poster", "video", 0, width=width, height=height)
    field = ["field=top"] if plan.deinterlace else []
    return [*field, *first_scale(row, plan.colour), f"scale={JPEG_COLOURS}"]


def _size(plan: EncodePlan, most: int) -> str:
    top = plan.video[0]
    width = min(most, top.width)
    return f"{width}:{max(2, round(top.height * width / top.width / 2) * 2)}"
