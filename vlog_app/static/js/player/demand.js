/** Asks the server to make a missing segment next, while somebody stands before it. */

const EVERY_MS = 3000;
const AHEAD_S = 12; // nearer than this, a missing segment is asked for by name

export class Demand {
  constructor(url, engine) {
    this.url = url;
    this.engine = engine;
    this.answer = null; // {segment, seconds}: how long the server thinks it takes, if it says
  }

  /** Once for each segment at once, then again every few seconds while it is still missing. */
  ask() {
    const near = this.engine.readiness.settled ? undefined : this.nearest();
    if (!near || (this.timer && this.asked === near.segment.index)) return;
    clearTimeout(this.timer);
    this.asked = near.segment.index;
    this.timer = setTimeout(() => { this.timer = null; this.ask(); }, EVERY_MS);
    this.send(near.segment.index);
  }

  nearest() {
    const at = this.engine.position;
    const near = [...this.engine.gate.held].filter(({ frag }) => frag.start - at < AHEAD_S && frag.end > at);
    return near.sort((a, b) => a.segment.index - b.segment.index)[0];
  }

  async send(segment) {
    try {
      const answer = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ segment }),
      });
      if (!answer.ok) return;
      this.answer = { segment, seconds: (await answer.json()).eta_s ?? null };
      this.engine.changed();
    } catch {
      // The progress poll notices a lost server; a lost demand is simply sent again.
    }
  }

  /** Seconds until this held load is there, or null when nobody knows. */
  secondsFor(load) {
    return load && this.answer?.segment === load.segment.index ? this.answer.seconds : null;
  }
}
