"""Runs several programs as one: starts, watches, restarts and ends them, and leaves none behind."""

import gc
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from .forked import Forked

TURN_S = 0.1  # longest wait for output before the clocks are looked at
FIRST_RESTART_S = 0.5  # doubles with each failure in a row ...
LONGEST_RESTART_S = 30.0
HEALTHY_AFTER_S = 60.0  # ... and starts over once a program has run this long
REMIND_EVERY_S = 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    `grace_s` is how long it may take to end when asked, and `waits_for` says what it does in that time. One that
    `must_start` and ends before everything is ready makes the start fail; any other is started again.
    """

    name: str
    run: Callable[[], object]
    grace_s: float
    waits_for: str = ""
    must_start: bool = False


@dataclass(slots=True)
class Child:
    program: Program
    colour: int
    process: Forked | None = None
    rest: bytes = b""
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.is_running


class Supervisor:
    """Single-threaded, so that forking is safe and lines of different programs never mix.

    `is_ready` is asked in every turn until it says yes; then `on_ready` runs, once. `run` returns the exit status.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        is_ready: Callable[[], bool],
        on_ready: Callable[[], None],
        out: IO[str] = sys.stderr,
    ) -> None:
        self._children = [Child(program, 31 + (index + 1) % 6) for index, program in enumerate(programs)]
        self._width = max(len(program.name) for program in programs)
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._out = out
        self._selector = selectors.DefaultSelector()
        self._signals = 0

    def run(self) -> int:
        self._catch_signals()
        # Garbage of this process must not be collected in a child, where its file numbers are others' by then.
        gc.collect()
        gc.freeze()
        try:
            for child in self._children:
                self._start(child)
            code = self._start_up()
            while not code and not self._signals:
                self._turn()
                self._restart_ended()
            self._end()
            return code
        finally:
            for child in self._children:
                self._forget(child)
            self._selector.close()

    def say(self, text: str) -> None:
        self._write(f"{text}\n")

    # --- running

    def _start_up(self) -> int:
        while not self._signals:
            self._turn()
            for child in self._children:
                if child.program.must_start and not child.is_running:
                    self._drain(child)
                    self.say(
                        f"VLog did not start: {child.program.name} ended at once; the lines above say why."
                    )
                    return 1
            self._restart_ended()
            if self._is_ready():
                self._on_ready()
                return 0
        return 0

    def _restart_ended(self) -> None:
        for child in self._children:
            if child.process is None and time.monotonic() >= child.restart_at:
                self._start(child)
            elif child.process is not None and not child.is_running:
                self._plan_restart(child, child.process)

    def _plan_restart(self, child: Child, process: Forked) -> None:
        lived_s = time.monotonic() - child.started_at
        child.failures = 1 if lived_s > HEALTHY_AFTER_S else child.failures + 1
        delay_s = min(LONGEST_RESTART_S, FIRST_RESTART_S * 2 ** (child.failures - 1))
        self._forget(child)
        self.say(f"{child.program.name} ended ({process.reason}); starting it again in {delay_s:g} s.")
        child.restart_at = time.monotonic() + delay_s

    def _start(self, child: Child) -> None:
        child.process = Forked(child.program.name, child.program.run)
        child.started_at = time.monotonic()
        self._selector.register(child.process.output, selectors.EVENT_READ, child)

    def _turn(self) -> None:
        for key, _events in self._selector.select(TURN_S):
            if isinstance(key.data, Child):
                self._drain(key.data)
            else:
                self._wakeup.recv(64)

    # --- ending

    def _end(self) -> None:
        """Asks every program to end, waits as long as each may take, and stops waiting at a second signal."""
        seen, began = self._signals, time.monotonic()
        running = [child for child in self._children if child.is_running]
        self.say("Stopping. Ctrl-C again ends everything at once.")
        for child in running:
            if child.process:
                child.process.ask_to_end()
        reminded = began
        while running and self._signals <= seen:
            self._turn()
            waited_s = time.monotonic() - began
            running = [child for child in running if child.is_running and waited_s < child.program.grace_s]
            if running and time.monotonic() - reminded >= REMIND_EVERY_S:
                reminded = time.monotonic()
                names = " and ".join(child.program.waits_for or child.program.name for child in running)
                self.say(f"Waiting for {names} ({waited_s:.0f} s).")

    def _forget(self, child: Child) -> None:
        """Ends what is left of it and prints what it said last."""
        process = child.process
        if process is None:
            return
        self._drain(child)
        if process.output in self._selector.get_map():
            self._selector.unregister(process.output)
        process.end()
        child.process = None

    # --- signals and output

    def _catch_signals(self) -> None:
        self._wakeup, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._count_signal)

    def _count_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def _drain(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        while data := process.read():
            *lines, child.rest = (child.rest + data).split(b"\n")
            for line in lines:
                self._print_line(child, line)
        if process.is_running:
            return
        if child.rest:
            self._print_line(child, child.rest)
            child.rest = b""
        if process.output in self._selector.get_map():
            self._selector.unregister(process.output)

    def _print_line(self, child: Child, line: bytes) -> None:
        name = f"{child.program.name:<{self._width}}"
        prefix = f"\x1b[{child.colour}m{name} |\x1b[0m" if self._out.isatty() else f"{name} |"
        self._write(f"{prefix} {line.decode(errors='replace').rstrip()}\n")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            pass  # the terminal is gone; ending in order matters more than saying so
