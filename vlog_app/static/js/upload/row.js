// One row of the list: shows what it is told, says which button was pressed. Knows nothing of sending.
const BUTTONS = {
  next: ["first", "cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  offline: ["again", "cancel"],
  checking: [],
  done: ["open"],
  refused: ["replace", "cancel"],
  missing: ["choose", "cancel"],
};
const SHAPES = {
  next: "waiting", sending: "moving", paused: "held", offline: "held", checking: "moving", done: "done", refused: "failed",
  missing: "held",
};

export class Row {
  constructor(element, act) {
    this.element = element;
    this.title = element.querySelector(".up-name");
    this.size = element.querySelector(".up-size");
    this.status = element.querySelector(".status");
    this.words = element.querySelector(".up-words");
    this.ticks = [...element.querySelectorAll(".up-ticks i")];
    this.thumb = element.querySelector(".up-thumb");
    this.buttons = new Map([...element.querySelectorAll("[data-act]")].map((button) => [button.dataset.act, button]));
    for (const [name, button] of this.buttons) {
      if (name !== "open") button.addEventListener("click", () => act(name));
    }
  }

  // `strong` is what happened, `rest` what was kept and what comes next.
  show(state, word, strong, rest) {
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.element.dataset.state = state;
    this.status.dataset.state = SHAPES[state];
    setText(this.status, word);
    this.say(strong, rest);
    for (const [name, button] of this.buttons) button.hidden = !BUTTONS[state].includes(name);
    this.title.readOnly = !["next", "sending", "paused", "offline"].includes(state);
    if (focused?.hidden) [...this.buttons.values()].find((button) => !button.hidden)?.focus();
  }

  say(strong, rest) {
    const bold = document.createElement("strong");
    bold.textContent = strong;
    this.words.replaceChildren(...(strong ? [bold, " "] : []), rest ?? "");
  }

  // The part that is safe, three marks in front of it for what is moving now.
  fill(part, state) {
    const full = Math.floor(part * this.ticks.length);
    const rest = { sending: "done", checking: "done", done: "done", refused: "failed" }[state] ?? "held";
    this.ticks.forEach((tick, index) => {
      let want = index < full || state === "refused" ? rest : "";
      if (state === "sending" && index >= full && index < full + 3) want = "moving";
      if ((tick.dataset.state ?? "") === want) return;
      if (want) tick.dataset.state = want;
      else delete tick.dataset.state;
    });
  }

  open(href) {
    this.buttons.get("open").href = href;
  }

  label(name) {
    for (const [act, button] of this.buttons) {
      if (["pause", "resume", "first", "cancel"].includes(act)) button.setAttribute("aria-label", `${button.title} ${name}`);
    }
  }
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
