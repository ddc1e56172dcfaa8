/** What of the film exists already, asked from the progress address, and the rung that follows from it. */

const POLL_PLAYING_MS = 1000;
const POLL_PAUSED_MS = 2000;
const POLL_HIDDEN_MS = 5000; // only while a hidden tab plays on
const POLL_WORST_MS = 15000;
const SETTLED = new Set(["ready", "failed"]);

/**
 * Fires "change" after each answer and "reach" when the server goes silent or comes back.
 * `isPaused` is asked before each wait, so that a paused player polls at half the pace.
 */
export class Readiness extends EventTarget {
  constructor(url, { status, durationS, isPaused }) {
    super();
    this.url = url;
    this.isPaused = isPaused;
    this.reachable = true;
    this.misses = 0;
    this.facts = { status, duration_s: durationS, segment_s: 0, segments: 0, generation: 0, percent: 0, renditions: [] };
    this.heard = false;
    document.addEventListener("visibilitychange", () => document.hidden || this.heard && this.settled || this.poll());
  }

  get status() { return this.facts.status; }
  get settled() { return SETTLED.has(this.status); }
  get whole() { return this.status === "ready"; }
  get encoding() { return !this.settled; }
  get durationS() { return this.facts.duration_s || 0; }
  get segmentS() { return this.facts.segment_s || 0; }
  get rungs() { return this.facts.renditions.filter((rendition) => rendition.rung ?? rendition.kind === "video"); }
  get playable() { return this.whole || (this.facts.segments > 0 && this.rungs.some((rung) => rung.done > 0)); }
  get planned() { return this.whole || (this.facts.segments > 0 && this.rungs.length > 0); }

  async poll() {
    clearTimeout(this.timer);
    if (this.asking) return this.asking;
    this.asking = this.ask().finally(() => { this.asking = null; this.again(); });
    return this.asking;
  }

  async ask() {
    try {
      const answer = await fetch(this.url, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (!answer.ok) throw new Error(`progress answered ${answer.status}`);
      this.facts = { ...this.facts, ...(await answer.json()) };
      this.heard = true;
      this.misses = 0;
      this.reached(true);
      this.dispatchEvent(new Event("change"));
    } catch {
      this.misses += 1;
      if (this.misses > 1) this.reached(false); // one lost answer is weather
    }
  }

  reached(reachable) {
    if (this.reachable === reachable) return;
    this.reachable = reachable;
    this.dispatchEvent(new Event("reach"));
  }

  again() {
    clearTimeout(this.timer);
    if (this.settled && this.heard) return;
    if (document.hidden && this.isPaused()) return; // visibilitychange asks again
    const pace = document.hidden ? POLL_HIDDEN_MS : this.isPaused() ? POLL_PAUSED_MS : POLL_PLAYING_MS;
    this.timer = setTimeout(() => this.poll(), Math.min(POLL_WORST_MS, pace * 2 ** Math.min(this.misses, 4)));
  }

  /** Whether a segment of a rendition can be fetched; a rendition the server does not list is taken as there. */
  has(name, index) {
    if (this.whole) return true;
    const rendition = this.facts.renditions.find((one) => one.name === name);
    return !rendition || rendition.ready.some(([first, end]) => index >= first && index < end);
  }

  hasPicture(index) {
    return this.whole || this.rungs.some((rung) => this.has(rung.name, index));
  }

  /** Runs of film time in seconds that play on at least one rung, in order and merged. */
  get runs() {
    if (this.whole) return [[0, this.durationS]];
    return merge(this.rungs.flatMap((rung) => rung.ready)).map((run) => this.toSeconds(run));
  }

  /** Where the playable run around `time` ends; the first run's end when `time` is in no run. */
  edge(time) {
    const runs = this.runs;
    const around = runs.find(([start, end]) => time >= start - 0.1 && time <= end + 0.1);
    return (around || runs[0] || [0, 0])[1];
  }

  /** Where one rung's first run ends in seconds, or null when the rung is whole. */
  rungEdge(name) {
    const rung = this.rungs.find((one) => one.name === name);
    if (this.whole || !rung || rung.done >= rung.planned) return null;
    return rung.ready.length && rung.ready[0][0] === 0 ? this.toSeconds(rung.ready[0])[1] : 0;
  }

  toSeconds([first, end]) {
    return [first * this.segmentS, Math.min(end * this.segmentS, this.durationS)];
  }

  /**
   * The rung to load segment `index` on, as a place in `names` (lowest first).
   * At most `wish`; with `steady` a rung that also has the next segment is preferred. When nothing up to
   * `wish` is there, the lowest that is; when nothing at all is, 0: the server makes that rung first.
   */
  choose(names, wish, index, { steady }) {
    const here = names.map((name, place) => place).filter((place) => this.has(names[place], index));
    const lasting = here.filter((place) => index + 1 >= this.facts.segments || this.has(names[place], index + 1));
    for (const places of steady ? [lasting, here] : [here]) {
      const under = places.filter((place) => place <= wish);
      if (under.length) return Math.max(...under);
    }
    return here.length ? Math.min(...here) : 0;
  }
}

function merge(runs) {
  const merged = [];
  for (const [start, end] of [...runs].sort((a, b) => a[0] - b[0])) {
    const last = merged[merged.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged;
}
