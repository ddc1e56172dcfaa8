// The workers page between two news: seconds are counted, and nothing moves under a reader.
import { keepSteady } from "./steady.js";

const news = document.querySelector("[data-page-news]");
const fleet = () => document.getElementById("fleet");
const NBSP = "\u00a0";

function span(seconds) {
  if (seconds < 120) return `${seconds}${NBSP}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${NBSP}min`;
  return "";
}

// The server's clock judges heartbeats: what its page said a moment ago tells how far ours is off.
let offset = 0;
function set() {
  const told = fleet()?.dataset.now;
  if (told) offset = Date.parse(told) - Date.now();
}

function count() {
  const now = Date.now() + offset;
  for (const time of document.querySelectorAll("time[data-ago], time[data-for], time[data-in]")) {
    const ahead = "in" in time.dataset;
    const seconds = Math.max(0, Math.floor((ahead ? Date.parse(time.dateTime) - now : now - Date.parse(time.dateTime)) / 1000));
    const words = span(seconds);
    if (!words) continue; // hours: what the server wrote is good enough
    const shown = "ago" in time.dataset ? `${words} ago` : words;
    if (time.textContent !== shown) time.textContent = shown;
  }
}

if (fleet()) {
  const refresh = keepSteady({
    id: "fleet",
    order: (root) => [...root.querySelectorAll("[data-worker]")].map((each) => each.dataset.worker).join(" "),
    isBusy: () => Boolean(fleet().querySelector("details[open]")),
    isRead: () => fleet().matches(":hover") || fleet().contains(document.activeElement),
    onNews: (isWaiting) => { news.hidden = !isWaiting; },
    afterSwap: () => { set(); count(); },
  });
  news.querySelector("[data-page-show]").addEventListener("click", () => refresh(true));
  set();
  setInterval(() => { if (!document.hidden) count(); }, 1000);
}
