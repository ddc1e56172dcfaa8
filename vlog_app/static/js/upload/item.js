// One file on its way: sends it with tus, waits out broken connections, and tells its row.
import { drawFrame } from "./picture.js";
import { Row } from "./row.js";
import { Speed, bytes, clock, stem, timeLeft } from "./words.js";

const CHUNK_BYTES = 16 * 1024 * 1024; // one request; small enough that a refusal can be read before hanging up
const WAITS_S = [1, 2, 4, 8, 15, 30]; // between tries; the last one repeats
const SHOW_EVERY_MS = 250;
const REFUSED = [400, 413, 415, 422];

export class Item {
  constructor(element, page) {
    this.page = page;
    this.row = new Row(element, (name) => this.act(name));
    this.file = null;
    this.url = null;
    this.sent = this.safe = this.size = 0;
    this.speed = new Speed();
    this.tries = 0;
    this.state = "next";
    this.titleDirty = false;
    this.key = randomKey();
    this.row.title.addEventListener("change", () => this.rename());
  }

  // A row the server drew: what it has of a file that stopped half-way.
  adopt(facts, endpoint) {
    this.url = `${endpoint}/${facts.id}`;
    this.facts = facts;
    this.size = Number(facts.length);
    this.sent = this.safe = Number(facts.offset);
    this.state = "missing";
    this.row.label(facts.name);
    return this;
  }

  isSameAs(file) {
    if (this.state !== "missing" || file.size !== this.size || file.name !== this.facts.name) return false;
    return !this.facts.modified || this.facts.modified === String(file.lastModified);
  }

  take(file) {
    this.file = file;
    this.size = file.size;
    if (!this.row.title.value) this.row.title.value = stem(file.name);
    this.row.size.textContent = bytes(file.size);
    this.row.label(file.name);
    drawFrame(file, this.row.thumb);
    this.set("next", "Next up", "", this.url ? `${bytes(this.safe)} are safe. Goes on when one above is done.` : "Starts when one above is done.");
  }

  act(name) {
    if (name === "pause") this.pause();
    else if (name === "resume" || name === "first") this.page.startFirst(this);
    else if (name === "again") this.begin();
    else if (name === "cancel") this.cancel();
    else this.page.chooseFor(this); // replace, choose
  }

  get isBusy() {
    return ["sending", "checking", "offline"].includes(this.state);
  }

  begin() {
    clearTimeout(this.timer);
    if (this.file === null) return;
    this.speed.reset();
    this.showSending();
    this.tus ??= this.make();
    this.tus.start();
  }

  make() {
    return new window.tus.Upload(this.file, {
      endpoint: this.page.endpoint,
      uploadUrl: this.url,
      chunkSize: CHUNK_BYTES,
      retryDelays: null, // we wait ourselves, in sight
      storeFingerprintForResuming: false, // the server knows what is unfinished
      headers: { "Idempotency-Key": this.key },
      metadata: { filename: this.file.name, title: this.title, modified: String(this.file.lastModified) },
      onUploadUrlAvailable: () => { this.url = this.tus.url; },
      onAfterResponse: (_request, response) => this.heard(response),
      onProgress: (sent) => this.moved(sent),
      onChunkComplete: (_size, accepted) => { this.safe = accepted; this.sendTitle(); },
      onSuccess: () => this.finish(),
      onError: (error) => this.failed(error),
    });
  }

  get title() {
    return this.row.title.value.trim();
  }

  heard(response) {
    this.page.connected();
    this.tries = 0;
    this.videoId = response.getHeader("X-Video-Id") ?? this.videoId;
    const offset = Number(response.getHeader("Upload-Offset") ?? NaN);
    if (Number.isFinite(offset)) this.safe = offset;
  }

  moved(sent) {
    this.sent = sent;
    this.speed.add(sent);
    const now = performance.now();
    if (sent >= this.size) this.set("checking", "Checking", "", "All of it is here. Its inside is being looked at.");
    else if (now - (this.shown ?? 0) > SHOW_EVERY_MS) {
      this.shown = now;
      this.showSending();
    }
  }

