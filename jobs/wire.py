"""What the verbs of a coordinator look like as JSON, for both ends of the worker API."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from encoder.choice import Footage
from encoder.model import PLAN_VERSION, Chunk, EncodePlan

from .contract import Claim

WIRE_VERSION = 1
#: What a worker and a server must agree on. Other programs have versions of their own and are not judged by ours.
FAMILY = "vlog/"
VERSION = f"{FAMILY}{WIRE_VERSION}.{PLAN_VERSION}"

PLANS_KEPT = 64
ROOT = "/api/worker"
KEY_HEADER = "X-Worker-API-Key"
TOKEN_HEADER = "X-Lease-Token"  # noqa: S105  (a header's name)
SHA256_HEADER = "X-Content-SHA256"
SEGMENT_HEADER = "X-Segment"
INIT_LENGTH_HEADER = "X-Init-Length"  # bytes of the body that are the segment's header, before the segment
INIT_HEADER = "X-Init"  # name of the header that a segment needs


class LeaseCode:
    """Codes of refusals that both ends act on."""

    LOST = "lease_lost"
    NOT_YOURS = "not_yours"
    DISABLED = "worker_disabled"
    DIFFERS = "segment_differs"
    INCOMPLETE = "incomplete"
    LOW = "storage_low"
    CHECKSUM = "wrong_checksum"
    LENGTH = "wrong_length"
    NO_SOURCE = "source_missing"
    REPLACED = "source_replaced"


def speaks_our_version(code_version: str | None) -> bool:
    """Existing workers say a version of their own, or none: they are never sent away for it."""
    return code_version is None or not code_version.startswith(FAMILY) or code_version == VERSION


def claim_to_json(claim: Claim) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "token": claim.token,
        "lease_s": claim.lease_s,
        "attempt_id": claim.attempt_id,
        "kind": claim.kind,
        "video_id": claim.video_id,
        "plan": _plan_to_json(claim.plan),
        "chunk": asdict(claim.chunk),
        "renditions": list(claim.renditions),
        "done": sorted(claim.done),
        "footage": asdict(claim.footage) if claim.footage else None,
    }


@lru_cache(maxsize=PLANS_KEPT)
def _plan_to_json(plan: EncodePlan) -> dict[str, Any]:
    """Each job of a film carries the same plan. The answer is shared: only read it."""
    return plan.to_json()


def claim_from_json(data: dict[str, Any]) -> Claim:
    """Raises ValueError for a plan of another version."""
    values = {
        "plan": EncodePlan.from_json(data["plan"]),
        "chunk": Chunk(**data["chunk"]),
        "renditions": tuple(data["renditions"]),
        "done": frozenset((name, index) for name, index in data["done"]),
        "footage": Footage(**data["footage"]) if data["footage"] else None,
    }
    return Claim(**data | values)
