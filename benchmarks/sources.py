"""Films for measuring: moving detail and grain, so that an encoder has work to do."""

from __future__ import annotations

import subprocess
from pathlib import Path


def camera_like(ffmpeg: str, folder: Path, seconds: float, height: int) -> Path:
    """H.264 and AAC in MP4 as a camera makes it: 13.7 Mb/s at 1080p30, with CABAC and deblocking, which cost a decoder
    most.
    """
    path = folder / f"camera-{height}-{seconds:.0f}.mp4"
    if path.exists():
        return path
    size = f"{height * 8 // 9 * 2}x{height}"
    rate = 13_700_000 * height * height // (1080 * 1080)
    # Small grained tiles, enlarged and turned: edges everywhere, and all of them move.
    picture = (
        f"testsrc2=s=640x360:r=30:d={seconds},rotate=t/9,noise=alls=18:allf=t,scale={size.replace('x', ':')}"
    )
    argv = [
        *(ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture),
        *("-f", "lavfi", "-i", f"anoisesrc=c=pink:a=0.3:r=48000:d={seconds}"),
        *("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-bf", "0", "-pix_fmt", "yuv420p"),
        *("-b:v", str(rate), "-maxrate", str(rate * 3 // 2), "-bufsize", str(rate * 2)),
        *("-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(path)),
    ]
    subprocess.run(argv, check=True)
    return path


def fit_source(ffmpeg: str, folder: Path, seconds: float, height: int) -> Path:
    """The same film as a careful encoder would have made it: below the rung's rate, a key frame every two seconds."""
    path = folder / f"fit-{height}-{seconds:.0f}.mp4"
    if path.exists():
        return path
    camera = camera_like(ffmpeg, folder, seconds, height)
    rate = {2160: 13_000_000, 1440: 7_000_000, 1080: 4_300_000}.get(height, 2_000_000)
    argv = [
        *(ffmpeg, "-nostdin", "-v", "error", "-i", str(camera), "-c:a", "copy"),
        *("-c:v", "libx264", "-preset", "veryfast", "-b:v", str(rate), "-maxrate", str(rate)),
        *("-bufsize", str(rate * 2), "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"),
        *("-movflags", "+faststart", str(path)),
    ]
    subprocess.run(argv, check=True)
    return path
