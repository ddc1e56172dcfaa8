/** Wires one player: the video, the engine under it, the controls over it. */
import { Attention } from "./attention.js";
import { Captions } from "./captions.js";
import { showCover } from "./cover.js";
import { Engine } from "./engine.js";
import { Face } from "./face.js";
import { clock, rate } from "./format.js";
import { Keys } from "./keys.js";
import { keepPlace, keepTaste, startPlace, taste } from "./memory.js";
import { Menus } from "./menus.js";
import { makePanels, RATES } from "./panels.js";
import { Preview } from "./preview.js";
import { Readiness } from "./readiness.js";
import { Scrubber } from "./scrubber.js";
import { shareWithSystem } from "./session.js";
import { stateOf } from "./states.js";
import { Picture } from "./touch.js";

const SKIP_S = 10;
const STEP_S = 5;
const KEEP_PLACE_MS = 5000;

class Player {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.stage = this.find("[data-stage]");
    this.video = this.find("video");
    this.data = root.dataset;
    this.build();
    this.takeOver();
    this.listen();
    this.readiness.poll();
    this.begin();
  }

  build() {
    const { root, video, data } = this;
    const readiness = (this.readiness = new Readiness(data.progressUrl, {
      status: data.status, durationS: Number(data.duration), isPaused: () => video.paused && !this.wants,
    }));
    const demandUrl = new URL("demand", new URL(data.progressUrl, location.href)).href;
    const engine = (this.engine = new Engine(video, { masterUrl: data.masterUrl, demandUrl, workerUrl: data.workerUrl, readiness }));
    this.captions = new Captions(root, video);
    showCover(root, readiness);
    this.preview = new Preview(root, { readiness, url: data.storyboardUrl });
    this.scrubber = new Scrubber(root, { engine, readiness, preview: this.preview, onSeek: (time) => this.seek(time) });
    this.face = new Face(root, { engine, readiness, video, scrubber: this.scrubber, onCard: (act) => this.onCard(act), redraw: () => this.draw() });
    this.attention = new Attention(root, this.stage, () => this.state !== "playing" || this.menus.open);
    const pip = { possible: Boolean(document.pictureInPictureEnabled) && !this.isSound, toggle: () => this.togglePip() };
    const panels = makePanels({ engine, readiness, video, captions: this.captions, setRate: (value) => this.setRate(value), pip });
    this.menus = new Menus(root, panels, { onToggle: () => this.attention.wake() });
    this.picture = new Picture(video, {
      attention: this.attention, togglePlay: () => this.togglePlay(), toggleFull: () => this.toggleFull(),
      leaveFull: () => document.fullscreenElement && document.exitFullscreen(), skip: (by) => this.skip(by), hint: (text) => this.face.hint(text),
    });
    this.keys = new Keys(root, this.keyActs());
    this.session = shareWithSystem({
      title: data.title, poster: data.poster, video, durationS: () => readiness.durationS,
      acts: { play: () => this.play(), pause: () => this.pause(), skip: (by) => this.skip(by), seek: (time) => this.seek(time) },
    });
    if (!pip.possible) for (const button of root.querySelectorAll("[data-do=pip]")) button.hidden = true;
  }

  takeOver() {
    const { volume, muted, rate: speed } = taste();
    this.video.controls = false;
    this.video.volume = volume;
    this.video.muted = muted;
    this.video.defaultPlaybackRate = this.video.playbackRate = speed; // the default survives a change of source
    for (const part of this.root.querySelectorAll("[data-chrome]")) part.hidden = false;
    this.place = startPlace(this.data.slug, this.readiness.durationS);
    this.engine.startAt = this.place.time;
  }

  keyActs() {
    const step = (by) => this.skip(by);
    return {
      Space: () => this.togglePlay(), k: () => this.togglePlay(), j: () => step(-SKIP_S), l: () => step(SKIP_S),
      ArrowLeft: () => step(-STEP_S), ArrowRight: () => step(STEP_S),
      ArrowUp: () => this.setVolume(this.video.volume + 0.05, { say: true }), ArrowDown: () => this.setVolume(this.video.volume - 0.05, { say: true }),
      jump: (tenth) => this.seek((this.readiness.durationS * tenth) / 10),
      "<": () => this.stepRate(-1), ">": () => this.stepRate(1),
      c: () => this.toggleCaptions(), q: () => this.openQuality(), m: () => this.toggleMute(), f: () => this.toggleFull(),
      ...(this.isSound ? {} : { ",": () => this.frame(-1), ".": () => this.frame(1), p: () => this.togglePip() }),
    };
  }

  /** Nothing to look at but the poster. */
  get isSound() { return "soundOnly" in this.data; }

  openQuality() {
    if (this.engine.loaded && !this.engine.hasChoice) return this.face.hint("There is only one quality");
    this.menus.byName("quality");
  }

  listen() {
    const { video, engine, readiness } = this;
    const draw = () => this.draw();
    const acts = {
      play: () => this.togglePlay(), back: () => this.skip(-SKIP_S), forward: () => this.skip(SKIP_S),
      mute: () => this.toggleMute(), pip: () => this.togglePip(), full: () => this.toggleFull(),
    };
    for (const button of this.root.querySelectorAll("[data-do]")) button.addEventListener("click", acts[button.dataset.do]);
    const captions = this.find("[data-menu-for=captions]");
    captions.addEventListener("click", (event) => {
      if (this.captions.available) return;
      event.stopImmediatePropagation();
      this.face.hint("No captions yet");
    }, { capture: true });
    this.find("[data-volume]").addEventListener("input", (event) => this.setVolume(event.target.value / 100));
    for (const event of ["play", "pause", "ended", "timeupdate", "progress", "ratechange", "durationchange", "volumechange", "emptied"]) video.addEventListener(event, draw);
    video.addEventListener("play", () => { this.started = true; this.attention.wake(); });
    video.addEventListener("pause", () => { this.attention.wake(); this.keepPlace(); });
    video.addEventListener("timeupdate", () => { if (!video.seeking && !video.paused) this.ranInto = true; });
    video.addEventListener("ended", () => this.keepPlace());
    engine.addEventListener("change", draw);
    readiness.addEventListener("change", () => { this.begin(); this.draw(); });
    readiness.addEventListener("reach", draw);
    document.addEventListener("fullscreenchange", () => { this.face.drawFull(document.fullscreenElement === this.stage); this.attention.wake(); });
    window.addEventListener("pagehide", () => this.keepPlace());
    setInterval(() => { video.paused || this.keepPlace(); }, KEEP_PLACE_MS);
    setInterval(() => this.state === "offline" && this.draw(), 1000); // the count-down in its card
  }

  /** Gives the engine its source as soon as there is one. */
  begin() {
    if (this.engine.loaded || !(this.readiness.status === "ready" || (this.readiness.heard && this.readiness.planned))) return this.draw();
    this.engine.load(this.engine.startAt);
    if (this.wants) this.video.play().catch(() => this.pause());
    if (this.place.time && !this.place.asked) this.face.hint(`Resumed at ${clock(this.place.time)}`);
    this.place.time = 0;
  }

  // What a person does

  play() {
    this.wants = true;
    this.started = true;
    if (this.engine.loaded) this.video.play().catch(() => this.draw());
    this.draw();
  }

  pause() {
    this.wants = false;
    this.video.pause();
    this.draw();
  }

  get going() { return this.engine.loaded ? !this.video.paused : Boolean(this.wants); }

  togglePlay() {
    if (this.going) this.pause();
    else this.play();
  }

  seek(time) {
    this.ranInto = false;
    this.engine.seek(time);
    this.attention.wake();
    this.report("seek", { time });
    this.draw();
  }

  skip(by) {
    this.seek(this.engine.position + by);
    this.face.hint(`${by < 0 ? "−" : "+"}${Math.abs(by)}\u00a0s`);
  }

  frame(by) {
    if (this.going) this.pause();
    this.seek(this.engine.position + by / this.engine.frameRate);
  }

  setVolume(volume, { say = false } = {}) {
    this.video.volume = Math.min(1, Math.max(0, Math.round(volume * 100) / 100));
    this.video.muted = this.video.volume === 0;
    keepTaste({ volume: this.video.volume, muted: this.video.muted });
    if (say) this.face.hint(`Volume ${Math.round(this.video.volume * 100)}\u00a0%`);
  }

  toggleMute() {
    if (this.video.volume === 0) return this.setVolume(0.5);
    this.video.muted = !this.video.muted;
    keepTaste({ muted: this.video.muted });
  }

  setRate(value) {
    this.video.defaultPlaybackRate = this.video.playbackRate = value;
    keepTaste({ rate: value });
    this.face.hint(rate(value));
  }

  stepRate(by) {
    const at = RATES.findIndex((value) => value >= this.video.playbackRate);
    this.setRate(RATES[Math.min(RATES.length - 1, Math.max(0, at + by))]);
  }

  toggleCaptions() {
    if (!this.captions.available) return this.face.hint("No captions yet");
    this.captions.toggle();
    this.face.hint(this.captions.shown ? "Captions on" : "Captions off");
  }

  async togglePip() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      this.face.hint("Picture in picture did not open. Start the film first.");
    }
  }

  async toggleFull() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.stage.requestFullscreen) await this.stage.requestFullscreen();
      else this.video.webkitEnterFullscreen(); // iPhone: only the video itself
    } catch {
      this.face.hint("Full screen is not allowed here");
    }
  }

  onCard(act) {
    if (act.kind === "seek") this.seek(act.to);
    else if (act.kind === "retry") this.engine.recovery.tryNow();
    else this.engine.recovery.retryFromStart();
  }

  keepPlace() {
    if (this.started && this.readiness.durationS) keepPlace(this.data.slug, this.video.ended ? 0 : this.engine.position, this.readiness.durationS);
  }

  draw() {
    const { engine, readiness, video } = this;
    this.setState(stateOf({ engine, readiness, video, started: this.started }));
    if (engine.playing !== (this.data.level || "")) {
      this.data.level = engine.playing;
      this.report("level", { level: engine.playing });
    }
    this.face.draw({ state: this.state, going: this.going, ranInto: this.ranInto });
    this.menus.refresh();
    this.session.update();
  }

  setState(state) {
    if (this.state === state) return;
    this.state = this.data.state = state;
    if (state === "playing") this.attention.settle();
    else this.attention.wake();
    this.report("state", { state });
  }

  /** For other scripts on the page and for tests. */
  report(type, detail) {
    this.root.dispatchEvent(new CustomEvent("vlog:player", { bubbles: true, detail: { type, ...detail } }));
  }
}

for (const root of document.querySelectorAll("[data-player]")) new Player(root);
