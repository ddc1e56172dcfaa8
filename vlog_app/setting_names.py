"""Names of VLOG_* variables that are known but not settings of this version, and what to say about them."""

import difflib
from collections.abc import Sequence

# Names that existing installations set: accepted with one notice each, so that their files go on working.
RESERVED: tuple[str, ...] = tuple(
    f"VLOG_{name}"
    for name in """
    ARCHIVE_SUBDIR ARCHIVE_RETENTION_DAYS CHECKPOINT_INTERVAL JOB_STALE_TIMEOUT CLEANUP_PARTIAL_ON_FAILURE
    KEEP_COMPLETED_QUALITIES CLEANUP_SOURCE_ON_PERMANENT_FAILURE WHISPER_MODEL TRANSCRIPTION_ENABLED
    TRANSCRIPTION_LANGUAGE TRANSCRIPTION_ON_UPLOAD TRANSCRIPTION_COMPUTE_TYPE TRANSCRIPTION_TIMEOUT
    AUDIO_EXTRACTION_TIMEOUT HWACCEL_FALLBACK_TO_CPU
    WORKER_USE_FILESYSTEM_WATCHER
    WORKER_FALLBACK_POLL_INTERVAL WORKER_DEBOUNCE_DELAY
    PROGRESS_UPDATE_INTERVAL UPLOAD_CHUNK_SIZE THUMBNAIL_WIDTH
    CORS_ORIGINS ADMIN_CORS_ORIGINS
    RATE_LIMIT_PUBLIC_VIDEOS_LIST RATE_LIMIT_PUBLIC_ANALYTICS ANALYTICS_CACHE_ENABLED ANALYTICS_CACHE_TTL
    ANALYTICS_CACHE_STORAGE_URL ANALYTICS_CLIENT_CACHE_MAX_AGE AUDIT_LOG_ENABLED
    AUDIT_LOG_PATH AUDIT_LOG_LEVEL ERROR_SUMMARY_MAX_LENGTH ERROR_DETAIL_MAX_LENGTH ERROR_LOG_MAX_LENGTH
    ALERT_WEBHOOK_URL ALERT_WEBHOOK_TIMEOUT ALERT_RATE_LIMIT_SECONDS WATERMARK_ENABLED WATERMARK_TYPE
    WATERMARK_IMAGE WATERMARK_TEXT WATERMARK_TEXT_SIZE WATERMARK_TEXT_COLOR WATERMARK_POSITION
    WATERMARK_OPACITY WATERMARK_PADDING WATERMARK_MAX_WIDTH_PERCENT DOWNLOAD_TIMEOUT
    WEBHOOK_SECRET METRICS_TOKEN
    """.split()
)

RETIRED: dict[str, str] = {
    f"VLOG_REDIS_{name}": "RQ replaced Redis Streams"
    for name in ("STREAM_MAX_LEN", "CONSUMER_GROUP", "CONSUMER_BLOCK_MS", "PENDING_TIMEOUT_MS")
}

# Read by ./run, ./test and the test suite, never by the application.
OTHER_READERS: frozenset[str] = frozenset({"VLOG_PYTHON", "VLOG_CHROMIUM", "VLOG_TEST_POSTGRES_URL"})


def is_read(name: str, known: Sequence[str]) -> bool:
    """`known`: the variables that are settings of this version."""
    return name in known or name.removesuffix("_FILE") in known or name in OTHER_READERS


def notice(name: str, known: Sequence[str]) -> str:
    if name in RETIRED:
        return f"{name} is no longer used: {RETIRED[name]}."
    if name in RESERVED:
        return f"{name} is known but this version does not use it yet."
    nearest = difflib.get_close_matches(name, (*known, *RESERVED), n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return f"{name} is not a setting of VLog and was ignored{hint}"
