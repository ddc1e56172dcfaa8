"""Slugs: the name of a video in addresses, made from its title, unique and never a word the site needs itself."""

from __future__ import annotations

from collections.abc import Callable

from slugify import slugify
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..models import Video

MAX_SLUG = 200
FALLBACK = "video"
RESERVED = frozenset(
    "admin api archive category download embed feed login logout new playlist search static tag uploads videos "
    "watch healthz".split()
)


def unique_slug(session: Session, title: str) -> str:
    """`title` as a free slug: plain, or with -1, -2, ... Call it inside the transaction that inserts the video."""
    base = slugify(title, max_length=MAX_SLUG, word_boundary=True) or FALLBACK
    taken = set(session.scalars(select(Video.slug).where(Video.slug.startswith(base, autoescape=True))))
    return first_free(base, lambda slug: slug not in taken and slug not in RESERVED)


def first_free(base: str, is_free: Callable[[str], bool]) -> str:
    if is_free(base):
        return base
    number = 1
    while not is_free(f"{base}-{number}"):
        number += 1
    return f"{base}-{number}"
