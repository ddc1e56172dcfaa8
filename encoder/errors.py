"""What can go wrong with media.

MediaError
├── SourceUnreadable    the file is at fault: final, never retried
├── ToolMissing         this host has no usable ffmpeg
├── EncodeFailed        ffmpeg ended with an error
├── EncodeStalled       ffmpeg made no progress and was killed
├── LimitExceeded       an encode passed one of its caps
├── OutputInvalid       what ffmpeg wrote is not what the plan asked for
├── StorageFull         no space left where the output goes: not the job's fault
└── StorageDenied       a file that is there may not be read, or none written: not the job's fault either
"""

from __future__ import annotations


class MediaError(Exception):
    """`code` is stable for machines, `public_message` may be shown to a person, `detail` is for the log. A final one
    would come again the same way; a blameless one is nobody's fault and costs no attempt.
    """

    code = "media_error"
    is_final = False
    is_blameless = False

    def __init__(self, public_message: str, *, code: str | None = None, detail: str = "") -> None:
        super().__init__(public_message)
        self.public_message = public_message
        self.detail = detail
        if code:
            self.code = code


class SourceUnreadable(MediaError):
    code = "unsupported_media"
    is_final = True


class ToolMissing(MediaError):
    code = "ffmpeg_missing"


class EncodeFailed(MediaError):
    code = "encode_failed"


class EncodeStalled(MediaError):
    code = "encode_stalled"


class LimitExceeded(MediaError):
    code = "limit_exceeded"


class OutputInvalid(MediaError):
    code = "output_invalid"


class StorageFull(MediaError):
    code = "storage_full"
    is_blameless = True


class StorageDenied(MediaError):
    code = "storage_denied"
    is_blameless = True