  showSending() {
    const rate = this.speed.value;
    const parts = [`${bytes(this.sent)} sent`];
    if (rate) parts.push(`${bytes(rate)}/s`, timeLeft((this.size - this.sent) / rate));
    this.set("sending", `Sending, ${Math.min(99, Math.floor((100 * this.sent) / this.size))}%`, "", parts.join(" · "));
  }

  finish() {
    this.sent = this.safe = this.size;
    this.row.open(`${this.page.videos.replace(/\/$/, "")}/${this.videoId}`);
    this.set("done", "Received, checked", "", "Encoding begins by itself.");
    this.page.next();
  }

  failed(error) {
    const response = error.originalResponse;
    const answer = parse(response);
    const status = response?.getStatus() ?? 0;
    this.sent = this.safe;
    if (REFUSED.includes(status) && answer.code !== "bad_request") return this.refuse(answer.detail);
    if (status === 401) return this.signedOut();
    if (status === 404) this.startAnew();
    const wait = Number(response?.getHeader("Retry-After")) || WAITS_S[Math.min(this.tries, WAITS_S.length - 1)];
    this.tries += 1;
    const what = answer.detail ?? (status ? "The server is busy." : `The network went away at ${clock()}.`);
    if (!status) this.page.disconnected();
    this.waitFor(wait, what, status ? "Waiting for the server" : "Waiting for the connection");
  }

  waitFor(seconds, what, word) {
    clearTimeout(this.timer);
    if (seconds <= 0) return this.begin();
    const safe = what.includes("safe") || what.includes("Nothing") ? "" : `${bytes(this.safe)} is safe. `;
    this.set("offline", word, what, `${safe}Trying again in ${Math.ceil(seconds)}\u00a0s.`);
    this.timer = setTimeout(() => this.waitFor(seconds - 1, what, word), 1000);
  }

  // The server forgot this upload (it lay still for a day, or was refused while the answer got lost).
  startAnew() {
    this.tus = null;
    this.url = null;
    this.safe = this.sent = 0;
    this.key = randomKey();
  }

  refuse(reason) {
    const [first, ...rest] = (reason ?? "The server would not take this file.").split(/(?<=\.) /);
    this.startAnew();
    this.set("refused", "Not taken", first, rest.join(" "));
    this.page.next();
  }

  signedOut() {
    this.set("paused", "Paused", "You were signed out.", `${bytes(this.safe)} is safe. Sign in in another tab, then resume.`);
    this.page.next();
  }

  pause() {
    clearTimeout(this.timer);
    this.tus?.abort();
    this.sent = this.safe;
    this.set("paused", "Paused", "", `${bytes(this.safe)} is safe. It is kept for a day.`);
    this.page.next();
  }

  async cancel() {
    clearTimeout(this.timer);
    this.tus?.abort();
    const url = this.tus?.url ?? this.url;
    if (url && this.state !== "refused") {
      await fetch(url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } }).catch(() => null);
    }
    this.page.drop(this);
  }

  rename() {
    this.titleDirty = this.url !== null;
    this.sendTitle();
  }

  async sendTitle() {
    if (!this.titleDirty || !this.url || !this.title) return;
    this.titleDirty = false;
    const body = JSON.stringify({ title: this.title });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`${this.url}/title`, { method: "POST", headers, body }).catch(() => null);
    this.titleDirty ||= !answer?.ok && answer?.status !== 404;
  }

  set(state, word, strong, rest) {
    const changed = this.state !== state;
    this.state = state;
    if (state === "sending" && !changed) {
      this.row.status.textContent = word;
      this.row.say(strong, rest);
    } else this.row.show(state, word, strong, rest);
    this.row.fill(this.size ? this.sent / this.size : 0, state);
    this.page.changed(this, changed, `${this.title}: ${word}. ${strong ?? ""}`);
  }
}

function parse(response) {
  try {
    return JSON.parse(response?.getBody() ?? "") ?? {};
  } catch {
    return {};
  }
}

// Not crypto.randomUUID: it is missing on plain http addresses of a home network.
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
