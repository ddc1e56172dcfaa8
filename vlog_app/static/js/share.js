// "Copy link at 4:11": the address of this moment, copied. The button is only there when this script is.
import { copy } from "./copying.js";

const button = document.querySelector("[data-copy-link]");
const video = document.querySelector("[data-player] video");

function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, n) => (n ? String(part).padStart(2, "0") : part)).join(":");
}

function now() {
  return video ? Math.floor(video.currentTime) : 0;
}

function label() {
  return now() > 0 ? `Copy link at ${clock(now())}` : "Copy link";
}

if (button) {
  const words = button.querySelector("[data-copy-label]");
  const show = (text) => { if (words.textContent !== text) words.textContent = text; };
  let saidUntil = 0;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const url = new URL(button.dataset.copyLink);
    if (now() > 0) url.searchParams.set("t", String(now()));
    try {
      await copy(url.href);
      show("Link copied");
    } catch {
      show("Not copied: use the address bar");
    }
    saidUntil = Date.now() + 2000;
    setTimeout(() => show(label()), 2000);
  });
  video?.addEventListener("timeupdate", () => { if (Date.now() > saidUntil) show(label()); });
}
