"""Asking a limited child process about strangers' media: what it opens may cost it its life, never ours."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

from .process import Limits, clean_environment, launch_argv

logger = logging.getLogger(__name__)

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def ask_child(module: str, question: object, limits: Limits, timeout_s: float) -> list[str]:
    """The lines that `python -m module` prints when it reads `question` as JSON; fewer when it dies on the way.

    Raises RuntimeError when the child cannot start at all.
    """
    argv = [sys.executable, "-s", "-m", module]
    try:
        child = subprocess.run(
            launch_argv(argv, limits),
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd=PROJECT_ROOT,
            env=clean_environment(),
        )
        out, err, status = child.stdout, child.stderr, child.returncode
    except subprocess.TimeoutExpired as late:
        out, err, status = late.stdout or b"", late.stderr or b"", -1
    if status:
        tail = err[-2000:].decode(errors="replace")
        logger.warning("a look into media failed", extra={"action": module, "status": status, "stderr": tail})
        if "ModuleNotFoundError" in tail or "ImportError" in tail:
            raise RuntimeError(f"{module} cannot start: {tail}")
    return [line for line in out.decode(errors="replace").splitlines(keepends=True) if line.endswith("\n")]
