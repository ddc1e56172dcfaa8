/** hls.js under our rules: only segments that exist, the best rung that does, endless patience while it encodes. */
import { Demand } from "./demand.js";
import { quality } from "./format.js";
import { Gate, gatedLoader, readyAbr } from "./gate.js";
import { Recovery } from "./recovery.js";

const BUFFER_BEFORE_PLAY_S = 6; // a page that is only looked at costs one segment
const BUFFER_S = 30;
const BACK_BUFFER_S = 60;
const STARVED = 3; // HTMLMediaElement.HAVE_FUTURE_DATA: below it nothing plays
const REACH_S = 0.5; // playback stops this far before a missing segment at most
const STRAY_PAUSE_MS = 1000;
const BORDER_S = 0.1; // more than one AAC frame at any usual rate

const CODECS = { hevc: "HEVC", av1: "AV1" };

/** The rendition of a playlist: 720p.m3u8 or 720p/stream.m3u8. */
const nameOf = (url) => new URL(url, location.href).pathname.replace(/\/stream\.m3u8$/, "").split("/").pop().replace(/\.\w+$/, "");

/**
 * "720p" says its size itself, "720p-av1" its codec too, "192k" is a rate of sound; a rung named otherwise ("original")
 * gets its height beside it.
 */
function labelOf(name, height) {
  const [, size, codec] = /^(\d+[pk])(?:-(\w+))?$/.exec(name) || [];
  if (size) return codec ? `${size}, ${CODECS[codec] || codec}` : quality(size);
  return `${name[0].toUpperCase()}${name.slice(1)}, ${height}p`;
}

/** The language in the viewer's own words; tracks of one language are told apart by their name. */
function soundLabel({ lang, name }, tracks) {
  if (!lang) return name;
  const language = languageName(lang);
  return tracks.filter((track) => track.lang === lang).length > 1 ? `${language}, ${name}` : language;
}

function languageName(tag) {
  try {
    return new Intl.DisplayNames([navigator.language], { type: "language" }).of(tag) || tag;
  } catch {
    return tag; // no language this browser has heard of
  }
}

/** Fires "change" whenever anything a viewer could see is different. */
export class Engine extends EventTarget {
  constructor(video, { masterUrl, demandUrl, workerUrl, readiness }) {
    super();
    Object.assign(this, { video, masterUrl, demandUrl, workerUrl, readiness });
    this.choice = "auto";
    this.startAt = 0;
    this.strayedAt = -Infinity;
    this.gate = new Gate((name, index) => readiness.has(name, index), (load) => this.onHeld(load));
    this.demand = new Demand(demandUrl, this);
    this.recovery = new Recovery(this);
    readiness.addEventListener("change", () => this.onReadiness());
    for (const event of ["waiting", "seeking", "seeked", "playing", "loadeddata"]) {
      video.addEventListener(event, () => this.changed());
    }
    video.addEventListener("play", () => this.hls && this.setBuffer(BUFFER_S));
  }

  get native() { return !window.Hls?.isSupported(); }
  get loaded() { return Boolean(this.hls || this.nativeLoaded); }
  get position() { return this.video.readyState ? this.video.currentTime : this.startAt; }
  get names() { return this.hls ? this.hls.levels.map((level) => nameOf(level.uri)) : []; }
  get fault() { return this.recovery.fault; }
  get manual() { return this.choice !== "auto"; }

  /** Rungs to choose from, best first. */
  get rungs() {
    return this.names.map((name, place) => ({ name, label: labelOf(name, this.hls.levels[place].height) })).reverse();
  }

  get hasChoice() { return this.names.length > 1; }

  /** Sound tracks to choose from, in the order of the film. */
  get sounds() {
    const tracks = this.hls?.audioTracks || [];
    return tracks.map((track) => ({ id: track.id, label: soundLabel(track, tracks), chosen: track.id === this.hls.audioTrack }));
  }

  get sound() { return this.sounds.find((sound) => sound.chosen)?.label || ""; }

