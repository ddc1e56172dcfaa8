"""May renditions of one plan stand beside those of another? Only when both are the same grid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from .model import EncodePlan


def difference(old: EncodePlan, new: EncodePlan) -> str:
    """What keeps them apart, as the end of "… since"; empty when nothing does."""
    if old.container != new.container:
        return "films are to come in another streaming format now"
    if {row.name for row in old.renditions} != {row.name for row in new.renditions}:
        return "films are to come in other rungs or another codec now"
    if old.segment_frames != new.segment_frames:
        return "segments are to have another length now"
    if _timeline(old) != _timeline(new):
        return "its frames would fall on other times now"
    if old.colour != new.colour:
        return "its colours would be prepared in another way now"
    return ""


def _timeline(plan: EncodePlan) -> tuple[object, ...]:
    return plan.fps, plan.total_frames, plan.picture_frames, plan.shift_s


def with_taken(new: EncodePlan, old: EncodePlan, names: Collection[str]) -> EncodePlan:
    """The new plan with the renditions `names` as the old one made them. Call when nothing keeps the two apart."""
    rows = tuple(old.rendition(row.name) if row.name in names else row for row in new.renditions)
    keeps_top = bool(new.video) and new.video[0].name in names
    return replace(new, renditions=rows, notes=old.notes if keeps_top else new.notes)
