"""The values of the media room: what a source is, what a plan promises, what a segment turned out to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, Self

PLAN_VERSION = 1

RenditionKind = Literal["video", "audio"]
Container = Literal["ts", "cmaf"]
Codec = Literal["h264", "hevc", "av1", "aac"]

AUDIO_NAME = "audio"


def is_rung(name: str) -> bool:
    """Players adapt between rungs: sizes of the picture, or without picture rates of the sound. A track of sound that
    is chosen beside them is called `audio`, `audio2`, ...
    """
    return not name.startswith(AUDIO_NAME)


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One audio stream of a source. `index` counts audio streams only, as in ffmpeg's `0:a:index`."""

    index: int
    codec: str
    channels: int
    sample_rate: int
    language: str | None = None
    duration_s: float | None = None
    after_s: float = 0.0  # how much later than the first sound or picture of the file it begins
    bitrate_bps: int | None = None  # of a source without picture, where its container tells


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Numbers of the frames a player may start at, and the bytes from each to the next. `is_closed`: no picture
    before a key frame needs one after it, so a cut there is clean. `has_own_headers`: some bring parameter sets that
    the file's one header may not stand for.
    """

    frames: tuple[int, ...]
    group_bytes: tuple[int, ...]
    is_closed: bool
    has_own_headers: bool = False


@dataclass(frozen=True, slots=True)
class Colour:
    """What the encode must know of a source's colours, by ffmpeg's names. `hdr` is the transfer of an HDR source."""

    hdr: str | None = None
    primaries: str = "bt709"
    matrix: str = "bt709"
    full_range: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Facts about an uploaded file, as probed.

    `width` and `height` are what a viewer sees: after rotation and pixel aspect ratio. `fps` is the rate of the
    constant frame grid the encode will use; `frame_count` is exact when the container tells it, else None.
    A source without picture has no size and no picture codec, and a grid all the same: see sound_facts.
    """

    container: str
    extension: str
    size_bytes: int
    duration_s: float
    width: int
    height: int
    coded_width: int
    coded_height: int
    fps: Fraction
    video_codec: str
    pix_fmt: str
    frame_count: int | None = None
    rotation: int = 0
    sar: Fraction = Fraction(1)
    is_vfr: bool = False
    is_interlaced: bool = False
    bit_depth: int = 8
    profile: str | None = None
    level: int | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_space: str | None = None
    full_range: bool = False
    bitrate_bps: int | None = None
    start_time_s: float = 0.0
    picture_after_s: float = 0.0  # how much later than the first sound the picture begins
    audio: tuple[AudioTrack, ...] = ()
    keyframes: KeyFrames | None = None  # for the plan only: long, and not kept with the video
    has_cover: bool = (
        False  # a picture on the sleeve, not one that moves; told only of sources without picture
    )

    @property
    def has_picture(self) -> bool:
        return self.width > 0

    @property
    def short_side(self) -> int:
        return min(self.width, self.height)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"fps": str(self.fps), "sar": str(self.sar)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        keys = data.get("keyframes")
        values = {
            "fps": Fraction(data["fps"]),
            "sar": Fraction(data["sar"]),
            "audio": tuple(AudioTrack(**track) for track in data["audio"]),
            "keyframes": keys
            and KeyFrames(**keys | {name: tuple(keys[name]) for name in ("frames", "group_bytes")}),
        }
        return cls(**data | values)