  setSound(id) {
    this.hls.audioTrack = id;
    this.changed();
  }

  /** The rung on the screen. */
  get playing() {
    const level = this.hls?.levels[this.hls.currentLevel];
    return level ? nameOf(level.uri) : "";
  }

  /** The load that playback stands still for because its segment is not made yet, or null. */
  get waitingFor() {
    if (this.video.readyState >= STARVED) return null;
    const at = this.position;
    const stops = ({ frag }) => frag && frag.start - REACH_S <= at && frag.end > at;
    return [...this.gate.held].find(stops) || null;
  }

  get frameRate() {
    return Number(this.hls?.levels[Math.max(0, this.hls.currentLevel)]?.attrs["FRAME-RATE"]) || 30;
  }

  load(startAt) {
    this.startAt = this.settle(startAt);
    this.generation = this.readiness.facts.generation;
    if (this.native) return this.loadNative(this.startAt);
    this.hls?.destroy();
    this.pictures = null;
    this.gate.held.clear();
    const hls = (this.hls = new window.Hls(this.config(this.startAt)));
    const { Events } = window.Hls;
    hls.on(Events.ERROR, (_, data) => this.recovery.onError(data));
    hls.on(Events.BUFFER_CREATED, (_, { tracks }) => { this.pictures = (tracks.video ?? tracks.audio)?.buffer; });
    hls.on(Events.BUFFER_FLUSHED, () => queueMicrotask(() => this.rerouteAll()));
    hls.on(Events.FRAG_BUFFERED, () => this.recovery.onData());
    hls.on(Events.LEVEL_SWITCHED, () => this.changed());
    hls.on(Events.MANIFEST_PARSED, () => this.changed());
    hls.on(Events.AUDIO_TRACK_SWITCHED, () => this.changed());
    hls.loadSource(this.masterUrl);
    hls.attachMedia(this.video);
    this.changed();
  }

  unload() {
    this.hls?.destroy();
    this.hls = this.pictures = null;
    this.changed();
  }

  /** Players without Media Source get the playlist that grows, which is all they can follow. */
  loadNative(startAt) {
    this.nativeLoaded = true;
    this.video.onerror = () => this.recovery.fail("media");
    this.video.src = this.masterUrl.split("?")[0];
    if (startAt) this.video.currentTime = startAt;
    this.changed();
  }

  config(startPosition) {
    const { DefaultConfig } = window.Hls;
    const patient = (most) => ({
      maxNumRetry: most, retryDelayMs: 1000, maxRetryDelayMs: 4000,
      // 503 is "not made yet"; other silence is tried again here and then handed to the back-off below.
      shouldRetry: (_, count, timeout, answer) => answer?.code === 503 || (count < most && (timeout || !answer?.code || answer.code >= 500)),
    });
    const policy = { default: { ...DefaultConfig.fragLoadPolicy.default, errorRetry: patient(2), timeoutRetry: patient(2) } };
    const hurried = this.video.paused ? BUFFER_BEFORE_PLAY_S : BUFFER_S;
    return {
      startPosition,
      workerPath: this.workerUrl || null,
      fLoader: gatedLoader(DefaultConfig.loader, this.gate),
      abrController: readyAbr(DefaultConfig.abrController, (wish) => this.pick(wish, this.nextIndex()), () => this.manual),
      fragLoadPolicy: policy,
      maxBufferLength: hurried, maxMaxBufferLength: hurried, backBufferLength: BACK_BUFFER_S,
      capLevelToPlayerSize: true,
      testBandwidth: false,
      abrEwmaDefaultEstimate: 4_000_000, // most viewers sit in the same house or campus as the server
    };
  }

  setBuffer(length_s) {
    this.hls.config.maxBufferLength = this.hls.config.maxMaxBufferLength = length_s;
  }

  /** The level for one segment, from what bandwidth or the person asks for. */
  pick(wish, index) {
    const names = this.names;
    const chosen = names.indexOf(this.choice);
    const steady = chosen < 0;
    return this.readiness.choose(names, steady ? wish : chosen, index, { steady });
  }

