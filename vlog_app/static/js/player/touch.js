/** The picture itself as a control: a mouse plays and fills the screen, a finger shows the controls, skips, speeds up. */

const DOUBLE_MS = 300;
const HOLD_MS = 500;
const HOLD_RATE = 2;
const STILL_PX = 12;
const SWIPE_PX = 80;

export class Picture {
  constructor(video, { attention, togglePlay, toggleFull, leaveFull, skip, hint }) {
    Object.assign(this, { video, attention, togglePlay, toggleFull, leaveFull, skip, hint });
    video.addEventListener("pointerdown", (event) => this.onDown(event));
    video.addEventListener("pointerup", (event) => this.onUp(event));
    video.addEventListener("pointercancel", () => this.endHold());
    video.addEventListener("contextmenu", (event) => this.holding && event.preventDefault());
    video.addEventListener("dblclick", () => this.touch || this.toggleFull());
    video.addEventListener("click", () => this.touch || this.togglePlay());
  }

  onDown(event) {
    this.touch = event.pointerType === "touch";
    this.from = { x: event.clientX, y: event.clientY };
    if (this.touch && !this.video.paused) this.holdTimer = setTimeout(() => this.startHold(), HOLD_MS);
  }

  onUp(event) {
    if (event.pointerType !== "touch" || !this.from) return;
    if (this.endHold()) return;
    const dx = Math.abs(event.clientX - this.from.x);
    const dy = event.clientY - this.from.y;
    if (dy > SWIPE_PX && dy > dx) return this.leaveFull();
    if (dx < STILL_PX && Math.abs(dy) < STILL_PX) this.onTap(event);
  }

  /** The first tap acts at once; a second one close behind it skips. */
  onTap(event) {
    const now = performance.now();
    const again = now - (this.tappedAt ?? -Infinity) < DOUBLE_MS;
    this.tappedAt = now;
    if (again) return this.skipAt(event);
    if (this.attention.quiet) this.attention.wake();
    else this.attention.rest();
  }

  skipAt(event) {
    const box = this.video.getBoundingClientRect();
    const side = (event.clientX - box.left) / box.width;
    if (side < 0.4) this.skip(-10);
    else if (side > 0.6) this.skip(10);
  }

  startHold() {
    this.holding = { rate: this.video.playbackRate };
    this.video.playbackRate = HOLD_RATE;
    this.hint("2× while you hold");
  }

  endHold() {
    clearTimeout(this.holdTimer);
    if (!this.holding) return false;
    this.video.playbackRate = this.holding.rate;
    this.holding = null;
    return true;
  }
}
