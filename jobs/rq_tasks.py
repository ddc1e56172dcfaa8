"""What RQ calls, and the RQ worker that lives in each slot."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from .queues import TASKS, Heard, queue_named
from .redis_link import ERRORS, FAILED, RedisLink

if TYPE_CHECKING:
    from rq.executions import Execution

logger = logging.getLogger(__name__)

LISTEN_S = 1  # one blocking read; between two of them a slot looks at its bell and whether it should leave
PULSE_S = 30

_carry_out: ContextVar[Callable[[Any], object]] = ContextVar("carry_out")


def run_job(job_id: int) -> None:
    """A message is a hint: claim that job and carry it out, or go home."""
    _carry_out.get()(job_id)


def run_chore(name: str) -> None:
    """Likewise for housekeeping: whoever takes its lease in the database does it."""
    _carry_out.get()(name)


class NotOurs(Exception):
    """A message that asks for something else than our tasks."""


class Message(Job):
    """An RQ job that can only name our tasks. RQ would call any function, of any module, that whoever can write to
    Redis asks for, as the work itself or as a callback; and it would unpickle what it reads.
    """

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:
        super().__init__(id, connection, JSONSerializer)

    @property
    def func(self) -> Any:
        if self.func_name not in TASKS:
            raise NotOurs(f"{self.func_name} is no task of VLog")
        return super().func

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    def send_webhooks(self, status: Any, *, exc_string: str | None = None) -> None:
        """Never: the addresses come out of Redis."""


class _Patience(BaseDeathPenalty):
    """RQ's time limit is a signal, which only a main thread may have. Ours is the watchdog of encoder.process."""

    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class SlotWorker(SimpleWorker):
    """An RQ worker for one slot, in that slot's thread.

    RQ's usual worker forks a child for every job. Here the child would win nothing: the work is done by ffmpeg, which
    is a process of its own with limits, a watchdog and an end when its parent dies. And it would cost a lot: forks of
    a process with threads and database connections, a horse that survives the worker's SIGKILL, and slots that no
    longer know of each other, while all slots of a host share its devices, its lease identity and its drain. So each
    slot runs RQ's SimpleWorker and stays one thread of the one worker process.
    """

    death_penalty_class = _Patience
    job_class = Message

    @property
    def dequeue_timeout(self) -> int:
        return LISTEN_S

    @property
    def connection_timeout(self) -> int:
        return 0  # the client we give it has the right one

    def subscribe(self) -> None:
        """No remote commands: whoever can write to Redis must not stop workers."""

    def unsubscribe(self) -> None:
        """See subscribe."""

    def listen(self) -> tuple[Job, Queue] | None:
        """The next message, or None after LISTEN_S without one."""
        self.heartbeat()
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
        try:
            return Queue.dequeue_any(
                self.queues,
                LISTEN_S,
                connection=self.connection,
                job_class=Message,
                serializer="json",
                death_penalty_class=_Patience,
            )
        except DequeueTimeout:
            return None

    def execute_job(self, job: Job, queue: Queue) -> None:
        execution = self.prepare_execution(job)
        with self._pulse(job, execution):
            self.perform_job(job, queue, execution)
        self.set_state("idle")

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return PULSE_S * 3

    @contextlib.contextmanager
    def _pulse(self, job: Job, execution: Execution) -> Iterator[None]:
        """Tells Redis that we live while the slot is busy, so that RQ does not call the job abandoned."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(PULSE_S):
                with contextlib.suppress(*ERRORS):
                    self.maintain_heartbeats(job, execution)

        thread = threading.Thread(target=beat, name=f"pulse-{job.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class Inbox:
    """Where a slot gets its messages. Makes a new RQ worker when Redis was away: RQ's own would end for good."""

    def __init__(
        self,
        link: RedisLink,
        name: str,
        names: Callable[[], Sequence[str]],
        carry_out: Callable[[Any], object],
    ) -> None:
        self._link = link
        self._name = name
        self._names = names  # a host learns of its devices while it works
        self._carry_out = carry_out
        self._worker: SlotWorker | None = None

    def listen(self) -> Heard:
        """Wait for a message and do what it says. Never raises for a Redis that is away."""
        try:
            found = self._link.breaker.call(self._next)
        except FAILED:
            self._forget()
            return Heard.AWAY
        if found is None:
            return Heard.SILENCE
        self._execute(*found)
        return Heard.MESSAGE

    def close(self) -> None:
        """Redis is told that this worker has gone."""
        if self._worker is not None:
            with contextlib.suppress(*ERRORS):
                self._worker.teardown()  # type: ignore[no-untyped-call]
        self._forget()

    def _forget(self) -> None:
        if self._worker is not None:
            self._worker.connection.connection_pool.disconnect()
        self._worker = None

    def _next(self) -> tuple[Job, Queue] | None:
        names = list(self._names())
        if self._worker is not None and self._worker.queue_names() != names:
            self.close()
        if self._worker is None:
            self._worker = self._open(names)
        return self._worker.listen()

    def _open(self, names: Sequence[str]) -> SlotWorker:
        client = self._link.reader(LISTEN_S + self._link.options.timeout_s)
        worker = SlotWorker(
            [queue_named(name, client) for name in names],
            name=f"{self._name}-{secrets.token_hex(4)}",
            connection=client,
            serializer="json",
            log_job_description=False,
            job_monitoring_interval=PULSE_S,
        )
        worker.bootstrap(logging_level="WARNING")
        return worker

    def _execute(self, job: Job, queue: Queue) -> None:
        """Redis may be gone by the end of the work. The database knows what was done, so that is only noted."""
        assert self._worker is not None
        token = _carry_out.set(self._carry_out)
        try:
            self._worker.execute_job(job, queue)
        except ERRORS:
            logger.info("Redis was not told of the end of a message", extra={"action": "message_end_lost"})
            self._forget()
        finally:
            _carry_out.reset(token)