  nextIndex() {
    const buffered = this.hls.media ? this.hls.mainForwardBufferInfo : null;
    const at = Math.max(this.position, buffered?.len ? buffered.end : 0) + 0.05;
    return this.readiness.segmentS ? Math.floor(at / this.readiness.segmentS) : 0;
  }

  onHeld(load) {
    this.demand.ask();
    queueMicrotask(() => {
      this.reroute(load, load.frag.level);
      this.changed();
    });
  }

  /** Loads a held picture from a rung that has it and suits better; drops a load that is not the next one needed. */
  reroute(load, wish) {
    if (!this.gate.held.has(load) || load.frag.type !== "main") return;
    const level = this.pick(wish, load.segment.index);
    const elsewhere = level !== load.frag.level && this.readiness.has(this.names[level], load.segment.index);
    if (elsewhere || this.isStray(load)) this.restart();
  }

  /**
   * A quality switch together with a seek can empty the buffer under the playhead while hls.js waits for a later
   * segment; it looks again when that one arrives, which for a held one may be never.
   */
  isStray({ frag }) {
    const now = performance.now();
    if (frag.start <= this.position + REACH_S || this.hasPicture(this.position) || now - this.strayedAt < STRAY_PAUSE_MS) return false;
    this.strayedAt = now;
    return true;
  }

  /** Whether the picture at `time` is loaded, whatever the sound. */
  hasPicture(time) {
    if (!this.pictures || !this.video.readyState) return true; // nothing was ever shown: loading is on its first way
    const ranges = this.pictures.buffered;
    return Array.from({ length: ranges.length }).some((_, i) => ranges.start(i) <= time + 0.1 && ranges.end(i) > time);
  }

  rerouteAll() {
    for (const load of [...this.gate.held]) this.reroute(load, this.hls.nextAutoLevel);
  }

  restart() {
    this.hls.stopLoad();
    this.hls.startLoad(this.position, this.video.readyState > 0);
  }

  onReadiness() {
    const { generation } = this.readiness.facts;
    if (this.loaded && this.readiness.heard && this.generation && generation !== this.generation) return this.reload();
    this.generation ||= generation;
    this.rerouteAll();
    this.gate.release();
    this.changed();
  }

  /** A new encode replaced the one that plays: same place, same state, new files. */
  reload() {
    const wasPlaying = !this.video.paused;
    this.load(this.position);
    if (wasPlaying) this.video.play().catch(() => {});
  }

  seek(time) {
    const to = this.settle(Math.min(Math.max(0, time), Math.max(0, this.readiness.durationS - 0.1)));
    if (this.video.readyState) this.video.currentTime = to;
    else this.startElsewhere(to);
    this.demand.ask();
    this.changed();
  }

  /**
   * Moves a place right at the start of a segment a little into it when the segment before is missing. Audio frames
   * cross segment borders by some milliseconds, so hls.js would otherwise wait for that earlier segment's sound.
   */
  settle(time) {
    const { segmentS } = this.readiness;
    const index = segmentS ? Math.floor((time + BORDER_S) / segmentS) : 0;
    if (!index || Math.abs(time - index * segmentS) > BORDER_S || this.readiness.hasPicture(index - 1)) return time;
    return index * segmentS + BORDER_S;
  }

  /** Before the first picture there is nothing to seek in: loading begins at the new place instead. */
  startElsewhere(time) {
    this.startAt = time;
    if (!this.hls) return;
    this.hls.stopLoad();
    this.hls.startLoad(time);
  }

  setChoice(name) {
    this.choice = name;
    if (this.hls?.levels.length) this.hls.nextLevel = -1; // our chooser answers; what is buffered ahead is replaced
    this.changed();
  }

  /** Seconds that play on from here without the network. */
  get bufferedAhead() {
    const { buffered } = this.video;
    const at = this.position;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= at + 0.1 && buffered.end(i) > at) return buffered.end(i) - at;
    }
    return 0;
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
