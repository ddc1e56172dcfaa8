"""A lease that is renewed in the background and speaks up in the foreground."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from .contract import Claim, Coordinator, Drained, JobProgress, LeaseLost, Unavailable

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 6  # three may be lost, or the host stand still for more than half a lease
PROGRESS_EVERY_S = 0.5  # with the look of the live hub the owner sees within a second what the worker knows


class Lease:
    """Renews while in use. `check()` raises LeaseLost in the thread that does the work."""

    def __init__(self, claim: Claim, coordinator: Coordinator, drain: threading.Event) -> None:
        self.claim = claim
        self.end_segment = claim.chunk.end
        self._coordinator = coordinator
        self._drain = drain
        self._progress: JobProgress | None = None
        self._said: JobProgress | None = None
        self._gives_back = False
        self._is_away = False
        self._lost: LeaseLost | None = None
        self._left = threading.Event()
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    @property
    def is_draining(self) -> bool:
        """The job is to be given back: the worker goes away, or somebody paused it or the job."""
        return self._drain.is_set() or self._gives_back

    def report(self, progress: JobProgress) -> None:
        self._progress = progress

    def check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def refresh(self) -> None:
        """Ask for orders now. Raises LeaseLost."""
        self._renew()
        self.check()

    def check_drain(self) -> None:
        """For work that has no good place to stop but now."""
        self.check()
        if self.is_draining:
            raise Drained

    def _keep(self) -> None:
        every_s = self.claim.lease_s / RENEWALS_PER_LEASE
        while not self._left.wait(min(PROGRESS_EVERY_S, every_s)):
            has_news = self._progress != self._said
            if has_news or time.monotonic() - self._renewed >= every_s:
                self._renew()
            if self._lost is not None:
                return

    def _renew(self) -> None:
        progress = self._progress
        try:
            orders = self._coordinator.renew(self.claim, progress)
        except LeaseLost as lost:
            self._lost = lost
        except Exception as error:
            # The coordinator is away. The lease may outlive that; when it cannot, stop before somebody else starts.
            self._tell(error)
            if time.monotonic() - self._renewed > self.claim.lease_s:
                self._lost = LeaseLost("the coordinator was away for longer than the lease")
        else:
            self._renewed, self._said, self._is_away = time.monotonic(), progress, False
            self.end_segment, self._gives_back = orders.end_segment, orders.gives_back

    def _tell(self, error: Exception) -> None:
        """Once, however long the coordinator is away."""
        is_away = isinstance(error, Unavailable)
        if not (is_away and self._is_away):
            facts = {"job_id": self.claim.job_id}
            logger.warning("lease not renewed: %s", error, exc_info=not is_away, extra=facts)
        self._is_away = True
