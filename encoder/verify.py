"""Before viewers get a film: samples of every rendition are opened and decoded, in a limited child process.

Each segment was counted when it was handed in. What is found here is what came after: bytes that changed on the disk or
on the way, a stream no decoder opens, another size than promised, sound beside the picture.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from .caged import ask_child
from .command import AAC_FRAME, CLOCK_HZ
from .model import EncodePlan, RenditionPlan
from .process import Limits
from .segments import CLOCK_WRAP, TS_DELAY

PICTURES = 12  # decoded of each sample
SOUND_PACKETS = 12
TOLERANCE_S = 0.020  # between sound and picture
PIXEL_FORMAT = "yuv420p"
PROBE_BYTES = "1000000"  # opening a file must not decode all of it
TIMEOUT_S = 60.0
CHILD_LIMITS = Limits(cpu_s=60, memory_bytes=2 << 30, file_bytes=0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One segment to look into. `start_s`: when its first picture or sound is due on the film's clock. `init_path`: its
    header, in CMAF.
    """

    rendition: str
    index: int
    path: str
    start_s: float
    sha256: str | None = None
    init_path: str = ""
    init_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one segment: a stable code, and a sentence for a person."""

    rendition: str
    index: int
    code: str
    sentence: str


class Broken(Exception):
    """The sample is not what it should be."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


