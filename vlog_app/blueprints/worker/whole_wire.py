"""The bodies that workers of an existing installation send. What they say beyond these fields is passed over."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .wire import Text

Quality = Literal["2160p", "1440p", "1080p", "720p", "480p", "360p", "original"]
Step = Literal["download", "probe", "thumbnail", "transcode", "master_playlist", "upload", "finalize"]
Status = Literal["pending", "in_progress", "uploading", "completed", "uploaded", "failed", "skipped"]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
MOST_QUALITIES = 20


class Open(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class QualityProgress(Open):
    name: Quality
    status: Status
    progress: Percent = 0
    segments_total: Count | None = None
    segments_completed: Count | None = None


class Progress(Open):
    current_step: Step | None = None
    progress_percent: Percent = 0
    quality_progress: list[QualityProgress] | None = Field(None, max_length=MOST_QUALITIES)
    duration: float | None = Field(None, ge=0)
    source_width: Count | None = None
    source_height: Count | None = None

    @property
    def qualities(self) -> dict[str, float]:
        """Quality -> percent of it that is made."""
        return {each.name: each.progress for each in self.quality_progress or []}


class MadeQuality(Open):
    name: Quality
    width: Count = 0
    height: Count = 0
    bitrate: Count = 0


class Completion(Open):
    qualities: list[MadeQuality] = Field(max_length=MOST_QUALITIES)
    duration: float | None = Field(None, ge=0)
    source_width: Count | None = None
    source_height: Count | None = None
    streaming_format: Literal["hls_ts", "cmaf"] | None = None
    streaming_codec: Literal["h264", "hevc", "av1"] | None = None
    completion_token: str | None = Field(None, max_length=200)


class WholeFailure(Open):
    error_message: Text = Field(max_length=500)
    retry: bool = True


class SegmentsDone(Open):
    quality: Quality
    segment_count: int = Field(ge=1, le=1_000_000)
    manifest_checksum: str | None = Field(None, max_length=200)
