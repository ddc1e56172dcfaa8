"""Facts about an uploaded file, read in a limited child process: a hostile file costs a child, never the server."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from encoder.errors import SourceUnreadable
from encoder.model import Source
from encoder.process import Limits, clean_environment, launch_argv
from encoder.sniff import NOTHING_KEPT

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 120.0  # by the clock: a machine under load is slow, and its file is not to blame
CHILD_LIMITS = Limits(cpu_s=20, memory_bytes=2 << 30, file_bytes=0)
MAX_OPEN_FILES = 64
MAX_ANSWER_BYTES = 1 << 20
PROJECT_ROOT = Path(__file__).resolve().parent.parent


def probe(path: Path, timeout_s: float = PROBE_TIMEOUT_S) -> Source:
    """Raises SourceUnreadable when the file is not a film that can be encoded."""
    answer = _ask_child(path.absolute(), timeout_s)
    if "error" in answer:
        raise SourceUnreadable(answer["error"]["message"], code=answer["error"]["code"])
    return Source.from_json(answer["source"])


def _ask_child(path: Path, timeout_s: float) -> dict[str, dict[str, str]]:
    argv = [sys.executable, "-s", "-m", "encoder.probe", str(path)]
    child = subprocess.Popen(
        launch_argv(argv, CHILD_LIMITS),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT_ROOT,
        env=clean_environment(),
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise _gave_up("probe_timeout", "It took too long to find out what is in this file.") from None
    return _parse(out, err, child.returncode)


def _parse(out: bytes, err: bytes, status: int) -> dict[str, dict[str, str]]:
    if status == 0 and len(out) <= MAX_ANSWER_BYTES:
        answer: dict[str, dict[str, str]] = json.loads(out)
        return answer
    tail = err[-2000:].decode(errors="replace")
    logger.warning("probe failed", extra={"action": "probe_failed", "status": status, "stderr": tail})
    if "ModuleNotFoundError" in tail or "ImportError" in tail:
        raise RuntimeError(f"the probe cannot start: {tail}")
    raise _gave_up("unreadable_media", "The inside of this file is damaged: reading it failed.")


def _gave_up(code: str, sentence: str) -> SourceUnreadable:
    return SourceUnreadable(f"{sentence} Export it again. {NOTHING_KEPT}", code=code)


def main() -> None:
    """The child: one file name in, one JSON object out."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    import av.logging

    from encoder.facts import read_facts

    av.logging.set_level(None)
    try:
        answer = {"source": read_facts(Path(sys.argv[1])).to_json()}
    except SourceUnreadable as error:
        answer = {"error": {"code": error.code, "message": error.public_message}}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
