"""Settings of the work: encoding, the queue, workers, Redis."""

from __future__ import annotations

from typing import Literal

from .setting_site import SiteSettings
from .setting_types import (
    FOLDER_NAME,
    HTTP_URL,
    AbsolutePath,
    HardwareKind,
    Preset,
    QueueMode,
    api_processes,
    local_worker_api,
    temporary_folder,
)
from .setting_words import option


class WorkSettings(SiteSettings):
    """The second part of config.Settings."""

    ffmpeg: str = option(
        "", "The ffmpeg to use; empty looks on PATH, then takes the bundled one.", allowed="path of a program"
    )
    x264_preset: Preset = option("veryfast", "How much time x264 spends on each frame.")
    hwaccel_type: HardwareKind = option(
        "auto", "Which GPUs are looked for: any, NVIDIA's, those with VAAPI (Intel, AMD), or none."
    )
    hwaccel_vaapi_device: str = option(
        "",
        "The render node to use; empty tries each.",
        allowed="a path such as /dev/dri/renderD128",
        pattern=r"^(/dev/dri/renderD\d+)?$",
    )
    hwaccel_max_sessions: int = option(
        0, "How many encoders one GPU may run at once; 0 asks its driver.", ge=0, le=100
    )
    parallel_qualities_auto: bool = option(
        True,
        "How many rungs one ffmpeg makes is left to the device: a CPU all with one decode, a GPU up to three, "
        "one fewer than it has sessions.",
    )
    parallel_qualities: int = option(
        1,
        "Rungs that one ffmpeg makes when it is not left to the device; each group decodes once.",
        ge=1,
        le=6,
    )
    streaming_format: Literal["hls_ts", "cmaf"] = option(
        "hls_ts",
        "Container of H.264 films: MPEG-TS, or CMAF (fragmented MP4, with a DASH manifest beside HLS).",
    )
    hwaccel_preferred_codec: Literal["h264", "hevc", "av1"] = option(
        "h264", "Codec of films. HEVC and AV1 always come as CMAF, and need fewer bytes for the same picture."
    )
    h264_fallback: bool = option(
        True, "With HEVC or AV1: a second ladder in H.264, for players that do not have the newer codec."
    )
    hls_segment_duration: int = option(6, "Length of a segment.", unit="seconds", ge=1, le=60)
    split_seconds: int = option(
        60,
        "Length of the pieces a long video is cut into for several workers; 0 is never.",
        unit="seconds",
        ge=0,
    )
    old_files_kept: int = option(
        600,
        "How long files stay after a film was encoded again, beyond its length, for those who watch it.",
        unit="seconds",
        ge=0,
    )
    ffmpeg_timeout_base_multiplier: float = option(
        2.0, "Longest run of ffmpeg as a multiple of the length it encodes.", ge=0.1
    )
    ffmpeg_timeout_minimum: int = option(
        300, "No run of ffmpeg is ended sooner than this.", unit="seconds", ge=1
    )
    ffmpeg_timeout_maximum: int = option(
        14400, "No run of ffmpeg lasts longer than this.", unit="seconds", ge=60
    )
    no_progress_timeout: int = option(
        90, "ffmpeg is ended after this long without output.", unit="seconds", ge=5
    )

    max_retry_attempts: int = option(
        3, "Attempts before a job fails for good; lost leases count.", ge=1, le=100
    )
    retry_backoff_base: int = option(
        60, "First wait before a retry; doubles each time.", unit="seconds", ge=0
    )
    worker_claim_duration: float = option(
        2, "How long a lease lasts when nothing renews it.", unit="minutes", gt=0, le=1440
    )
    quarantine_after: int = option(
        3, "Videos a worker may fail on in a row before it is paused.", ge=1, le=100
    )
    gpu_head_start: float = option(
        5,
        "How long a worker without a GPU leaves a piece of a film to an idle GPU; 0 is not at all.",
        unit="seconds",
        ge=0,
        le=3600,
    )
    worker_encode_slots: int = option(
        1,
        "Pieces of films one worker encodes at once; more than 1 pays on a GPU or on many cores.",
        ge=1,
        le=16,
    )
    worker_heartbeat_interval: float = option(
        30, "Time between two signs of life of a worker; leases are renewed apart.", unit="seconds", gt=0
    )
    worker_poll_interval: float = option(10, "Longest wait between two looks for work.", unit="seconds", gt=0)
    worker_offline_threshold: float = option(
        5, "A worker that is silent this long is shown as offline.", unit="minutes", gt=0, le=1440
    )
    worker_api_url: str = option(
        local_worker_api,
        "Worker API that remote workers and the command line talk to.",
        shown="http://localhost:9002",
        allowed="an http or https address",
        pattern=HTTP_URL,
    )
    worker_api_processes: int = option(
        api_processes,
        "Processes of the worker API; empty is 2 with PostgreSQL and 1 with SQLite, which has one lock for writes.",
        shown="empty",
        ge=1,
        le=64,
    )
    worker_api_key: str | None = option(
        None,
        "Key of a remote worker, as shown when it was registered.",
        allowed="a key that begins with vlw_",
        shown="empty",
        secret=True,
    )
    worker_work_dir: AbsolutePath = option(
        temporary_folder,
        "Scratch of a remote worker: what it has fetched of sources, and segments that are not handed in yet.",
        allowed="a folder",
        shown="vlog-worker in the temporary folder",
    )
    worker_cache_size: int = option(
        20 * 1024**3,
        "What a remote worker has fetched of sources is kept for its next job while it takes no more than this.",
        unit="bytes",
        ge=0,
    )
    worker_health_port: int = option(
        0, "Port on loopback where a remote worker says how it is; 0 is none.", ge=0, le=65535
    )
    max_hls_archive_files: int = option(50_000, "Most files in one archive that a worker uploads.", ge=1)
    max_hls_archive_size: int = option(
        200 * 1024**3, "Largest archive that a worker may upload, unpacked.", unit="bytes", ge=1
    )
    max_hls_single_file_size: int = option(
        500 * 1024**2, "Largest file that a worker may hand in.", unit="bytes", ge=1
    )
    max_thumbnail_size: int = option(10 * 1024**2, "Largest picture that is taken in.", unit="bytes", ge=1)
    stale_job_check_interval: int = option(
        60, "Time between sweeps for lost leases and forgotten uploads.", unit="seconds", ge=1
    )

    job_queue_mode: QueueMode = option(
        "database",
        "How workers hear of work: by looking into the database; by Redis; or by Redis with the database as a "
        "fallback.",
    )
    redis_url: str = option(
        "",
        "Redis for messages, live pages and shared limits; empty is off, embedded starts the bundled server.",
        allowed="a redis://, rediss:// or unix:// address, or embedded",
        pattern=r"^$|^embedded$|^rediss?://.|^unix://.",
    )
    redis_pool_size: int = option(10, "Connections to Redis per process.", ge=1, le=1000)
    redis_socket_timeout: float = option(
        0.5, "Longest wait for an answer of Redis.", unit="seconds", gt=0, le=60
    )
    redis_socket_connect_timeout: float = option(
        0.5, "Longest wait for a connection to Redis.", unit="seconds", gt=0, le=60
    )
    redis_health_check_interval: float = option(
        30, "A connection that was idle this long is tested before it is used.", unit="seconds", gt=0
    )
    redis_pubsub_prefix: str = option(
        "vlog", "First part of the name of the channel for live pages.", allowed="a name", pattern=FOLDER_NAME
    )
