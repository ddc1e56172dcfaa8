/** The system's own media keys and lock screen. */

export function shareWithSystem({ title, poster, acts, video, durationS }) {
  const session = navigator.mediaSession;
  if (!session || !window.MediaMetadata) return { update() {} };
  const artwork = poster ? [{ src: new URL(poster, location.href).href }] : [];
  session.metadata = new MediaMetadata({ title, artwork });
  const handlers = {
    play: acts.play, pause: acts.pause,
    seekbackward: (details) => acts.skip(-(details.seekOffset || 10)),
    seekforward: (details) => acts.skip(details.seekOffset || 10),
    seekto: (details) => acts.seek(details.seekTime),
  };
  for (const [name, act] of Object.entries(handlers)) {
    try {
      session.setActionHandler(name, act);
    } catch {
      // This browser does not know the action; the others still work.
    }
  }
  return {
    update() {
      session.playbackState = video.paused ? "paused" : "playing";
      const duration = durationS();
      if (duration > 0) session.setPositionState?.({ duration, playbackRate: video.playbackRate, position: Math.min(video.currentTime, duration) });
    },
  };
}
