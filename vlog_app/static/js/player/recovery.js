/** What happens when a load fails for good: wait and knock again, start anew, or say that it is over. */

const BACKOFF_S = [2, 4, 8, 15, 30];
const MEDIA_FAULT_PAUSE_MS = 10000; // two decoder faults within this are final

export class Recovery {
  constructor(engine) {
    this.engine = engine;
    this.fault = null; // {kind: "offline", tryAt} or {kind: "failed", reason}
    this.tries = 0;
    window.addEventListener("online", () => this.fault?.kind === "offline" && this.tryNow());
  }

  onError(data) {
    if (!data.fatal) return;
    const { ErrorTypes } = window.Hls;
    if (data.type !== ErrorTypes.NETWORK_ERROR) return this.onMediaFault();
    const code = data.response?.code || 0;
    if (this.engine.readiness.encoding && !this.engine.names.length) return this.waitForPlaylist();
    if (code >= 400 && code < 500) return this.onGone(code);
    this.goOffline();
  }

  /** Asked a moment too early: the master is not written yet. */
  waitForPlaylist() {
    queueMicrotask(() => this.engine.unload()); // not from inside its own event
  }

  onMediaFault() {
    const now = performance.now();
    if (now - (this.mediaFaultAt ?? -Infinity) < MEDIA_FAULT_PAUSE_MS) return this.fail("media");
    this.mediaFaultAt = now;
    this.engine.hls.recoverMediaError();
  }

  /** A file that was there is gone: perhaps a newer generation took its place. */
  async onGone(code) {
    await this.engine.readiness.poll();
    if (this.engine.generation === this.engine.readiness.facts.generation) this.fail("gone", code);
  }

  fail(reason, code) {
    this.fault = { kind: "failed", reason, code };
    this.engine.changed();
  }

  goOffline() {
    const wait_s = BACKOFF_S[Math.min(this.tries, BACKOFF_S.length - 1)];
    this.tries += 1;
    this.fault = { kind: "offline", tryAt: Date.now() + wait_s * 1000 };
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.tryNow(), wait_s * 1000);
    this.engine.changed();
  }

  /** Knocks with the small progress request first, and loads on only when that answers. */
  async tryNow() {
    clearTimeout(this.retryTimer);
    await this.engine.readiness.poll();
    if (!this.engine.readiness.reachable || this.engine.readiness.misses) return this.goOffline();
    this.fault = null;
    if (this.engine.names.length) this.engine.restart();
    else this.engine.load(this.engine.position);
    this.engine.changed();
  }

  /** After a fault that ended playback: everything anew, from the same place. */
  retryFromStart() {
    this.fault = null;
    this.mediaFaultAt = undefined;
    this.engine.reload();
  }

  /** Something arrived: whatever was wrong is over. */
  onData() {
    if (this.fault?.kind === "offline") this.fault = null;
    this.tries = 0;
    clearTimeout(this.retryTimer);
    this.engine.changed();
  }
}