def sampled_segments(plan: EncodePlan) -> list[int]:
    """The first, the middle and the last one."""
    return sorted({0, plan.segment_count // 2, plan.segment_count - 1})


def sound_start_s(row: RenditionPlan, durations_before: Iterable[float]) -> float:
    """AAC begins with one packet that only warms the decoder up; from there on one packet follows the other."""
    return sum(durations_before) - AAC_FRAME / row.sample_rate


def verify(samples: list[Sample], plan: EncodePlan) -> list[Finding]:
    """Look into samples in a child process: a copied rung holds a stranger's bytes. A child that dies blames the
    sample it died of, and those behind it are looked into by another child.
    """
    findings: list[Finding] = []
    left = list(samples)
    while left:
        answers = _ask_child(left, plan)
        findings += [finding for answer in answers for finding in answer]
        left = left[len(answers) :]
        if left:
            findings.append(_finding(left.pop(0), "undecodable", "it cannot be decoded"))
    return findings


def _ask_child(samples: list[Sample], plan: EncodePlan) -> list[list[Finding]]:
    """One answer for each sample, in order; fewer when the child died."""
    question = {"plan": plan.to_json(), "samples": [asdict(sample) for sample in samples]}
    lines = ask_child("encoder.verify", question, CHILD_LIMITS, TIMEOUT_S)
    return [[Finding(**each) for each in json.loads(line)] for line in lines]


def examine(samples: list[Sample], plan: EncodePlan) -> Iterator[list[Finding]]:
    """What is wrong with each sample, in this process."""
    for sample in samples:
        row = plan.rendition(sample.rendition)
        check = _check_pictures if row.is_video else _check_sound
        try:
            _check_bytes(sample)
            check(sample, plan, row)
        except Broken as broken:
            yield [_finding(sample, broken.code, str(broken))]
        else:
            yield []


def _finding(sample: Sample, code: str, what: str) -> Finding:
    sentence = f"Part {sample.index + 1} of {sample.rendition} is damaged: {what}."
    return Finding(sample.rendition, sample.index, code, sentence)


def _check_bytes(sample: Sample) -> None:
    try:
        digest = hashlib.sha256(Path(sample.path).read_bytes()).hexdigest()
        header = hashlib.sha256(Path(sample.init_path).read_bytes()).hexdigest() if sample.init_path else ""
    except OSError as error:
        raise Broken("unreadable", "it cannot be read from the disk") from error
    if (sample.sha256 is not None and digest != sample.sha256) or header != sample.init_sha256:
        raise Broken("changed", "its bytes are not those that were handed in")


def _check_pictures(sample: Sample, plan: EncodePlan, row: RenditionPlan) -> None:
    wanted = min(PICTURES, plan.frames_in(sample.index))
    # What a camera wrote may be a little wrong and plays all the same: making it again would give the same bytes.
    frames = _decoded(sample, "video", wanted, is_strict=not row.is_copy)
    if len(frames) < wanted or (not row.is_copy and any(frame.is_corrupt for frame in frames)):
        raise Broken("undecodable", "its pictures cannot be decoded")
    if any((frame.width, frame.height) != (row.width, row.height) for frame in frames):
        raise Broken("picture_size", f"its pictures are {frames[0].width}×{frames[0].height} pixels")
    if any(frame.format.name != PIXEL_FORMAT for frame in frames):
        raise Broken("pixel_format", f"its pictures are {frames[0].format.name}")
    late_s = _late_s(frames[0], sample)
    if abs(late_s) > 1.5 / CLOCK_HZ:
        raise Broken("timestamp", f"it begins {late_s:+.3f} s from where it should")


def _check_sound(sample: Sample, _plan: EncodePlan, row: RenditionPlan) -> None:
    frames = _decoded(sample, "audio", SOUND_PACKETS, is_strict=True)
    if not frames:
        raise Broken("undecodable", "its sound cannot be decoded")
    if any(
        (frame.sample_rate, frame.layout.nb_channels) != (row.sample_rate, row.channels) for frame in frames
    ):
        raise Broken("sound_format", "its sound has another rate or another number of channels")
    late_s = _late_s(frames[0], sample)
    if sample.init_path:  # the header's edit list says that one packet warms up: the decoder leaves it out
        late_s -= AAC_FRAME / row.sample_rate
    if abs(late_s) > TOLERANCE_S:
        raise Broken("out_of_sync", f"its sound is {late_s:+.3f} s apart from the picture")


def _late_s(frame: Any, sample: Sample) -> float:
    """How much later than due, over the wrap of the clock."""
    delay = 0 if sample.init_path else TS_DELAY
    if frame.pts is None:
        raise Broken("timestamp", "it has no time")
    due = round(sample.start_s * CLOCK_HZ) + delay
    ticks: int = round(Fraction(frame.pts) * frame.time_base * CLOCK_HZ) - due
    return ((ticks + CLOCK_WRAP // 2) % CLOCK_WRAP - CLOCK_WRAP // 2) / CLOCK_HZ


def _decoded(sample: Sample, kind: str, count: int, *, is_strict: bool) -> list[Any]:
    """The first frames. Strict: errors are not concealed, since a decoder that guesses what is missing hides damage."""
    import av
    import av.error

    options = {"probesize": PROBE_BYTES, "analyzeduration": "0", "protocol_whitelist": "file"}
    try:
        with av.open(**_opened(sample), container_options=options) as media:
            streams = media.streams.video if kind == "video" else media.streams.audio
            if not streams:
                raise Broken("undecodable", f"there is no {kind} in it")
            stream: Any = streams[0]
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "explode"} if is_strict else {}
            return list(islice(media.decode(stream), count))
    except av.error.FFmpegError as error:
        raise Broken("undecodable", "it cannot be decoded") from error


def _opened(sample: Sample) -> dict[str, Any]:
    if not sample.init_path:
        return {"file": f"file:{sample.path}", "format": "mpegts"}
    whole = Path(sample.init_path).read_bytes() + Path(sample.path).read_bytes()
    return {"file": io.BytesIO(whole), "format": "mp4"}


def main(say: Callable[[str], object] = sys.stdout.write) -> None:
    """The child: a question on standard input, a line for each sample as soon as it is done."""
    import av.logging

    av.logging.set_level(None)
    question = json.load(sys.stdin)
    plan = EncodePlan.from_json(question["plan"])
    for findings in examine([Sample(**each) for each in question["samples"]], plan):
        say(json.dumps([asdict(finding) for finding in findings]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
