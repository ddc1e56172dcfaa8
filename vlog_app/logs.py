"""Log lines of processes that are not web servers: a constant message, then the facts that came with it."""

from __future__ import annotations

import logging

FACTS = ("job_id", "video_id", "kind", "count")
FORMAT = "%(levelname)s %(message)s"


class FactsFormatter(logging.Formatter):
    """`job starts job_id=4 video_id=2 kind=encode`."""

    def format(self, record: logging.LogRecord) -> str:
        facts = (f"{name}={getattr(record, name)}" for name in FACTS if hasattr(record, name))
        return " ".join([super().format(record), *facts])


def log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(FactsFormatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("encoder.process").setLevel(
        logging.WARNING
    )  # its command line is long; DEBUG for a puzzle
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for every call of a remote worker
    logging.getLogger("alembic").setLevel(logging.WARNING)
