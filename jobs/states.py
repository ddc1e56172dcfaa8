"""The states of a job, and every move between them.

    queued --claim--> leased --finish--> done           failed --retry--> queued
      ^                 |                               cancelled --retry--> queued
      +--release, retry-+--fail--> failed               queued | leased --cancel--> cancelled

    done --redo--> queued: what it made has gone from the disk

A lost lease is a release or, with no attempts left, a failure.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Move(StrEnum):
    CLAIM = "claim"
    FINISH = "finish"
    RELEASE = "release"  # given back unharmed, or to be tried again
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"  # asked for by a person
    REDO = "redo"


class AttemptOutcome(StrEnum):
    FINISHED = "finished"
    FAILED = "failed"
    RELEASED = "released"
    LOST = "lost"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """Whose fault a failed attempt was."""

    CHARGED = "charged"  # the job's, as far as anyone can tell: it used one of its attempts
    FINAL = "final"  # the source's: another try would fail the same way
    BLAMELESS = "blameless"  # nobody's: the disk was full
    EXCUSED = "excused"  # the worker's: it failed on video after video, so the job has this attempt back
    UPHELD = "upheld"  # the worker was paused over it, but the job had been excused once before


#: move -> (states it may start from, state it leads to)
TRANSITIONS: dict[Move, tuple[frozenset[JobState], JobState]] = {
    Move.CLAIM: (frozenset({JobState.QUEUED}), JobState.LEASED),
    Move.FINISH: (frozenset({JobState.LEASED}), JobState.DONE),
    Move.RELEASE: (frozenset({JobState.LEASED}), JobState.QUEUED),
    Move.FAIL: (frozenset({JobState.LEASED}), JobState.FAILED),
    Move.CANCEL: (frozenset({JobState.QUEUED, JobState.LEASED}), JobState.CANCELLED),
    Move.RETRY: (frozenset({JobState.FAILED, JobState.CANCELLED}), JobState.QUEUED),
    Move.REDO: (frozenset({JobState.DONE}), JobState.QUEUED),
}


class IllegalMove(Exception):
    """The job is not in a state this move may start from."""


def sources_of(move: Move) -> frozenset[JobState]:
    return TRANSITIONS[move][0]


def target_of(move: Move) -> JobState:
    return TRANSITIONS[move][1]
