/** Everything the player shows in words and marks, drawn from the state; drawing twice changes nothing. */
import { clock, quality, rate } from "./format.js";
import { Card } from "./states.js";

const HINT_MS = 900;
const HINT_PER_LETTER_MS = 60;
const SAY_EVERY_MS = 10000;

export class Face {
  constructor(root, { engine, readiness, video, scrubber, onCard, redraw }) {
    Object.assign(this, { root, engine, readiness, video, scrubber, redraw });
    this.find = (selector) => root.querySelector(selector);
    this.card = new Card(root, { onAct: onCard });
  }

  draw({ state, going, ranInto }) {
    const { engine, readiness, redraw } = this;
    this.root.toggleAttribute("data-going", going);
    const play = this.video.ended ? "Play again" : going ? "Pause" : "Play";
    for (const button of this.root.querySelectorAll("[data-do=play]")) name(button, play, "Space");
    this.scrubber.draw();
    text(this.find("[data-now]"), clock(this.scrubber.time));
    text(this.find("[data-total]"), clock(readiness.durationS));
    this.drawSound();
    this.drawChoices();
    this.say(this.card.draw(state, { engine, readiness, going, ranInto, redraw }));
  }

  drawSound() {
    const { volume, muted } = this.video;
    const silent = muted || volume === 0;
    this.root.dataset.sound = silent ? "muted" : volume < 0.5 ? "soft" : "loud";
    name(this.find("[data-do=mute]"), silent ? "Unmute" : "Mute", "M");
    const slider = this.find("[data-volume]");
    const shown = String(silent ? 0 : Math.round(volume * 100));
    if (slider.value !== shown) slider.value = shown;
    slider.setAttribute("aria-valuetext", `${shown} percent`);
  }

  drawChoices() {
    const { engine, video } = this;
    this.root.dataset.choice = engine.choice;
    text(this.find("[data-quality]"), quality(engine.playing || (engine.manual ? engine.choice : "Auto")));
    this.find("[data-menu-for=quality]").toggleAttribute("data-on", engine.manual);
    this.find("[data-menu-for=quality]").hidden = engine.loaded && engine.names.length === 1;
    text(this.find("[data-rate]"), rate(video.playbackRate));
    text(this.find("[data-sound]"), engine.sound);
    this.find("[data-menu-for=sound]").hidden = engine.sounds.length < 2;
    this.find("[data-menu-for=speed]").toggleAttribute("data-on", video.playbackRate !== 1);
  }

  drawFull(full) {
    this.root.toggleAttribute("data-full", full);
    name(this.find("[data-do=full]"), full ? "Leave full screen" : "Full screen", "F");
  }

  /** A few words at the top of the picture about what was just done. */
  hint(words) {
    const box = this.find("[data-hint]");
    box.textContent = words;
    box.hidden = false;
    clearTimeout(this.hintTimer);
    this.hintTimer = setTimeout(() => { box.hidden = true; }, Math.max(HINT_MS, words.length * HINT_PER_LETTER_MS));
  }

  /** Tells a screen reader of a change of state, at most once in 10 s. */
  say(words) {
    if (words === this.said || performance.now() - (this.saidAt ?? -Infinity) < SAY_EVERY_MS) return;
    this.said = words;
    if (words) this.saidAt = performance.now();
    text(this.find("[data-live]"), words);
  }
}

function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function name(button, words, key) {
  if (button.getAttribute("aria-label") === words) return;
  button.setAttribute("aria-label", words);
  if (button.title) button.title = `${words} (${key})`;
}
