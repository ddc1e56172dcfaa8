"""One running program and everything that can go wrong with it, played by tiny shell scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import pytest

from encoder.errors import EncodeFailed, EncodeStalled, LimitExceeded, MediaError, StorageFull
from encoder.process import Limits, Process, run_to_end

PATIENCE_S = 20.0
SOON = threading.Event()  # never set: waits without being a busy loop


class Script(Protocol):
    def __call__(self, *lines: str) -> list[str]: ...


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A program of a few lines of shell; `$D` is its folder."""

    def write(*lines: str) -> list[str]:
        path = tmp_path / "program"
        path.write_text("\n".join(["#!/bin/sh", f"D={tmp_path}", *lines, ""]))
        path.chmod(0o755)
        return [str(path)]

    return write


def run(argv: list[str], limits: Limits | None = None) -> Process:
    """To its end, however that is."""
    with Process(argv, limits or Limits()) as process:
        while not process.wait(0.05):
            pass
        return process


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited too long"
        SOON.wait(0.02)


def test_what_it_says_of_its_progress_is_kept(script: Script) -> None:
    process = run(
        script("echo frame=48", "echo out_time_us=2000000", "echo speed=3.25x", "echo progress=end")
    )
    progress = process.progress
    assert (progress.frame, progress.out_time_s, progress.speed) == (48, 2.0, 3.25)


def test_progress_before_the_first_frame_is_no_error(script: Script) -> None:
    progress = run(script("echo frame=N/A", "echo out_time_us=N/A", "echo speed=N/A")).progress
    assert (progress.frame, progress.out_time_s, progress.speed) == (0, 0.0, None)


def test_its_last_lines_are_kept_for_whoever_has_to_understand_a_failure(script: Script) -> None:
    tail = run_to_end(script("i=0", "while [ $i -lt 100 ]; do echo line $i >&2; i=$((i+1)); done"), Limits())
    assert tail.splitlines()[0] == "line 40"
    assert tail.splitlines()[-1] == "line 99"


def test_a_silent_program_is_killed_with_everything_it_started(script: Script, tmp_path: Path) -> None:
    argv = script("sleep 600 &", "echo $! > $D/child", "echo $$ > $D/self", "wait")
    with pytest.raises(EncodeStalled, match="no progress"):
        run(argv, Limits(stall_s=0.3))
    pids = [pid_in(tmp_path / name) for name in ("self", "child")]
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_program_that_repeats_itself_makes_no_progress(script: Script) -> None:
    with pytest.raises(EncodeStalled):
        run(script("while :; do echo frame=7; echo out_time_us=1000; sleep 0.05; done"), Limits(stall_s=0.4))


def test_a_program_that_moves_is_left_alone(script: Script) -> None:
    argv = script("i=0", "while [ $i -lt 15 ]; do i=$((i+1)); echo frame=$i; sleep 0.05; done")
    assert run(argv, Limits(stall_s=0.5)).progress.frame == 15


def test_output_that_grows_counts_as_progress(script: Script) -> None:
    ticks = 0
    with Process(script("sleep 1"), Limits(stall_s=0.3)) as process:
        while not process.wait(0.1):
            process.moved()
            ticks += 1
    assert ticks > 3


def test_a_program_that_takes_too_long_is_ended_however_busy_it_is(script: Script) -> None:
    argv = script("i=0", "while :; do i=$((i+1)); echo frame=$i; sleep 0.02; done")
    with pytest.raises(LimitExceeded):
        run(argv, Limits(wall_s=0.4))


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("write: No space left on device", StorageFull, "The disk is full"),
        ("write: Disk quota exceeded", StorageFull, "The disk is full"),
        ("Invalid data found when processing input", EncodeFailed, "could not read this file"),
        ("Cannot allocate memory", EncodeFailed, "ran out of memory"),
        ("something new", EncodeFailed, "stopped with an error"),
    ],
)
def test_a_failure_says_why(script: Script, words: str, error: type[MediaError], message: str) -> None:
    with pytest.raises(error, match=message) as failed:
        run(script(f"echo '{words}' >&2", "exit 1"))
    assert words in failed.value.detail
    assert "/" not in failed.value.public_message


def test_a_program_that_is_killed_says_by_what(script: Script) -> None:
    with pytest.raises(EncodeFailed, match="signal 9"):
        run(script("kill -9 $$"))


def test_a_file_that_grows_too_large_ends_the_program(script: Script) -> None:
    with pytest.raises(LimitExceeded):
        run(script("exec head -c 1000000 /dev/zero > $D/large"), Limits(file_bytes=4096))


