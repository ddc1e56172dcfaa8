/** The small frame above the time line, cut from the storyboard. */
import { clock } from "./format.js";

const CUE = /(?:(\d+):)?(\d+):(\d+\.\d+)\s+-->\s+(?:(\d+):)?(\d+):(\d+\.\d+)[^\n]*\n([^\n]+)#xywh=(\d+),(\d+),(\d+),(\d+)/g;

const toSeconds = (h, m, s) => Number(h || 0) * 3600 + Number(m) * 60 + Number(s);

/** The frames of a storyboard: {start, end, src, x, y, w, h}, addresses made absolute against the file's own. */
export function parseStoryboard(text, base) {
  return [...text.replace(/\r/g, "").matchAll(CUE)].map(([, h1, m1, s1, h2, m2, s2, src, ...box]) => {
    const [x, y, w, h] = box.map(Number);
    return { start: toSeconds(h1, m1, s1), end: toSeconds(h2, m2, s2), src: new URL(src, base).href, x, y, w, h };
  });
}

export class Preview {
  constructor(root, { readiness, url }) {
    this.box = root.querySelector("[data-preview]");
    this.frame = root.querySelector("[data-frame]");
    this.label = root.querySelector("[data-preview-time]");
    this.bar = root.querySelector("[data-scrubber]");
    this.readiness = readiness;
    this.url = url;
    this.frames = [];
  }

  /** A storyboard may come, and grow, while the film is encoded; it is fetched when somebody points at the line. */
  async fetchFrames() {
    const url = this.readiness.facts.storyboard || this.url;
    const stamp = url && `${url} ${this.readiness.status}`;
    if (!url || this.stamp === stamp) return;
    this.stamp = stamp;
    try {
      const answer = await fetch(url);
      if (answer.ok) this.frames = parseStoryboard(await answer.text(), answer.url);
      if (!this.box.hidden) this.show(this.time);
    } catch {
      this.stamp = null; // the next pointing tries again
    }
  }

  show(time) {
    this.time = time;
    this.box.hidden = false;
    this.fetchFrames();
    this.label.textContent = clock(time);
    if (!this.readiness.whole && this.readiness.segmentS && !this.readiness.hasPicture(Math.floor(time / this.readiness.segmentS))) {
      this.label.append(Object.assign(document.createElement("small"), { textContent: " not made yet" }));
    }
    this.paint(this.frames.find(({ start, end }) => time >= start && time < end));
    this.place(time);
  }

  paint(frame) {
    this.frame.hidden = !frame;
    if (!frame) return;
    const scale = (this.frame.clientWidth || 208) / frame.w;
    this.frame.style.height = `${Math.round(frame.h * scale)}px`;
    this.frame.style.backgroundImage = `url("${frame.src}")`;
    this.frame.style.backgroundPosition = `${-frame.x * scale}px ${-frame.y * scale}px`;
    this.size(frame.src, scale);
  }

  /** The sheet's own width is known once it is loaded; until then it is drawn as it is. */
  size(src, scale) {
    if (this.sheet?.src !== src) {
      this.sheet = Object.assign(new Image(), { src });
      this.sheet.onload = () => this.size(src, scale);
    }
    const width = this.sheet.naturalWidth;
    this.frame.style.backgroundSize = width ? `${width * scale}px auto` : "auto";
  }

  place(time) {
    const width = this.bar.clientWidth;
    const half = this.box.offsetWidth / 2;
    const at = (time / this.readiness.durationS) * width;
    this.box.style.left = `${Math.min(width - half, Math.max(half, at))}px`;
  }

  hide() {
    this.box.hidden = true;
  }
}
