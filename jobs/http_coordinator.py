"""The coordinator for workers elsewhere: every verb is a call of the worker API. What they promise: jobs.contract."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from encoder.model import Segment
from encoder.names import segment_name

from .contract import (
    NOTHING_TO_REPORT,
    Claim,
    Dismissed,
    Drained,
    Failure,
    JobProgress,
    LeaseLost,
    Orders,
    Report,
    SegmentFile,
    Slot,
    Unavailable,
    WorkerInfo,
)
from .film import Reading
from .http_client import Answer, Api, Differs, Disabled
from .lease import RENEWALS_PER_LEASE
from .outbox import MOST_BYTES, Outboxes, send_wanted
from .source_line import HttpSourceLine
from .sources import Sources
from .wire import (
    INIT_HEADER,
    INIT_LENGTH_HEADER,
    ROOT,
    SEGMENT_HEADER,
    SHA256_HEADER,
    TOKEN_HEADER,
    VERSION,
    claim_from_json,
)

logger = logging.getLogger(__name__)

GOODBYE_PATIENCE_S = 30.0  # giving a job back: after that its lease runs out by itself
PUBLISHING_S = 300.0  # the last job of a film is answered when the film has been looked through
OLD_PROGRAM = (
    "This worker speaks version {ours} of the worker API, the server wants {theirs}: install the version of VLog "
    "that the server has, then start the worker again."
)


class HttpCoordinator:
    """One worker's. `sends_beside`: segments are sent in the background while the next ones are made; encoders stop
    while `outbox_bytes` of a job wait.
    """

    def __init__(
        self,
        api: Api,
        sources: Sources,
        folder: Path,
        leaving: threading.Event,
        *,
        sends_beside: bool = False,
        outbox_bytes: int = MOST_BYTES,
    ) -> None:
        self._api = api
        self._sources = sources
        self._folder = folder
        self._leaving = leaving
        self._line = HttpSourceLine(api, self._guard, leaving)
        self._sends_beside = sends_beside
        self._outboxes = Outboxes(most_bytes=outbox_bytes)
        self._at_work: set[str] = set()  # tokens
        self._said: Mapping[str, object] | None = None  # facts the server knows
        self._tokens: dict[int, str] = {}  # thread -> token of a claim whose answer was not heard

    @property
    def jobs_at_work(self) -> int:
        return len(self._at_work)

    def close(self) -> None:
        self._sources.close()

    # --- the worker -----------------------------------------------------------------------------------------

    def greet(self, worker: WorkerInfo, keeps: Collection[int] = ()) -> None:
        """Raises Dismissed when the server does not want this worker, or not this version of it."""
        body = {"facts": worker.facts, "code_version": VERSION, "keeps": sorted(keeps)}
        answer = self._api.post(f"{ROOT}/greet", body)
        self._said = worker.facts
        _require_version(answer)

    def beat(self, worker: WorkerInfo) -> None:
        self._sources.tidy()
        body: dict[str, Any] = {"status": "busy" if self._at_work else "idle", "code_version": VERSION}
        if worker.facts != self._said:
            body["facts"] = worker.facts
        answer = self._api.post(f"{ROOT}/heartbeat", body)
        self._said = worker.facts
        _require_version(answer)

    def farewell(self, worker: WorkerInfo) -> None:
        self._api.post(f"{ROOT}/farewell", {})

    # --- a job ----------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerInfo, slot: Slot, job_id: int | None = None) -> Claim | None:
        """An answer that was lost on the way is asked for again by the same token."""
        asker = threading.get_ident()  # each slot has a thread of its own; several may have the same name
        token = self._tokens.setdefault(asker, uuid4().hex)
        body = {"slot": asdict(slot), "job_id": job_id, "token": token, "code_version": VERSION}
        answer = self._api.post(f"{ROOT}/leases", body)
        self._tokens.pop(asker, None)
        _require_version(answer)
        if answer["lease"] is None:
            return None
        claim = claim_from_json(answer["lease"])
        self._at_work.add(claim.token)
        return claim

    def renew(self, claim: Claim, progress: JobProgress | None) -> Orders:
        body = {"progress": asdict(progress) if progress else None}
        # A renewal on a dead connection must not take as long as the lease lasts.
        answer = self._post(
            claim, "renew", body, patience_s=0.0, silence_s=claim.lease_s / RENEWALS_PER_LEASE
        )
        self._sources.touch(claim)
        return Orders(**answer)

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        self._outboxes.flush(claim)
        self._post(claim, "finish", asdict(report), patience_s=claim.lease_s, silence_s=PUBLISHING_S)
        self._end(claim)

    def fail(self, claim: Claim, failure: Failure) -> None:
        self._leave(claim, "fail", asdict(failure))

    def release(self, claim: Claim) -> None:
        self._leave(claim, "release", {})

    def _leave(self, claim: Claim, verb: str, body: dict[str, Any]) -> None:
        self._outboxes.flush_anyhow(claim)
        try:
            self._post(claim, verb, body, patience_s=GOODBYE_PATIENCE_S)
        except (LeaseLost, Unavailable):
            logger.info("the lease is over already", extra={"job_id": claim.job_id})
        finally:
            self._end(claim)

    def drop(self, claim: Claim) -> None:
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        self._at_work.discard(claim.token)
        self._outboxes.drop(claim)
        shutil.rmtree(self._segments_of(claim), ignore_errors=True)
        self._sources.let_go(claim)

    # --- files ----------------------------------------------------------------------------------------------

    def open_source(self, claim: Claim) -> Reading:
        return self._sources.open(claim, self._line)

    def open_segments(self, claim: Claim, rendition: str) -> list[SegmentFile]:
        folder = self._segments_of(claim)
        folder.mkdir(parents=True, exist_ok=True)
        files: list[SegmentFile] = []
        for index in range(claim.plan.segment_count):
            if self._leaving.is_set():
                raise Drained
            files.append(self._fetch_segment(claim, rendition, index, folder))
        return files

    def _fetch_segment(self, claim: Claim, rendition: str, index: int, folder: Path) -> SegmentFile:
        what = f"segments/{rendition}/{index}"
        answer = self._get(claim, what)
        path = folder / segment_name(claim.plan.container, rendition, index)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(answer.content)
        name = answer.headers.get(INIT_HEADER)
        if name is None:
            return SegmentFile(path)
        init = path.with_name(Path(name).name)
        if not init.exists():
            init.write_bytes(self._get(claim, f"{what}/init").content)
        return SegmentFile(path, init)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        """With `sends_beside` always True: what became of it comes with a later call."""

        def send() -> bool:
            return self._send_segment(claim, segment, file, init)

        if waits or not self._sends_beside:
            return send()
        self._outboxes.put(claim, lambda: send_wanted(self, claim, segment, send), segment.size_bytes)
        return True

    def is_behind(self, claim: Claim) -> bool:
        return self._outboxes.is_full(claim)

    def _send_segment(self, claim: Claim, segment: Segment, file: Path, init: Path | None) -> bool:
        parts = [file] if init is None else [init, file]
        headers = {SEGMENT_HEADER: json.dumps(asdict(segment))}
        if init is not None:
            headers[INIT_LENGTH_HEADER] = str(init.stat().st_size)
        try:
            answer = self._put(claim, f"segments/{segment.rendition}/{segment.index}", parts, headers)
        except Differs:
            logger.info("a segment was in already, made by another", extra={"job_id": claim.job_id})
            answer = {"written": False}
        file.unlink()
        return bool(answer["written"])

    def hand_in(self, claim: Claim, name: str, file: Path) -> None:
        self._put(claim, f"stills/{name}", [file], {})
        file.unlink()

    def _put(self, claim: Claim, what: str, parts: list[Path], headers: dict[str, str]) -> dict[str, Any]:
        more = {TOKEN_HEADER: claim.token, SHA256_HEADER: _sha256(parts)}
        with self._guard(claim):
            return self._api.put_files(_path(claim, what), parts, headers | more, patience_s=claim.lease_s)

    def _get(self, claim: Claim, what: str) -> Answer:
        with self._guard(claim):
            return self._api.get(
                _path(claim, what), headers={TOKEN_HEADER: claim.token}, patience_s=claim.lease_s
            )

    def _post(
        self,
        claim: Claim,
        verb: str,
        body: dict[str, Any],
        *,
        patience_s: float,
        silence_s: float | None = None,
    ) -> dict[str, Any]:
        headers = {TOKEN_HEADER: claim.token}
        with self._guard(claim):
            return self._api.post(
                _path(claim, verb), body, headers=headers, patience_s=patience_s, silence_s=silence_s
            )

    def _segments_of(self, claim: Claim) -> Path:
        return self._folder / f"segments-{claim.token[:12]}"

    @contextmanager
    def _guard(self, claim: Claim) -> Iterator[None]:
        """Around every call about a job: a lost lease ends what is kept for it. A worker that is sent away in the
        middle of a job loses the job as well; its next claim hears why.
        """
        try:
            yield
        except LeaseLost:
            self._end(claim)
            raise
        except (Dismissed, Disabled) as error:
            self._end(claim)
            raise LeaseLost(str(error)) from error


def _path(claim: Claim, what: str) -> str:
    return f"{ROOT}/leases/{claim.job_id}/{what}"


def _sha256(parts: list[Path]) -> str:
    digest = sha256()
    for part in parts:
        with part.open("rb") as opened:
            while piece := opened.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _require_version(answer: dict[str, Any]) -> None:
    if answer.get("version_ok") is False:
        raise Dismissed(OLD_PROGRAM.format(ours=VERSION, theirs=answer.get("required_version")))
