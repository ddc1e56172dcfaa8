"""A supervisor over small programs, started by test_supervisor.py: `python -m tests.cli.supervised SCENE FOLDER`."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from vlog_app.supervisor import Program, Supervisor


def note(folder: Path, name: str, text: object = "") -> None:
    draft = folder / f".{name}"
    draft.write_text(str(text))
    draft.replace(folder / name)


def idle(folder: Path) -> None:
    """Runs until asked to end."""
    note(folder, "idle.pid", os.getpid())
    signal.sigwait({signal.SIGTERM})


def landing(folder: Path, seconds: float) -> None:
    """Has something to finish when it is asked to end."""
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    note(folder, "landing.pid", os.getpid())
    while not asked:
        time.sleep(0.01)
    time.sleep(seconds)
    note(folder, "landed")


def fall(folder: Path) -> None:
    """Falls over each time."""
    seen = len(list(folder.glob("fall-*")))
    note(folder, f"fall-{seen}", time.monotonic())
    raise RuntimeError("fell over")


def parent(folder: Path) -> None:
    """Ends politely and leaves a child behind."""
    child = subprocess.Popen(["sleep", "300"])
    note(folder, "orphan.pid", child.pid)
    signal.sigwait({signal.SIGTERM})


def programs(scene: str, folder: Path) -> list[Program]:
    scenes = {
        "polite": [Program("landing", partial(landing, folder, 0.5), 10, "the segment")],
        "stubborn": [Program("landing", partial(landing, folder, 300), 300, "the segment")],
        "late": [Program("landing", partial(landing, folder, 300), 0.3, "the segment")],
        "falling": [Program("fall", partial(fall, folder), 1)],
        "failing": [Program("fall", partial(fall, folder), 1, must_start=True)],
        "orphan": [Program("parent", partial(parent, folder), 5)],
    }
    return [Program("idle", partial(idle, folder), 5), *scenes[scene]]


def main(scene: str, folder: Path) -> int:
    started = {"failing": lambda: False, "falling": lambda: True}
    is_ready = started.get(scene, lambda: len(list(folder.glob("*.pid"))) == 2)
    return Supervisor(
        programs(scene, folder), is_ready=is_ready, on_ready=lambda: note(folder, "ready")
    ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
