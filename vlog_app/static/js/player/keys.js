/** Keys for the whole page, quiet in fields, and the list that explains them. */
import { keepTaste, taste } from "./memory.js";

const FIELDS = "input:not([type=range], [type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable=''], [contenteditable=true]";
const PRESSABLE = "button, a[href], summary, [role=button], [role^=menuitem]"; // Space and Enter are theirs

const SHOWN = [
  ["Play or pause", "Space", "K"], ["Back or forward 10 s", "J", "L"], ["Back or forward 5 s", "←", "→"],
  ["Louder or quieter", "↑", "↓"], ["Mute", "M"], ["Jump to a tenth", "0", "…", "9"], ["One frame", ",", "."],
  ["Slower or faster", "<", ">"], ["Captions", "C"], ["Quality", "Q"], ["Full screen", "F"],
  ["Picture in picture", "P"], ["This list", "?"], ["Close", "Esc"],
];

const PICTURE_KEYS = new Set([",", "P"]);

export class Keys {
  /** `acts` maps a key to a function; digits come as `jump(tenth)`. Keys without an act are not listed. */
  constructor(root, acts) {
    this.root = root;
    this.acts = acts;
    this.dialog = root.querySelector("[data-keys]");
    this.letters = taste().letters;
    this.fill();
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  fill() {
    const list = this.dialog.querySelector("[data-keys-list]");
    list.replaceChildren(...SHOWN.filter(([, key]) => this.knows(key)).map(([what, ...keys]) => pair(what, keys)));
    const box = this.dialog.querySelector("[data-letters]");
    box.checked = this.letters;
    box.addEventListener("change", () => { this.letters = box.checked; keepTaste({ letters: box.checked }); });
    this.dialog.querySelector("[data-keys-close]").addEventListener("click", () => this.dialog.close());
    // With nothing focused before, browsers leave the focus inside the closed list, where keys would go nowhere.
    this.dialog.addEventListener("close", () => this.dialog.contains(document.activeElement) && document.activeElement.blur());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** A film without picture has no frames and no picture in picture. */
  knows(key) {
    return !PICTURE_KEYS.has(key) || key.toLowerCase() in this.acts;
  }

  onKey(event) {
    const { key, target } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.dialog.open || document.querySelector("dialog[open]") || target.closest?.(FIELDS)) return;
    if (key === "?") return this.act(event, () => this.dialog.showModal());
    if (key === " ") return target.closest?.(PRESSABLE) || this.act(event, this.acts.Space);
    if (key.startsWith("Arrow")) return this.onArrow(event);
    if (!this.letters) return;
    if (/^[0-9]$/.test(key)) return this.act(event, () => this.acts.jump(Number(key)));
    const known = this.acts[key.length === 1 ? key.toLowerCase() : key];
    if (known) this.act(event, known);
  }

  /** Up and down scroll the page unless the player has the focus. */
  onArrow(event) {
    const mine = this.root.contains(event.target) || document.fullscreenElement;
    const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
    if (event.target.matches?.("input[type=range]")) return;
    if (mine || (sideways && event.target === document.body)) this.act(event, this.acts[event.key]);
  }

  act(event, what) {
    event.preventDefault();
    what();
  }
}

function pair(what, keys) {
  const row = document.createElement("div");
  const value = document.createElement("dd");
  value.append(...keys.map((key) => (key === "…" ? " … " : Object.assign(document.createElement("kbd"), { textContent: key }))));
  row.append(Object.assign(document.createElement("dt"), { textContent: what }), value);
  return row;
}
