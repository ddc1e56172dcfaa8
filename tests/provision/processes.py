"""Starts a server for the length of the test run; it ends with this process, however this process ends."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
START_S = 60.0  # a cold disk and a busy machine
END_S = 15.0
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class NotProvided(Exception):
    """The tests need something this machine does not have; the text is a sentence that says what to do."""


class Server:
    """A child process that must come up and must go away."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, *, user: str | None = None) -> None:
        self._name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()),
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
                **identity(user),
            )

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self._log.read_text(errors="replace")[-800:]
                raise NotProvided(f"{self._name} did not start; it said:\n{tail}")
            time.sleep(0.02)

    def send(self, number: int, *, with_children: bool = False) -> None:
        """Its children lead process groups of their own, so they are named one by one; itself first."""
        for pid in family(self._process.pid) if with_children else [self._process.pid]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if number == signal.SIGKILL:
            self._process.wait()

    def stop(self, number: int = signal.SIGINT) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def family(pid: int) -> list[int]:
    """A process and all that descend from it, the oldest first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(found for child in children for found in family(int(child)))]


def identity(user: str | None) -> dict[str, object]:
    """Keyword arguments that make subprocess run as `user`; none when no change is wanted."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _end_with(parent: int) -> Callable[[], None]:
    def ask() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
            if os.getppid() != parent:
                os._exit(1)
        for number in (
            signal.SIGINT,
            signal.SIGQUIT,
        ):  # a shell that starts us in the background ignores both
            signal.signal(number, signal.SIG_DFL)

    return ask
