/** The time line: what was played, what is loaded, what is ready, what is still being made; and moving along it. */
import { clock, spoken } from "./format.js";

const STEP_S = 5;
const LEAP_S = 60;
const FINE_PX = 120; // a finger this far above the line moves at a quarter of the speed

const percent = (part, whole) => `${whole > 0 ? Math.min(100, Math.max(0, (part / whole) * 100)) : 0}%`;

export class Scrubber {
  constructor(root, { engine, readiness, preview, onSeek }) {
    Object.assign(this, { engine, readiness, preview, onSeek });
    this.bar = root.querySelector("[data-scrubber]");
    this.played = root.querySelector("[data-played]");
    this.thumb = root.querySelector("[data-thumb]");
    this.edge = root.querySelector("[data-edge]");
    this.layers = Object.fromEntries([...root.querySelectorAll("[data-layer]")].map((el) => [el.dataset.layer, el]));
    this.bar.addEventListener("keydown", (event) => this.onKey(event));
    this.bar.addEventListener("pointerdown", (event) => this.onDown(event));
    this.bar.addEventListener("pointermove", (event) => this.onMove(event));
    this.bar.addEventListener("pointerup", (event) => this.onUp(event));
    this.bar.addEventListener("pointercancel", () => this.letGo());
    this.bar.addEventListener("pointerleave", () => this.dragAt === undefined && preview.hide());
  }

  get duration() { return this.readiness.durationS; }
  get time() { return this.dragAt ?? this.engine.position; }

  draw() {
    const at = percent(this.time, this.duration);
    this.played.style.width = at;
    this.thumb.style.left = at;
    this.bar.setAttribute("aria-valuemax", Math.floor(this.duration));
    this.bar.setAttribute("aria-valuenow", Math.floor(this.time));
    this.bar.setAttribute("aria-valuetext", this.said());
    this.drawRuns(this.layers.buffered, this.bufferedRuns());
    this.drawReady();
  }

  said() {
    const place = `${spoken(this.time)} of ${spoken(this.duration)}`;
    return this.partial ? `${place}, ready to ${spoken(this.readiness.edge(this.time))}` : place;
  }

  get partial() {
    return this.readiness.heard && !this.readiness.whole;
  }

  drawReady() {
    this.bar.toggleAttribute("data-partial", this.partial);
    const edge = this.readiness.edge(this.engine.position);
    this.edge.hidden = !this.partial || !edge || edge >= this.duration;
    if (!this.partial) return;
    this.drawRuns(this.layers.ready, this.readiness.runs);
    this.edge.style.left = percent(edge, this.duration);
    // The words stay inside the player at both ends.
    this.edge.style.setProperty("--shift", edge < this.duration * 0.08 ? "0" : edge > this.duration * 0.92 ? "-100%" : "-50%");
    this.edge.firstElementChild.textContent = `ready to ${clock(edge)}`;
  }

  bufferedRuns() {
    const { buffered } = this.engine.video;
    return Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
  }

  drawRuns(layer, runs) {
    while (layer.children.length > runs.length) layer.lastElementChild.remove();
    while (layer.children.length < runs.length) layer.append(Object.assign(document.createElement("div")));
    runs.forEach(([start, end], i) => {
      const run = layer.children[i];
      run.dataset.run = "";
      run.style.left = percent(start, this.duration);
      run.style.width = percent(end - start, this.duration);
    });
  }

  timeAt(event) {
    const box = this.bar.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.duration;
  }

  onDown(event) {
    if (event.button || !this.duration) return;
    this.bar.setPointerCapture(event.pointerId);
    this.dragAt = this.timeAt(event);
    this.bar.dataset.dragging = "";
    this.show(this.dragAt);
  }

  onMove(event) {
    if (!this.duration) return;
    if (this.dragAt === undefined) return event.pointerType === "mouse" && this.preview.show(this.timeAt(event));
    this.dragAt = this.draggedTo(event);
    this.show(this.dragAt);
  }

  /** Under the finger on the line; further up, finer. */
  draggedTo(event) {
    const away = this.bar.getBoundingClientRect().top - event.clientY;
    if (event.pointerType === "mouse" || away < FINE_PX) return this.timeAt(event);
    const perPixel = this.duration / this.bar.clientWidth / 4;
    return Math.min(this.duration, Math.max(0, this.dragAt + event.movementX * perPixel));
  }

  show(time) {
    this.preview.show(time);
    this.draw();
  }

  onUp(event) {
    if (this.dragAt === undefined) return;
    const to = this.dragAt;
    this.letGo();
    this.onSeek(to);
    if (event.pointerType === "mouse") this.preview.show(to);
  }

  letGo() {
    this.dragAt = undefined;
    delete this.bar.dataset.dragging;
    this.preview.hide();
    this.draw();
  }

  onKey(event) {
    const now = this.engine.position;
    const to = {
      ArrowLeft: now - STEP_S, ArrowDown: now - STEP_S, ArrowRight: now + STEP_S, ArrowUp: now + STEP_S,
      PageDown: now - LEAP_S, PageUp: now + LEAP_S, Home: 0, End: this.duration - 1,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.onSeek(to);
  }
}
