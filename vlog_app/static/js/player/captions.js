/** Captions drawn by us, so that they stand above the controls and look the same everywhere. */
import { keepTaste, taste } from "./memory.js";

export class Captions {
  constructor(root, video) {
    this.box = root.querySelector("[data-captions]");
    this.button = root.querySelector("[data-menu-for=captions]");
    this.tracks = [...video.textTracks].filter((track) => track.kind === "captions" || track.kind === "subtitles");
    this.shown = "";
    for (const track of this.tracks) {
      track.mode = "disabled";
      track.addEventListener("cuechange", () => this.draw(track));
    }
    if (this.tracks.length) this.show(taste().captions, { keep: false });
    else this.explainAbsence();
  }

  get available() { return this.tracks.length > 0; }

  explainAbsence() {
    this.button.setAttribute("aria-disabled", "true");
    this.button.removeAttribute("aria-haspopup");
    this.button.removeAttribute("aria-expanded");
    this.button.title = "No captions yet";
    this.button.setAttribute("aria-label", "Captions: none yet");
  }

  show(language, { keep = true } = {}) {
    const chosen = this.tracks.find((track) => track.language === language);
    this.shown = chosen ? language : "";
    for (const track of this.tracks) track.mode = track === chosen ? "hidden" : "disabled";
    this.box.hidden = !chosen;
    this.box.replaceChildren();
    this.button.toggleAttribute("data-on", Boolean(chosen));
    if (keep) keepTaste({ captions: this.shown });
  }

  /** C: on in the language used last, or off. */
  toggle() {
    if (this.shown) return this.show("");
    this.show((this.tracks.find((track) => track.language === taste().captions) || this.tracks[0]).language);
  }

  draw(track) {
    if (track.language !== this.shown) return;
    const lines = [...(track.activeCues || [])].map((cue) => {
      const line = document.createElement("span");
      line.append(cue.getCueAsHTML());
      return line;
    });
    this.box.replaceChildren(...lines);
  }
}
