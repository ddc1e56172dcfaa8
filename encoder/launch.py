"""Puts limits on itself, then becomes the program it was asked to run.

Run as `python -I -S launch.py LIMITS_JSON PROGRAM ARG...`. It exists because code between fork and exec of a
process with threads is not safe in Python, and because a media program must not outlive the worker that started it.
"""

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CPU_GRACE_S = 5  # SIGXCPU, which says why, comes first; at the hard limit the kernel just kills


def main() -> None:
    limits = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != limits["parent"]:
        sys.exit(1)  # the parent died before we asked to be told
    _limit(resource.RLIMIT_AS, limits["memory_bytes"])
    _limit(resource.RLIMIT_CPU, limits["cpu_s"], CPU_GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(limits["nice"])
    # Python ignores it and exec would pass that on: the program would only see a write fail, and we no limit.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  (an argument list, no shell)


def _limit(kind: int, value: int, grace: int = 0) -> None:
    """The soft limit is `value`; the hard one `grace` more."""
    _soft, hard = resource.getrlimit(kind)
    most = value + grace if hard == resource.RLIM_INFINITY else min(value + grace, hard)
    resource.setrlimit(kind, (min(value, most), most))


if __name__ == "__main__":
    main()