def test_a_program_that_fills_its_folder_is_ended(script: Script, tmp_path: Path) -> None:
    """Many small files, some of which the caller has moved away."""
    folder = tmp_path / "out"
    folder.mkdir()
    endless = script(
        "n=0", "while :; do n=$((n+1)); head -c 20000 /dev/zero > $n; echo frame=$n; sleep 0.01; done"
    )
    with Process(endless, Limits(output_bytes=1 << 20), folder) as process:
        process.taken_bytes = 900_000
        with pytest.raises(LimitExceeded, match="wrote more than the 1 MiB"):
            wait_until(lambda: process.wait(0.05))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 60 << 20


def test_a_program_that_makes_more_pictures_than_wanted_is_ended(script: Script) -> None:
    endless = script("n=0", "while :; do n=$((n+1)); echo frame=$n; sleep 0.01; done")
    with pytest.raises(LimitExceeded, match="more than the 25 pictures"):
        run(endless, Limits(frames=25))


def test_a_program_that_burns_too_much_processor_time_is_ended(script: Script) -> None:
    with pytest.raises(LimitExceeded):
        run(script("while :; do :; done"), Limits(cpu_s=1))


def test_a_program_that_ignores_a_polite_request_is_killed(script: Script, tmp_path: Path) -> None:
    argv = script("trap '' TERM", "echo $$ > $D/self", "while :; do sleep 0.05; done")
    with Process(argv, Limits()):
        pid = pid_in(tmp_path / "self")
    assert not is_alive(pid)


def test_a_program_may_put_its_things_in_order_when_asked_to_stop(script: Script, tmp_path: Path) -> None:
    argv = script(
        "trap 'echo tidy > $D/tidy; exit 0' TERM", "echo $$ > $D/self", "while :; do sleep 0.05; done"
    )
    with Process(argv, Limits()) as process:
        pid_in(tmp_path / "self")
        process.stop()
        process.stop()
        assert process.wait(1) is True
    assert (tmp_path / "tidy").exists()


def test_an_error_in_the_caller_ends_the_program_too(script: Script, tmp_path: Path) -> None:
    def stumble() -> None:
        with Process(script("echo $$ > $D/self", "exec sleep 600"), Limits()):
            assert is_alive(pid_in(tmp_path / "self"))
            raise KeyError("the caller stumbled")

    with pytest.raises(KeyError):
        stumble()
    assert not is_alive(pid_in(tmp_path / "self"))


def test_a_program_does_not_outlive_a_killed_worker(script: Script, tmp_path: Path) -> None:
    argv = script("echo $$ > $D/self", "exec sleep 600")
    code = (
        "from encoder.process import Limits, Process\n"
        f"with Process({argv!r}, Limits()) as process:\n"
        "    while not process.wait(1): pass\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    pid = pid_in(tmp_path / "self")
    assert is_alive(pid)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not is_alive(pid))


def test_nothing_of_ours_leaks_into_the_program(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLOG_ADMIN_API_SECRET", "hunter2")
    run(script("env > $D/env"))
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {
        "PATH",
        "LD_LIBRARY_PATH",
        "TMPDIR",
        "LANG",
        "CUDA_DEVICE_ORDER",
        "LC_ALL",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
        "LC_CTYPE",
    }


def test_it_runs_as_politely_as_asked(script: Script, tmp_path: Path) -> None:
    run(script("cut -d' ' -f19 /proc/self/stat > $D/nice"), Limits(nice=7))
    assert int((tmp_path / "nice").read_text()) == os.nice(0) + 7


def test_a_missing_program_is_a_failure_and_no_hang(tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed):
        run([str(tmp_path / "no-such-ffmpeg")])


# --- waiting that is not its fault ---------------------------------------------------------------------------


def test_a_paused_program_stands_still_and_no_clock_counts_it(script: Script, tmp_path: Path) -> None:
    argv = script("trap 'exit 0' TERM", "n=0", "while :; do n=$((n+1)); echo $n > $D/n; echo frame=$n; done")
    counted = tmp_path / "n"
    with Process(argv, Limits(stall_s=0.4, wall_s=1.0)) as process:
        wait_until(counted.exists)
        process.pause()
        assert not process.wait(0.1)
        before = counted.read_text()
        for _ in range(15):
            assert not process.wait(0.1)  # longer than either limit
        assert counted.read_text() == before
        process.resume()
        wait_until(lambda: counted.read_text() != before)


def test_a_paused_program_still_ends_when_it_is_asked_to(script: Script) -> None:
    with Process(
        script("trap 'echo bye >&2; exit 0' TERM", "while :; do sleep 0.02; done"), Limits()
    ) as process:
        SOON.wait(0.3)
        process.pause()
    assert "bye" in process.stderr_tail


def test_a_program_that_waits_for_others_is_excused_until_they_are_there(script: Script) -> None:
    limits = Limits(stall_s=0.4, wall_s=1.0)
    with Process(script("sleep 30"), limits) as process:
        for _ in range(15):
            assert not process.wait(0.1)
            process.excuse()
        with pytest.raises(EncodeStalled):
            wait_until(lambda: process.wait(0.1))
