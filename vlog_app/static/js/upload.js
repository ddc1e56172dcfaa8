// The upload page: takes files in, sends two at a time, and says how it goes.
import { Item } from "./upload/item.js";
import { setText } from "./upload/row.js";
import { Speed, bytes, clock, timeLeft } from "./upload/words.js";

const AT_ONCE = 2;
const ANNOUNCE_EVERY_MS = 10_000;

class Page {
  constructor(root) {
    this.root = root;
    this.endpoint = root.dataset.endpoint;
    this.videos = root.dataset.videos;
    this.items = [];
    this.speed = new Speed();
    this.picker = root.querySelector("[data-files]");
    this.list = root.querySelector("[data-list]");
    this.template = root.querySelector("template[data-row]");
    this.pauseAll = root.querySelector("[data-pause-all]");
    for (const part of root.querySelectorAll(".up-js")) part.hidden = false;
    for (const element of this.list.children) this.items.push(new Item(element, this).adopt(element.dataset, this.endpoint));
    this.listen();
  }

  listen() {
    this.root.querySelector("[data-choose]").addEventListener("click", () => this.chooseFor(null));
    this.picker.addEventListener("change", () => this.chosen([...this.picker.files]));
    this.pauseAll.addEventListener("click", () => this.togglePause());
    document.addEventListener("dragover", (event) => this.over(event, true));
    document.addEventListener("dragleave", (event) => event.relatedTarget ?? this.over(event, false));
    document.addEventListener("drop", (event) => {
      this.over(event, false);
      this.wanted = null;
      if (event.dataTransfer) this.chosen([...event.dataTransfer.files]);
    });
    window.addEventListener("beforeunload", (event) => {
      if (this.items.some((item) => item.isBusy)) event.preventDefault();
    });
    window.addEventListener("offline", () => this.disconnected());
    window.addEventListener("online", () => {
      this.connected();
      for (const item of this.items) if (item.state === "offline") item.begin();
    });
  }

  over(event, isOver) {
    event.preventDefault();
    this.root.toggleAttribute("data-dragging", isOver);
  }

  chooseFor(item) {
    this.wanted = item;
    this.picker.multiple = item === null;
    this.picker.value = "";
    this.picker.click();
  }

  chosen(files) {
    const wanted = this.wanted;
    this.wanted = null;
    for (const file of files) this.add(file, files.length === 1 ? wanted : null);
    this.next();
  }

  add(file, wanted) {
    const waiting = this.items.find((item) => item.isSameAs(file));
    if (wanted?.state === "missing" && waiting !== wanted) {
      wanted.row.say(`This is not ${wanted.facts.name} as it was.`, `Choose the same file to send the rest, or cancel this one.`);
      this.announce(`This is not ${wanted.facts.name} as it was.`);
      return;
    }
    if (waiting) return waiting.take(file);
    if (wanted?.state === "refused") {
      wanted.row.title.value = "";
      wanted.row.thumb.querySelector("canvas")?.remove();
      return wanted.take(file);
    }
    const element = this.template.content.firstElementChild.cloneNode(true);
    this.list.append(element);
    const item = new Item(element, this);
    this.items.push(item);
    item.take(file);
  }

  // Start what waits, in the order of the list.
  next() {
    let free = AT_ONCE - this.items.filter((item) => item.isBusy).length;
    for (const item of this.items) {
      if (free > 0 && item.state === "next") {
        item.begin();
        free -= 1;
      }
    }
    this.sum();
  }

  // A person asked for this one: it starts now; the last one that was started by itself steps back.
  startFirst(wanted) {
    const busy = this.items.filter((item) => item.state === "sending" || item.state === "offline");
    if (busy.length >= AT_ONCE) {
      const last = busy.at(-1);
      last.pause();
      last.set("next", "Next up", "", `${bytes(last.safe)} is safe. Goes on when one above is done.`);
    }
    wanted.begin();
  }

  togglePause() {
    const moving = this.items.filter((item) => item.isBusy || item.state === "next");
    if (moving.length) {
      // From the end: pausing one would start the next.
      for (const item of moving.filter((one) => one.state === "next")) item.set("paused", "Paused", "", "Not started.");
      for (const item of moving) if (item.state !== "checking" && item.isBusy) item.pause();
    } else {
      for (const item of this.items) if (item.state === "paused") item.set("next", "Next up", "", "Starts when one above is done.");
      this.next();
    }
    this.sum();
  }

  drop(item) {
    const at = this.items.indexOf(item);
    const held = item.row.element.contains(document.activeElement);
    item.row.element.remove();
    this.items.splice(at, 1);
    if (held) (this.items[at]?.row.element.querySelector("button:not([hidden])") ?? this.root.querySelector("[data-choose]")).focus();
    this.next();
  }

  changed(item, isNewState, words) {
    if (isNewState && ["offline", "done", "refused", "paused"].includes(item.state)) this.announce(words);
    this.sum();
  }

  sum() {
    const count = this.items.length;
    this.root.querySelector("[data-section]").hidden = count === 0;
    setText(this.root.querySelector("[data-count]"), `${count} ${count === 1 ? "file" : "files"}`);
    const live = this.items.filter((item) => item.state !== "refused");
    const [sent, all] = [total(live, "sent"), total(live, "size")];
    const parts = all ? [`${bytes(sent)} of ${bytes(all)} sent`] : [];
    this.speed.add(sent);
    const moving = this.items.some((item) => item.state === "sending");
    if (moving && this.speed.value) parts.push(`${bytes(this.speed.value)}/s`, timeLeft((all - sent) / this.speed.value));
    if (!moving) this.speed.reset();
    setText(this.root.querySelector("[data-total]"), parts.join(" · "));
    const canPause = this.items.some((item) => item.isBusy || item.state === "next");
    this.pauseAll.hidden = !canPause && !this.items.some((item) => item.state === "paused");
    setText(this.pauseAll.querySelector("span"), canPause ? "Pause all" : "Resume all");
    const icon = this.pauseAll.querySelector("use");
    const href = icon.getAttribute("href").replace(/#.*/, canPause ? "#pause" : "#play");
    if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  }

  connected() {
    this.mark("done", "Connected");
  }

  disconnected() {
    this.lost ??= clock();
    this.mark("stale", `No answer since ${this.lost}`);
  }

  mark(state, text) {
    const mark = this.root.querySelector("[data-live]");
    if (state === "done") this.lost = null;
    mark.dataset.state = state;
    setText(mark, text);
  }

  // For ears: what changed, at most once in ten seconds; the newest wins.
  announce(words) {
    this.pending = words;
    if (this.speaking) return;
    const say = () => {
      this.speaking = null;
      if (!this.pending) return;
      setText(this.root.querySelector("[data-announce]"), this.pending);
      this.pending = null;
      this.speaking = setTimeout(say, ANNOUNCE_EVERY_MS);
    };
    say();
  }
}

const total = (items, name) => items.reduce((sum, item) => sum + item[name], 0);

for (const root of document.querySelectorAll("[data-uploads]")) new Page(root);
