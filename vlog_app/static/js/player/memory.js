/** What this device remembers: the place in each video, the volume, the speed, whether letter keys act. */
import { parseTime } from "./format.js";

const PLACES = "vlog.player.places";
const TASTE = "vlog.player.taste";
const PLACES_KEPT = 200;
const TOO_EARLY_S = 10; // nobody wants to resume at the opening titles
const TOO_LATE_S = 10; // nor at the closing ones

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) || {};
  } catch {
    return {}; // storage is switched off, or something else wrote there
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or switched off: the film still plays, only the place is not kept.
  }
}

export function keepPlace(slug, time, duration) {
  const places = read(PLACES);
  delete places[slug]; // set again below, so that the newest is last
  if (time >= TOO_EARLY_S && time < duration - TOO_LATE_S) places[slug] = Math.round(time * 10) / 10;
  const kept = Object.entries(places).slice(-PLACES_KEPT);
  write(PLACES, Object.fromEntries(kept));
}

/** The place to begin at, and whether a link asked for it. */
export function startPlace(slug, duration) {
  const asked =
    parseTime(new URLSearchParams(location.search).get("t")) ??
    parseTime(new URLSearchParams(location.hash.slice(1)).get("t"));
  if (asked !== null) return { time: Math.min(asked, Math.max(0, duration - 1)), asked: true };
  const place = read(PLACES)[slug];
  return { time: place > 0 && place < duration - TOO_LATE_S ? place : 0, asked: false };
}

export function taste() {
  return { volume: 1, muted: false, rate: 1, letters: true, captions: "", ...read(TASTE) };
}

export function keepTaste(part) {
  write(TASTE, { ...taste(), ...part });
}
