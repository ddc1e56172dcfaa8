"""The supervisor: what it starts ends with it, what falls is started again, what is in flight lands."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def make(scene: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-m", "tests.cli.supervised", scene, str(tmp_path)]
        process = subprocess.Popen(
            argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield make
    for process in running:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def exists(path: Path) -> Callable[[], bool]:
    return path.exists


def pid_in(path: Path) -> int:
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_one_signal_lets_the_work_in_flight_land(start: Start, tmp_path: Path) -> None:
    process = start("polite")
    wait_for(exists(tmp_path / "ready"))
    pids = [pid_in(tmp_path / name) for name in ("idle.pid", "landing.pid")]
    process.send_signal(signal.SIGINT)
    _out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert (tmp_path / "landed").exists()
    assert "Ctrl-C again ends everything at once" in said
    assert not any(is_alive(pid) for pid in pids)


def test_a_second_signal_does_not_wait(start: Start, tmp_path: Path) -> None:
    process = start("stubborn")
    wait_for(exists(tmp_path / "ready"))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert not (tmp_path / "landed").exists()
    assert not is_alive(pid_in(tmp_path / "landing.pid"))


def test_grace_is_limited(start: Start, tmp_path: Path) -> None:
    process = start("late")
    wait_for(exists(tmp_path / "ready"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert not is_alive(pid_in(tmp_path / "landing.pid"))


def test_killing_the_supervisor_ends_its_children(start: Start, tmp_path: Path) -> None:
    process = start("polite")
    wait_for(exists(tmp_path / "ready"))
    pids = [pid_in(tmp_path / name) for name in ("idle.pid", "landing.pid")]
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert (tmp_path / "landed").exists(), "asked to end, not cut off"


def test_what_falls_is_started_again_after_growing_waits(start: Start, tmp_path: Path) -> None:
    process = start("falling")
    wait_for(exists(tmp_path / "fall-2"))
    process.send_signal(signal.SIGINT)
    _out, said = process.communicate(timeout=PATIENCE_S)
    times = [float((tmp_path / f"fall-{number}").read_text()) for number in range(3)]
    assert 0.4 < times[1] - times[0] < times[2] - times[1]
    assert "fall | RuntimeError: fell over" in said
    assert "fall ended (exit status 1); starting it again in 0.5 s." in said


def test_a_start_that_fails_ends_everything_with_a_sentence(start: Start, tmp_path: Path) -> None:
    process = start("failing")
    _out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "VLog did not start: fall ended at once" in said
    assert not (tmp_path / "ready").exists()


def test_what_a_program_left_behind_goes_with_it(start: Start, tmp_path: Path) -> None:
    process = start("orphan")
    wait_for(exists(tmp_path / "ready"))
    orphan = pid_in(tmp_path / "orphan.pid")
    assert is_alive(orphan)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not is_alive(orphan))
