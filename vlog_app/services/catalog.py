"""What the owner says about a video: title and description."""

from __future__ import annotations

from sqlalchemy import update

from ..extensions import transaction
from ..models import Video

TITLE_MAX = 255
DESCRIPTION_MAX = 10_000


def check_words(title: str, description: str) -> dict[str, str]:
    """Field -> what is wrong with it; empty when both are fine."""
    problems: dict[str, str] = {}
    if not title.strip():
        problems["title"] = "A video needs a title."
    elif len(title.strip()) > TITLE_MAX:
        problems["title"] = f"That is {len(title.strip())} characters; {TITLE_MAX} fit."
    if len(description) > DESCRIPTION_MAX:
        problems["description"] = f"That is {len(description):,} characters; {DESCRIPTION_MAX:,} fit."
    for field, text in (("title", title), ("description", description)):
        if any((ord(char) < 32 and char not in "\n\r\t") or 0xD800 <= ord(char) <= 0xDFFF for char in text):
            problems[field] = "It holds a character that cannot be stored. Type it again."
    return problems


def describe(video_id: int, title: str, description: str) -> None:
    """Keeps checked words. The slug stays: links that were given out go on working."""
    text = description.replace("\r\n", "\n").strip()
    with transaction() as session:
        session.execute(
            update(Video).where(Video.id == video_id).values(title=title.strip(), description=text)
        )
