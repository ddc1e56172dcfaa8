"""The storyboard: small pictures of a film for the seek bar, as argument lists and as WebVTT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .model import EncodePlan
from .playlist import Entry, media_playlist

CELL_WIDTH, CELL_HEIGHT = 208, 117  # the player's preview
COLUMNS, ROWS = 10, 10
SHORT_FILM_S = 300  # up to here every frame of the small rung is looked at, for a picture every two seconds
SHORT_STEP_S = 2.0

JPEG_COLOURS = "out_color_matrix=smpte170m:out_range=pc"  # what every reader of JPEG takes for granted


@dataclass(frozen=True, slots=True)
class Storyboard:
    """Picture n shows the film at n * step_s; sheets hold COLUMNS x ROWS of them."""

    count: int
    step_s: float
    duration_s: float
    width: int
    height: int
    keyframes_only: bool

    @property
    def sheets(self) -> int:
        return -(-self.count // (COLUMNS * ROWS))

    def webvtt(self) -> str:
        cues = "\n".join(self._cue(n) for n in range(self.count))
        return f"WEBVTT\n\n{cues}"

    def _cue(self, n: int) -> str:
        sheet, cell = divmod(n, COLUMNS * ROWS)
        row, column = divmod(cell, COLUMNS)
        is_last = n == self.count - 1  # and stays until the film is over
        end = self.duration_s if is_last else (n + 1) * self.step_s
        box = f"{column * self.width},{row * self.height},{self.width},{self.height}"
        return f"{_clock(n * self.step_s)} --> {_clock(end)}\nstoryboard_{sheet}.jpg#xywh={box}\n"


def storyboard_layout(plan: EncodePlan) -> Storyboard:
    is_short = plan.duration_s <= SHORT_FILM_S
    step_s = min(SHORT_STEP_S, plan.segment_s) if is_short else plan.segment_s
    scale = min(CELL_WIDTH / plan.lowest.width, CELL_HEIGHT / plan.lowest.height)
    return Storyboard(
        count=max(1, int(plan.duration_s / step_s)),
        step_s=step_s,
        duration_s=plan.duration_s,
        width=max(2, round(plan.lowest.width * scale / 2) * 2),
        height=max(2, round(plan.lowest.height * scale / 2) * 2),
        keyframes_only=not is_short,
    )


def write_rung(plan: EncodePlan, segments: list[tuple[Path, Path | None]], work_dir: Path) -> Path:
    """A playlist of our own finished segments, each with its header if it needs one, that ffmpeg reads as one film."""
    entries = [
        Entry(str(path), float(plan.duration_of(index)), str(init or ""))
        for index, (path, init) in enumerate(segments)
    ]
    playlist = work_dir / "rung.m3u8"
    playlist.write_text(media_playlist(entries, target_s=plan.segment_s, is_whole=True))
    return playlist


def storyboard_command(ffmpeg: str, playlist: Path, layout: Storyboard, work_dir: Path) -> list[str]:
    """Of a long film only key frames are decoded: every segment begins with one, so picture n is segment n."""
    # A picture is due when a step has passed since the last one; the hair less forgives rounding of timestamps.
    pick = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{layout.step_s - 0.02:.3f})'"
    shrink = f"scale={layout.width}:{layout.height}:{JPEG_COLOURS}"
    return [
        *_preamble(ffmpeg),
        *(("-skip_frame", "nokey") if layout.keyframes_only else ()),
        *(
            "-protocol_whitelist",
            "file",
            "-allowed_extensions",
            "ts,m4s,mp4",
            "-f",
            "hls",
            "-i",
            str(playlist),
        ),
        *("-map", "0:v:0", "-fps_mode", "passthrough", "-frames:v", str(layout.sheets)),
        *("-vf", f"{pick},{shrink},tile={COLUMNS}x{ROWS}", "-q:v", "5"),
        *("-start_number", "0", "-y", str(work_dir / "storyboard_%d.jpg")),
    ]


def storyboard_files(layout: Storyboard, work_dir: Path) -> list[Path]:
    return [work_dir / f"storyboard_{n}.jpg" for n in range(layout.sheets)]


def _preamble(ffmpeg: str) -> list[str]:
    return [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning", "-progress", "pipe:1"]


def _clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return (
        f"{millis // 3_600_000:02d}:{millis // 60_000 % 60:02d}:{millis // 1000 % 60:02d}.{millis % 1000:03d}"
    )
