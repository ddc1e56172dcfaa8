"""One film on one worker and on three: how much sooner it is ready.

    python -m benchmarks.spread [--seconds 600] [--height 360] [--workers 3] [--share 0.5]

Every worker is a real process that may use `share` of one core, held by a control group of the kernel, so that three
of them have three times the processor of one. Prints seconds from the upload to `ready`, and the ratio. The film is
checked by the conformance checker of the tests. Needs root, for the control groups.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import select

from benchmarks.options import encode_options
from benchmarks.sources import camera_like
from tests.conformance import check
from tests.conftest import dispose, migrate
from tests.faults.conftest import upload
from vlog_app import create_app
from vlog_app.config import Settings
from vlog_app.extensions import db
from vlog_app.ffmpeg import find_ffmpeg
from vlog_app.models import Attempt, Job

PERIOD_US = 100_000
GROUPS = Path("/sys/fs/cgroup")
PATIENCE_S = 3600.0


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.source or camera_like(find_ffmpeg().path, folder, options.seconds, options.height)
        alone_s, _ = measure(source, folder / "one", 1, options.share)
        together_s, attempts = measure(source, folder / "many", options.workers, options.share)
    print(f"{options.height}p, {options.seconds:.0f} s; workers with {options.share} of a core each")
    print(f"{'1 worker':>12}: {alone_s:8.1f} s")
    print(f"{f'{options.workers} workers':>12}: {together_s:8.1f} s, jobs by worker {attempts}")
    print(f"{'ratio':>12}: {together_s / alone_s:8.3f}")
    print(json.dumps({"alone_s": alone_s, "together_s": together_s, "workers": options.workers}))


def measure(source: Path, folder: Path, workers: int, share: float) -> tuple[float, dict[str, int]]:
    """Seconds until the film is ready, and how many jobs each worker did."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'vlog.db'}"
    migrate(url)
    app = create_app(Settings(storage_path=folder, database_url=url, storage_reserve_bytes=0), surface="cli")
    with ExitStack() as stack, app.app_context():
        for number in range(workers):
            stack.enter_context(_worker(folder, f"w{number}", share))
        time.sleep(5 / share)  # until all of them look at the queue
        video = upload(source, "film")
        began = time.monotonic()
        while (state := _state(video.id)) != "ready":
            if state == "failed" or time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f"the film is {state}")
            time.sleep(0.2)
        took_s = time.monotonic() - began
        findings = [str(each) for each in check(folder / "videos" / "film")]
        assert findings == [], findings
        done = select(Attempt.worker_name).join(Job).where(Attempt.outcome == "finished")
        names = list(db.session.scalars(done))
    dispose(app)
    return took_s, {name: names.count(name) for name in sorted(set(names))}


def _state(video_id: int) -> str:
    from vlog_app.models import Video

    db.session.rollback()
    return str(db.session.scalar(select(Video.state).where(Video.id == video_id)))


@contextmanager
def _worker(folder: Path, name: str, share: float) -> Iterator[None]:
    environment = os.environ | {"VLOG_STORAGE_PATH": str(folder), "VLOG_STORAGE_RESERVE_BYTES": "0"}
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "vlog", "worker", "run", "--name", name]
    with _share_of_a_core(f"vlog-{os.getpid()}-{name}", share) as group:
        process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
        (group / "cgroup.procs").write_text(str(process.pid))
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def _share_of_a_core(name: str, share: float) -> Iterator[Path]:
    """A control group, of the first or the second version of them."""
    is_old = (GROUPS / "cpu").is_dir()
    group = (GROUPS / "cpu" / name) if is_old else GROUPS / name
    group.mkdir()
    quota = int(PERIOD_US * share)
    if is_old:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    try:
        yield group
    finally:
        group.rmdir()


def _options() -> argparse.Namespace:
    parser = encode_options(__doc__, seconds=600)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.5)
    parser.set_defaults(height=360)
    return parser.parse_args()


if __name__ == "__main__":
    main()
