// Live pages. The server's stream says which video changed; htmx fetches that part. Without a stream: every 5 s.
// Elements: [data-live="1,2"] names the videos of this page ("*" is every video), [data-live-video] a part that can be
// fetched anew ("*": whenever any video changed),
// [data-live-stream] beside data-live: a stream of its own, where every event means that the parts are to be fetched,
// [data-live-mark] the word that says how fresh the page is.
import { rewriteClocks, clockNow } from "./clock.js";

const SILENT_MS = 10_000; // the server speaks every 5 s
const POLL_MS = 5_000;
const RETRY_MS = 30_000;

const due = new Map(); // video id -> timer of its next fetch
const fetchedAt = new Map();
let source = null;
let heardAt = Date.now();
let isLive = false;
let pollTimer = 0;

const videoIds = () => document.querySelector("[data-live]")?.dataset.live ?? "";
const streamUrl = (ids) => document.querySelector("[data-live-stream]")?.dataset.liveStream
  ?? (ids === "*" ? "/api/events/progress" : `/api/events/progress?video_ids=${ids}`);
const partsOf = (id) => document.querySelectorAll(id ? `[data-live-video="${CSS.escape(id)}"]` : "[data-live-video]");

function say(state, words) {
  for (const mark of document.querySelectorAll("[data-live-mark]")) {
    mark.hidden = false;
    if (mark.dataset.state !== state) mark.dataset.state = state;
    if (mark.textContent !== words) mark.textContent = words;
  }
}

function fetchPart(part) {
  const id = part.dataset.liveVideo;
  const every = Number(part.dataset.liveEvery) || 1000;
  const wait = (fetchedAt.get(id) ?? 0) + every - Date.now();
  if (due.has(id) || document.hidden) return;
  due.set(id, setTimeout(() => {
    due.delete(id);
    fetchedAt.set(id, Date.now());
    for (const now of partsOf(id)) window.htmx?.trigger(now, "changed");
  }, Math.max(0, wait)));
}

const fetchAll = () => partsOf().forEach(fetchPart);

function heard() {
  heardAt = Date.now();
  if (!isLive) {
    isLive = true;
    clearInterval(pollTimer);
    pollTimer = 0;
    say("done", "Live");
  }
}

function lost() {
  isLive = false;
  say("stale", `Last heard ${clockNow(heardAt)}, trying again`);
  pollTimer ||= setInterval(fetchAll, POLL_MS);
}

function connect() {
  const ids = videoIds();
  if (!ids || document.hidden || source) return;
  source = new EventSource(streamUrl(ids));
  for (const name of ["initial", "beat", "heartbeat", "progress"]) source.addEventListener(name, heard);
  source.addEventListener("changed", (event) => {
    heard();
    const { video_id: id } = JSON.parse(event.data);
    for (const key of [String(id), "*"]) partsOf(key).forEach(fetchPart);
    document.dispatchEvent(new Event("vlog:news"));
  });
  source.addEventListener("worker_status", () => {
    heard();
    fetchAll();
    document.dispatchEvent(new Event("vlog:news"));
  });
  source.addEventListener("initial", fetchAll); // what changed while nobody listened
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) { // refused: too many streams, or signed out
      disconnect();
      setTimeout(connect, RETRY_MS);
    }
    lost();
  });
}

function disconnect() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return disconnect();
  connect();
  fetchAll();
});
setInterval(() => {
  if (source && isLive && Date.now() - heardAt > SILENT_MS) lost();
}, 1000);

document.addEventListener("htmx:afterSwap", () => {
  rewriteClocks();
  connect(); // something may have begun
  if (!videoIds()) { // everything here is finished
    disconnect();
    clearInterval(pollTimer);
    pollTimer = 0;
    say("done", "Up to date");
  } else if (isLive) say("done", "Live");
  else say("stale", `Last heard ${clockNow(heardAt)}, trying again`);
});
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) say("stale", "You were signed out. Sign in again");
});

rewriteClocks();
connect();
