"""`python -m jobs work`: a remote worker on a host that has neither Flask nor a database.

Settings are the VLOG_* variables that docs/workers.md lists. The key comes from VLOG_WORKER_API_KEY or from the file
that VLOG_WORKER_API_KEY_FILE names, never from the command line, where everybody on the host could read it.
"""

from __future__ import annotations

import argparse
import sys

from . import bootstrap


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jobs", description="Work for a VLog site on another host."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    work = commands.add_parser("work", help="take jobs until stopped; the segment in hand is finished first")
    work.add_argument("--api", metavar="URL", help="the worker API of the site; default: VLOG_WORKER_API_URL")
    options = parser.parse_args(argv)
    sys.exit(bootstrap.work_for(options.api))


if __name__ == "__main__":
    main()
