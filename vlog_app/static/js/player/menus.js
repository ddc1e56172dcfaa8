/** Quality, speed and captions as menus above the controls, and as one sheet on phones. */

/** An item: {label, note?, tone?, value?, checked?, opens?, act?}. `panels[name]()` gives {title, parent?, items}. */
export class Menus {
  constructor(root, panels, { onToggle }) {
    Object.assign(this, { root, panels, onToggle });
    this.box = root.querySelector("[data-menu]");
    this.list = root.querySelector("[data-menu-list]");
    this.title = root.querySelector("[data-menu-title]");
    this.shade = root.querySelector("[data-shade]");
    this.check = root.querySelector("[data-check]");
    this.openers = [...root.querySelectorAll("[data-menu-for]")];
    this.box.id = "player-menu";
    for (const button of this.openers) {
      button.setAttribute("aria-controls", this.box.id);
      button.addEventListener("click", () => this.toggle(button.dataset.menuFor, button));
    }
    root.querySelector("[data-menu-back]").addEventListener("click", () => this.back());
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("click", (event) => this.choose(event.target.closest("[role^=menuitem]")));
    this.shade.addEventListener("click", () => this.close());
    document.addEventListener("pointerdown", (event) => this.onOutside(event));
    this.box.addEventListener("focusout", (event) => this.onLeave(event));
  }

  get open() { return !this.box.hidden; }
  get nested() { return Boolean(this.parent) && this.opener?.dataset.menuFor === this.parent; }

  toggle(name, opener) {
    if (this.open && this.opener === opener) return this.close();
    this.opener?.setAttribute("aria-expanded", "false");
    this.opener = opener;
    this.show(name);
    this.onToggle(true);
  }

  /** Opens a menu by name from the key board, under the button that shows at this width. */
  byName(name) {
    const shown = (button) => button.offsetParent !== null;
    const opener = this.openers.find((button) => button.dataset.menuFor === name && shown(button));
    this.toggle(name, opener || this.openers.find((button) => button.dataset.menuFor === "settings" && shown(button)));
  }

  show(name) {
    this.name = name;
    this.opener?.setAttribute("aria-expanded", "true");
    this.box.hidden = this.shade.hidden = false;
    this.fill();
    (this.list.querySelector("[aria-checked=true]") || this.list.firstElementChild)?.focus();
  }

  /** Draws the panel; nothing is touched when it reads the same as before. */
  fill() {
    const panel = this.panels[this.name]();
    const stamp = JSON.stringify([this.name, panel]);
    if (stamp === this.stamp) return;
    const at = [...this.list.children].indexOf(document.activeElement);
    const samePanel = this.filled === this.name;
    this.stamp = stamp;
    this.filled = this.name;
    this.parent = panel.parent;
    this.items = panel.items;
    this.title.textContent = panel.title;
    this.title.parentElement.setAttribute("aria-label", `${this.nested ? "Back from" : "Close"} ${panel.title}`);
    this.list.setAttribute("aria-label", panel.title);
    this.list.replaceChildren(...panel.items.map((item) => this.row(item)));
    if (samePanel && at >= 0) this.list.children[Math.min(at, panel.items.length - 1)].focus();
  }

  refresh() {
    if (this.open) this.fill();
  }

  row(item) {
    const row = document.createElement("div");
    row.tabIndex = -1;
    row.setAttribute("role", item.checked === undefined ? "menuitem" : "menuitemradio");
    if (item.checked !== undefined) row.setAttribute("aria-checked", String(item.checked));
    if (item.opens) row.setAttribute("aria-haspopup", "menu");
    row.append(item.checked === undefined ? document.createElement("i") : this.check.content.cloneNode(true), words(item));
    if (item.value) row.append(Object.assign(document.createElement("span"), { className: "player-value", textContent: item.value }));
    return row;
  }

  choose(row) {
    const item = this.items[[...this.list.children].indexOf(row)];
    if (!item) return;
    if (item.opens) return this.show(item.opens);
    this.close();
    item.act();
  }

  back() {
    if (this.nested) this.show(this.parent);
    else this.close();
  }

  close({ refocus = true } = {}) {
    if (!this.open) return;
    this.box.hidden = this.shade.hidden = true;
    this.stamp = this.filled = null;
    this.opener?.setAttribute("aria-expanded", "false");
    if (refocus) this.opener?.focus({ preventScroll: true });
    this.opener = null;
    this.onToggle(false);
  }

  onOutside(event) {
    const inside = this.box.contains(event.target) || this.openers.some((button) => button.contains(event.target));
    if (this.open && !inside) this.close({ refocus: false });
  }

  onLeave(event) {
    const to = event.relatedTarget;
    if (to && !this.box.contains(to) && !this.openers.includes(to)) this.close({ refocus: false });
  }

  onKey(event) {
    const rows = [...this.list.children];
    const at = rows.indexOf(document.activeElement);
    const moves = { ArrowDown: at + 1, ArrowUp: at < 0 ? rows.length - 1 : at - 1, Home: 0, End: rows.length - 1 };
    event.stopPropagation(); // no player key acts while a menu is read
    if (event.key in moves) rows[(moves[event.key] + rows.length) % rows.length].focus();
    else if ((event.key === "Enter" || event.key === " ") && at >= 0) this.choose(rows[at]);
    else if (event.key === "Escape") this.close();
    else if (event.key === "ArrowLeft" && this.nested) this.back();
    else if (event.key === "ArrowRight" && this.items[at]?.opens) this.choose(rows[at]);
    else return;
    event.preventDefault();
  }
}

function words({ label, note, tone }) {
  const text = document.createElement("span");
  text.append(label, note ? " " : "");
  if (note) {
    const small = Object.assign(document.createElement("small"), { textContent: note });
    if (tone) small.dataset.tone = tone;
    text.append(small);
  }
  return text;
}