@dataclass(frozen=True, slots=True)
class RenditionPlan:
    """One row of the grid. Rates are bits per second; a video rung is capped-quality, never above its rate.

    `is_copy`: the source's own pictures, not encoded again.
    """

    name: str
    kind: RenditionKind
    max_bitrate_bps: int
    width: int = 0
    height: int = 0
    crf: int = 0
    preset: str = ""
    channels: int = 0
    sample_rate: int = 0
    source_track: int = 0
    language: str | None = None
    is_copy: bool = False
    shift_s: float = 0.0  # of sound, see clock.sound_shift
    codec: Codec = "h264"  # of pictures; sound is always AAC

    @property
    def is_video(self) -> bool:
        return self.kind == "video"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive segments `[first, end)` that one job encodes."""

    first: int
    end: int

    @property
    def count(self) -> int:
        return self.end - self.first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """What one encode of one video will be, fixed before the first frame and never changed.

    Segment n covers frames [n*segment_frames, (n+1)*segment_frames) of a constant grid of `fps`; the last
    segment ends at `total_frames`. All times follow from these three numbers.
    """

    fps: Fraction
    total_frames: int
    segment_frames: int
    renditions: tuple[RenditionPlan, ...]
    container: Container = "ts"
    picture_frames: int = 0  # where the picture ends and its last frame is held; 0: with the film
    warmup_frames: int = 0
    deinterlace: bool = False
    is_vfr: bool = False  # a picture may stand for any length of time
    shift_s: float = 0.0  # see clock.picture_shift
    colour: Colour = Colour()
    notes: tuple[str, ...] = ()  # reason codes of decisions, for the owner
    version: int = PLAN_VERSION

    @property
    def last_picture(self) -> int:
        """The number of frames that come from the source."""
        return self.picture_frames or self.total_frames

    @property
    def segment_count(self) -> int:
        return -(-self.total_frames // self.segment_frames)

    @property
    def duration_s(self) -> float:
        return float(self.total_frames / self.fps)

    @property
    def segment_s(self) -> float:
        return float(self.segment_frames / self.fps)

    @property
    def video(self) -> tuple[RenditionPlan, ...]:
        """Video renditions, highest first."""
        return tuple(r for r in self.renditions if r.is_video)

    @property
    def encoded(self) -> tuple[RenditionPlan, ...]:
        """Video renditions that are encoded, highest first."""
        return tuple(r for r in self.video if not r.is_copy)

    @property
    def copied(self) -> tuple[RenditionPlan, ...]:
        return tuple(r for r in self.video if r.is_copy)

    @property
    def audio(self) -> tuple[RenditionPlan, ...]:
        return tuple(r for r in self.renditions if not r.is_video)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Of what is encoded. The one that every player has comes first."""
        return tuple(sorted({r.codec for r in self.encoded}, key=("h264", "hevc", "av1").index))

    @property
    def rungs(self) -> tuple[RenditionPlan, ...]:
        """Highest first."""
        return tuple(r for r in self.renditions if is_rung(r.name))

    @property
    def tracks(self) -> tuple[RenditionPlan, ...]:
        """Sound to choose beside the rung that plays."""
        return tuple(r for r in self.renditions if not is_rung(r.name))

    @property
    def lowest(self) -> RenditionPlan:
        return self.rungs[-1]

    def rendition(self, name: str) -> RenditionPlan:
        return next(r for r in self.renditions if r.name == name)

    def frames_in(self, segment: int) -> int:
        return min(self.segment_frames, self.total_frames - segment * self.segment_frames)

    def start_of(self, segment: int) -> Fraction:
        """Seconds from the start of the film."""
        return segment * self.segment_frames / self.fps

    def duration_of(self, segment: int) -> Fraction:
        return self.frames_in(segment) / self.fps

    def segment_at(self, time_s: float) -> int:
        index = int(Fraction(time_s) * self.fps) // self.segment_frames
        return max(0, min(index, self.segment_count - 1))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"fps": str(self.fps)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        if data["version"] != PLAN_VERSION:
            raise ValueError(f"plan version {data['version']} is not known here")
        rows = tuple(RenditionPlan(**row) for row in data["renditions"])
        values = {
            "fps": Fraction(data["fps"]),
            "renditions": rows,
            "colour": Colour(**data.get("colour", {})),
            "notes": tuple(data.get("notes", ())),
        }
        return cls(**data | values)


@dataclass(frozen=True, slots=True)
class Segment:
    """One finished segment as measured. `duration_s` is exact for video, counted from packets for audio. `init_sha256`
    names the header it needs, in CMAF.
    """

    rendition: str
    index: int
    duration_s: float
    size_bytes: int
    sha256: str
    frames: int
    codecs: str
    init_sha256: str = ""
