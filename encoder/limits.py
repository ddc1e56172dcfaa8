"""The largest source that is taken on, and the codecs that may be opened. Beyond these a file is refused."""

from __future__ import annotations

MAX_DURATION_S = 20 * 3600.0  # as long as a plan may be, see plan.MAX_FRAMES
MAX_SIDE = 16_384  # pixels; H.264's own largest picture is 9,437,184 pixels, AV1 and HEVC go to 8192x4352
MAX_PIXELS = 8192 * 4608
MIN_SIDE = 2  # a picture with odd or single lines cannot be 4:2:0
MAX_FPS = 1000  # a container may claim any number; beyond this it is not a film
MAX_STREAMS = 128

VIDEO_CODECS = frozenset(
    "h264 hevc av1 vp8 vp9 mpeg4 msmpeg4v3 msmpeg4v2 mpeg2video mpeg1video prores dnxhd mjpeg theora dvvideo "
    "h263 h263p flv1 ffv1 libdav1d libvpx libvpx-vp9".split()
)
AUDIO_CODECS = frozenset(
    "aac aac_latm aac_fixed mp3 mp3float mp2 mp2float mp1 opus libopus vorbis flac ac3 eac3 dca alac truehd mlp "
    "pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_u8 pcm_s8 pcm_f32le pcm_f32be pcm_f64le "
    "pcm_alaw pcm_mulaw pcm_bluray pcm_dvd adpcm_ms adpcm_ima_wav adpcm_ima_qt wmav1 wmav2 amrnb amr_nb "
    "amr_wb amrwb gsm".split()
)
COVER_CODECS = frozenset("mjpeg png webp".split())  # opened for a poster alone
