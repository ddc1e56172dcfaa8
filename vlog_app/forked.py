"""A copy of this process that does one thing: its output comes back through a pipe, and it ends when we do."""

import contextvars
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NAME = 15
STDOUT, STDERR = 1, 2
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Forked:
    """Starts `run` in a child. Fork only from a process with a single thread.

    A copy instead of a new program, because reading in all modules is most of the time a start takes.
    """

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self.output, theirs = os.pipe()
        self.status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(name, run, theirs, parent)
        os.close(theirs)
        os.set_blocking(self.output, False)

    @property
    def is_running(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    @property
    def reason(self) -> str:
        """How it ended."""
        status = self.status or 0
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def read(self) -> bytes:
        """What it printed since the last call; empty when there is nothing now."""
        try:
            return os.read(self.output, 65536)
        except BlockingIOError:
            return b""

    def ask_to_end(self) -> None:
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Ends it and everything it started; safe to call when it has ended by itself."""
        # The group lives as long as any member does, so its number cannot belong to anyone else.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if self.is_running:
            _pid, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        os.close(self.output)


def _become(name: str, run: Callable[[], object], output: int, parent: int) -> NoReturn:
    status = 1
    try:
        os.setsid()  # Ctrl-C in a terminal reaches the parent alone, which passes it on
        _end_with(parent, name)
        _forget_signals()
        _redirect(output)
        # An empty context: no app, request or command of the parent is current here.
        contextvars.Context().run(run)
        status = 0
    except SystemExit as ending:
        status = _status_of(ending)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass  # the parent is gone
        os._exit(status)


def _end_with(parent: int, name: str) -> None:
    """Asks the kernel to end this process when the parent dies, whatever kills it."""
    if _libc is None:
        return
    _libc.prctl(PR_SET_NAME, f"vlog-{name}".encode()[:15])
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _redirect(output: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, STDOUT)
    os.dup2(output, STDERR)
    # The files of the parent belong to it: its terminal, its pipes, its sockets.
    os.closerange(STDERR + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    sys.stdout = os.fdopen(STDOUT, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(STDERR, "w", buffering=1, closefd=False)


def _status_of(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    print(ending.code, file=sys.stderr)  # noqa: T201  (as the interpreter itself would)
    return 1
