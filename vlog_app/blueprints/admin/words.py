"""What happened to a video, told in sentences for its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from encoder.model import AUDIO_NAME, is_rung

from ...formats import time_left
from ...models import Event
from ...services.events import EventKind


@dataclass(frozen=True, slots=True)
class Told:
    """One line of "What happened": `who` is set apart, `shape` is a status shape."""

    id: int
    at: datetime
    shape: str
    who: str
    words: str


def tell(events: tuple[Event, ...]) -> list[Told]:
    """Newest first, as given; numbers that only moved are left out."""
    told = []
    for event in events:
        sentence = _sentence(event.kind, event.data)
        if sentence is not None:
            told.append(Told(event.id, event.created_at, *sentence))
    return told


def _sentence(kind: str, data: dict[str, Any]) -> tuple[str, str, str] | None:
    worker = str(data.get("worker", "A worker"))
    match kind:
        case EventKind.UPLOADED:
            return "done", "", "The file was received and checked."
        case EventKind.STARTED:
            return "moving", worker, f"began {_work(data)}."
        case EventKind.SEGMENT:
            return "done", "", f"Segment {int(data.get('index', 0)) + 1} of {_rung(data)} is finished."
        case EventKind.RENDITION:
            return "done", "", f"{_rung(data).capitalize()} is complete."
        case EventKind.UNCOPIED:
            return (
                "failed",
                "",
                f"The source could not be copied as {_rung(data)}; that rung is encoded instead.",
            )
        case EventKind.VIEWABLE:
            return "done", "", "It can be watched now, while the rest is made."
        case EventKind.AGAIN:
            names = [_called(str(name)) for name in data.get("renditions", [])]
            return (
                "moving",
                "",
                f"You had it encoded again: {', '.join(names)}. Viewers get what there is meanwhile.",
            )
        case EventKind.READY if data.get("generation"):
            return "done", "", "The new encode is whole, and viewers get it from now on."
        case EventKind.READY:
            return "done", "", "Everything is finished and published."
        case EventKind.LOST:
            return (
                "held",
                worker,
                f"vanished. Its {_segments(data.get('kept', 0))} kept; the rest goes on elsewhere.",
            )
        case EventKind.TROUBLE:
            again = (
                f" It is tried again in {time_left(data['wait_s'])}."
                if data.get("wait_s")
                else " It is tried again."
            )
            return "failed", worker, f"had trouble: {data.get('message', '')}{again}"
        case EventKind.FAILED:
            message = str(data.get("message", "Encoding failed."))
            kept = "" if "kept" in message else " What was finished is kept."
            return "failed", "", f"{message}{kept}"
        case EventKind.DEMAND:
            return (
                "moving",
                "",
                f"A viewer asked for segment {int(data.get('segment', 0)) + 1}: it goes first.",
            )
        case EventKind.CANCELLED if data.get("generation"):
            return (
                "held",
                "",
                "The new encode was called off and cleared away. What viewers get is as it was.",
            )
        case EventKind.CANCELLED:
            return "held", "", "Encoding was cancelled. What was finished is kept."
        case EventKind.RETRIED:
            return "moving", "", "Encoding goes on from what was kept."
        case EventKind.PAUSED:
            return "held", "", "You paused it. What is being made is finished to its next segment."
        case EventKind.RESUMED:
            return "moving", "", "You let it go on."
        case EventKind.PRIORITY:
            return "done", "", f"You gave it {data.get('priority', 'another')} priority."
        case EventKind.EDITED:
            return "done", "", "Title or description was changed."
        case EventKind.POSTER:
            return "done", "", "The poster is made."
    return None


def _work(data: dict[str, Any]) -> str:
    names = [name for name in data.get("renditions", []) if isinstance(name, str)]
    if not names:
        others = {"poster": "the poster", "storyboard": "the preview pictures", "whole": "the whole film"}
        return others.get(str(data.get("job")), "its work")
    first, end = int(data.get("first", 0)), int(data.get("end", 0))
    rungs = ", ".join(_called(name) for name in names)
    which = f"segment {end}" if end == first + 1 else f"segments {first + 1} to {end}"
    return f"{which} of {rungs}"


def _rung(data: dict[str, Any]) -> str:
    return _called(str(data.get("rendition", "")))


def _called(name: str) -> str:
    """A rung by its name, sound beside it in one word."""
    return name if is_rung(name) else AUDIO_NAME


def _segments(number: Any) -> str:
    return "1 finished segment is" if number == 1 else f"{number} finished segments are"
