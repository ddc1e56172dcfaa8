"""What is really in the files of a rendition that was cut by somebody else: pieces of any length, sound inside.

Nothing its maker says is believed. Every file is read in a limited child process: when its pictures are shown, what
they are called, and whether a player may start with it. Of some of them the first pictures are decoded.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from .caged import ask_child
from .codec_names import stream_codec
from .command import CLOCK_HZ
from .errors import OutputInvalid
from .levels import joined
from .process import Limits
from .segments import CLOCK_WRAP

BATCH = 100  # files that one child reads
TIMEOUT_S = 300.0  # for a batch
CHILD_LIMITS = Limits(cpu_s=240, memory_bytes=4 << 30, file_bytes=0)
PROBE_BYTES = "5000000"
PICTURES = 6  # decoded of each sampled file
WRAP_S = CLOCK_WRAP / CLOCK_HZ


@dataclass(frozen=True, slots=True)
class Piece:
    """One file. Times in seconds on its own clock; `codecs` of its pictures and, if there is any, its sound."""

    start_s: float
    end_s: float
    frames: int
    width: int
    height: int
    codecs: tuple[str, ...]
    starts_with_key: bool


@dataclass(frozen=True, slots=True)
class ForeignFacts:
    """A whole rendition. `is_independent`: a player may start with any of its pieces."""

    durations_s: tuple[float, ...]
    width: int
    height: int
    fps: float
    codecs: tuple[str, ...]
    is_independent: bool

    @property
    def duration_s(self) -> float:
        return sum(self.durations_s)


def measure_foreign(files: Sequence[Path], init: Path | None) -> Iterator[list[Piece]]:
    """The pieces in order, a batch at a time. `init`: the header they need, in CMAF. Raises OutputInvalid."""
    sampled = {0, len(files) // 2, len(files) - 1}
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        question = {
            "files": [str(path) for path in batch],
            "init": str(init) if init else "",
            "decoded": [number - start for number in sampled],
        }
        lines = ask_child("encoder.foreign", question, CHILD_LIMITS, TIMEOUT_S)
        answers = [json.loads(line) for line in lines]
        if len(answers) < len(batch):
            raise OutputInvalid(f"Part {start + len(answers) + 1} cannot be read.", code="undecodable")
        for number, answer in enumerate(answers, start=start + 1):
            if "error" in answer:
                raise OutputInvalid(f"Part {number} cannot be used: {answer['error']}", code=answer["code"])
        yield [Piece(**answer | {"codecs": tuple(answer["codecs"])}) for answer in answers]


def sum_up(pieces: Sequence[Piece]) -> ForeignFacts:
    """The pieces as one rendition. A piece lasts until the next one begins. Raises OutputInvalid."""
    first = pieces[0]
    if any((piece.width, piece.height) != (first.width, first.height) for piece in pieces):
        raise OutputInvalid("Its pictures change their size on the way.", code="picture_size")
    lengths = [_later(earlier.start_s, piece.start_s) for earlier, piece in pairwise(pieces)]
    lengths.append(_later(pieces[-1].start_s, pieces[-1].end_s))
    if min(lengths) <= 0:
        raise OutputInvalid("Its parts are not in the order of the film.", code="timestamp")
    total_s, frames = sum(lengths), sum(piece.frames for piece in pieces)
    return ForeignFacts(
        durations_s=tuple(lengths),
        width=first.width,
        height=first.height,
        fps=round(frames / total_s, 3),
        codecs=_together(pieces),
        is_independent=all(piece.starts_with_key for piece in pieces),
    )


def _later(start_s: float, end_s: float) -> float:
    """Seconds from one time to another, over the wrap of the clock of MPEG-TS."""
    return (end_s - start_s + WRAP_S / 2) % WRAP_S - WRAP_S / 2


def _together(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """Sound may begin later or end earlier than the pictures; where there is some it is of one codec."""
    picture: str | None = pieces[0].codecs[0]
    for piece in pieces:
        picture = joined(picture, piece.codecs[0]) if picture else None
    sounds = {codec for piece in pieces for codec in piece.codecs[1:]}
    if picture is None or len(sounds) > 1:
        raise OutputInvalid("Its parts are not of one codec.", code="codec")
    return (picture, *sounds)


# --- in the child ---------------------------------------------------------------------------------------------


def read_piece(path: Path, init: bytes, *, decodes: bool) -> Piece:
    """Raises OutputInvalid, and errors of PyAV."""
    with _opened(path, init) as media:
        if len(media.streams.video) != 1 or len(media.streams.audio) > 1:
            raise OutputInvalid("it is not one picture with at most one sound.", code="streams")
        video = media.streams.video[0]
        sound = list(media.streams.audio)
        codecs = tuple(stream_codec(stream) for stream in (video, *sound))
        shown = [packet for packet in media.demux(video) if packet.pts is not None]
        if not shown:
            raise OutputInvalid("there is no picture in it.", code="no_frames")
        size = (video.codec_context.width, video.codec_context.height)
        piece = Piece(*_span(shown, video), len(shown), *size, codecs, bool(shown[0].is_keyframe))
    if decodes:
        _require_pictures(path, init, piece)
    return piece


def _span(shown: list[Any], video: Any) -> tuple[float, float]:
    """When the first picture begins and the last one ends."""
    times = sorted(packet.pts for packet in shown)
    step = shown[-1].duration or (times[-1] - times[-2] if len(times) > 1 else 1)
    return float(times[0] * video.time_base), float((times[-1] + step) * video.time_base)


def _require_pictures(path: Path, init: bytes, piece: Piece) -> None:
    with _opened(path, init) as media:
        stream = media.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = list(islice(media.decode(stream), PICTURES))
    if not frames or any((frame.width, frame.height) != (piece.width, piece.height) for frame in frames):
        raise OutputInvalid("its pictures cannot be decoded.", code="undecodable")


def _opened(path: Path, init: bytes) -> Any:
    import av

    options = {"probesize": PROBE_BYTES, "analyzeduration": "2000000", "protocol_whitelist": "file"}
    if not init:
        return av.open(f"file:{path}", format="mpegts", container_options=options)
    return av.open(io.BytesIO(init + path.read_bytes()), format="mp4", container_options=options)


def main(say: Callable[[str], object] = sys.stdout.write) -> None:
    """The child: a question on standard input, a line for each file as soon as it is read."""
    import av.error
    import av.logging

    av.logging.set_level(None)
    question = json.load(sys.stdin)
    init = Path(question["init"]).read_bytes() if question["init"] else b""
    for number, name in enumerate(question["files"]):
        answer: dict[str, Any]
        try:
            answer = asdict(read_piece(Path(name), init, decodes=number in question["decoded"]))
        except OutputInvalid as error:
            answer = {"error": error.public_message, "code": error.code}
        except (av.error.FFmpegError, ValueError):
            answer = {"error": "it cannot be read.", "code": "undecodable"}
        say(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
