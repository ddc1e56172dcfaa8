/** Which state the player is in, and the card that says so over the picture. */
import { about, clock, seconds } from "./format.js";

const BACK_S = 30;
const CARD_AFTER_MS = 500; // a wait shorter than this is not worth a card
const STARVED = 3; // HTMLMediaElement.HAVE_FUTURE_DATA

/** idle | loading | playing | paused | waiting-encode | offline | failed | ended */
export function stateOf({ engine, readiness, video, started }) {
  const waiting = engine.waitingFor || (!engine.loaded && !readiness.whole);
  const starved = video.readyState < STARVED;
  if (engine.fault?.kind === "failed") return "failed";
  if (waiting && readiness.status === "failed") return "failed";
  if (engine.fault?.kind === "offline" || (!readiness.reachable && starved)) return "offline";
  if (waiting) return "waiting-encode";
  if (video.ended) return "ended";
  if (!started) return "idle";
  if (video.paused) return "paused";
  return starved ? "loading" : "playing";
}

export class Card {
  constructor(root, { onAct }) {
    this.box = root.querySelector("[data-card]");
    this.title = root.querySelector("[data-card-title]");
    this.text = root.querySelector("[data-card-text]");
    this.button = root.querySelector("[data-card-act]");
    this.button.addEventListener("click", () => this.act && onAct(this.act));
  }

  /** Shows what `state` needs; `facts` = {engine, readiness, going, ranInto}. Returns the words for the live region. */
  draw(state, facts) {
    const noun = "soundOnly" in this.box.closest("[data-player]").dataset ? "recording" : "film";
    const say = { "waiting-encode": waitingCard, offline: offlineCard, failed: failedCard }[state]?.({ ...facts, noun });
    if (!say) return this.hide();
    if (this.box.hidden && state === "waiting-encode" && !this.due(facts.redraw)) return "";
    this.box.hidden = false;
    set(this.title, say.title);
    set(this.text, say.text);
    this.act = say.act;
    this.button.hidden = !say.act;
    if (say.act) set(this.button, say.act.label);
    return say.title;
  }

  due(redraw) {
    this.since ??= performance.now();
    if (performance.now() - this.since >= CARD_AFTER_MS) return true;
    clearTimeout(this.timer);
    this.timer = setTimeout(redraw, CARD_AFTER_MS);
    return false;
  }

  hide() {
    clearTimeout(this.timer);
    this.since = undefined;
    if (this.box.contains(document.activeElement)) this.box.closest("[data-player]").querySelector("[data-scrubber]").focus();
    this.box.hidden = true;
    return "";
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function waitingCard({ engine, readiness, going, ranInto, noun }) {
  const eta = engine.demand.secondsFor(engine.waitingFor);
  const soon = eta ? `in ${about(eta)}` : "in a few seconds";
  if (!readiness.runs.length) {
    return {
      title: `This ${noun} is being prepared`,
      text: going ? `The first part is being made now and will play by itself ${soon}.` : `The first part is being made now. It can be played ${soon}.`,
    };
  }
  // Sound is made from beginning to end: no part of it can go first.
  const first = noun === "film" ? "It is being made before everything else" : "Everything up to it is being made";
  const what = ranInto ? "The next part is being made" : first;
  const then = going ? ` and will play by itself ${soon}.` : ". Press play, and it starts as soon as it is there.";
  return {
    title: ranInto ? "You have caught up with the encoder" : "Making this part now",
    text: `${what}${then} ${keptWords(readiness)}`,
    act: goBack(engine.position, readiness),
  };
}

function keptWords(readiness) {
  const [start, end] = readiness.runs[0];
  return start === 0 ? `The first ${clock(end)} is ready.` : `${clock(start)} to ${clock(end)} is ready.`;
}

/** 30 s back when that plays; otherwise to shortly before the end of what does. */
function goBack(position, readiness) {
  const plays = (time) => readiness.runs.some(([start, end]) => time >= start && time < end - 0.5);
  const back = Math.max(0, position - BACK_S);
  if (plays(back)) return { kind: "seek", to: back, label: `Go back ${seconds(Math.min(BACK_S, Math.max(1, position)))}` };
  const [start, end] = readiness.runs.findLast(([from]) => from < position) || readiness.runs[0] || [0, 0];
  const to = Math.max(start, end - BACK_S);
  return end > start ? { kind: "seek", to, label: `Go back to ${clock(to)}` } : undefined;
}

function offlineCard({ engine }) {
  const loaded = Math.floor(engine.bufferedAhead);
  const first = loaded >= 1 ? `${seconds(loaded)} are loaded and will keep playing. ` : "";
  const left = engine.fault?.tryAt ? Math.max(1, Math.ceil((engine.fault.tryAt - Date.now()) / 1000)) : 0;
  return {
    title: "The connection stopped",
    text: `${first}Your place at ${clock(engine.position)} is remembered on this device.${left ? ` Trying again in ${seconds(left)}.` : " Trying again."}`,
    act: { kind: "retry", label: "Try now" },
  };
}

function failedCard({ engine, readiness, noun }) {
  const place = clock(engine.position);
  const again = { kind: "reload", label: "Try again" };
  if (engine.fault?.reason === "gone") {
    return { title: `This ${noun === "film" ? "video" : noun} is no longer here`, text: `It may have been moved or taken down. Your place at ${place} is remembered on this device.`, act: again };
  }
  if (engine.fault) {
    return { title: "This browser could not play this part", text: `Your place at ${place} is kept. Try again, or choose another quality.`, act: again };
  }
  if (!readiness.runs.length) {
    return { title: `This ${noun} could not be made`, text: "Nothing of it can be played. The uploaded file is kept, so it can be tried again." };
  }
  return { title: "The encoder stopped before this part", text: `${keptWords(readiness)} That is kept and plays.`, act: goBack(engine.position, readiness) };
}
