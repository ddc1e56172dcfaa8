"""The tables: the truth of the installation. Rows are written by `services` only."""

from .admin import AdminSession, Upload
from .catalog import Video
from .fleet import Chore, Worker, WorkerKey
from .work import Attempt, Encode, Event, Hold, Job, Rendition, Segment

__all__ = [
    "AdminSession",
    "Attempt",
    "Chore",
    "Encode",
    "Event",
    "Hold",
    "Job",
    "Rendition",
    "Segment",
    "Upload",
    "Video",
    "Worker",
    "WorkerKey",
]
