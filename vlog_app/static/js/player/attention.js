/** When the controls show: on any sign of a person, gone 2.5 s after the last, never while they are needed. */

const HIDE_AFTER_MS = 2500;

export class Attention {
  /** `isNeeded` says whether something keeps the controls up (paused, a menu, a card). */
  constructor(root, stage, isNeeded) {
    Object.assign(this, { root, stage, isNeeded });
    stage.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.wake());
    stage.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.settle(300));
    stage.addEventListener("pointerdown", (event) => { this.mouse = event.pointerType === "mouse"; });
    root.addEventListener("focusin", () => this.wake());
    root.addEventListener("keydown", () => this.wake());
  }

  get quiet() { return this.root.hasAttribute("data-quiet"); }

  wake() {
    this.root.removeAttribute("data-quiet");
    this.settle();
  }

  settle(after_ms = HIDE_AFTER_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.rest(), after_ms);
  }

  /** Hides the controls now, if nothing needs them; otherwise asks again later. */
  rest() {
    if (this.busy) return this.settle();
    this.root.setAttribute("data-quiet", "");
  }

  get busy() {
    const pointed = this.mouse !== false && this.stage.querySelector(".player-row:hover, .player-scrubber:hover");
    return this.isNeeded() || pointed || this.stage.querySelector(".player-chrome :focus-visible, [data-dragging]");
  }
}
