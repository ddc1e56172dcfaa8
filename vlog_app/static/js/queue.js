// The queue under keys and mouse: Space lifts a film, arrows move it between priorities, Space drops it; or it is
// dragged. While a reader is in the list nothing moves under them: news waits behind a button.
import { keepSteady } from "./steady.js";

const spoken = document.querySelector("[data-queue-spoken]");
const news = document.querySelector("[data-queue-news]");
const WORDS = { high: "high priority", normal: "normal priority", low: "low priority" };
let lifted = null; // { row, from: lane, next: its neighbour }
let dragged = null;

const board = () => document.getElementById("board");
const laneOf = (element) => element.closest("[data-lane]");
const say = (words) => { spoken.textContent = words; };
const order = (root) => [...root.querySelectorAll(".job")].map((row) => `${laneOf(row)?.dataset.lane ?? ""}:${row.id}`).join(" ");
const isBusy = () => Boolean(lifted || dragged || board().querySelector("details[open]"));
const refresh = keepSteady({
  id: "board",
  order,
  isBusy,
  isRead: () => board().matches(":hover") || board().contains(document.activeElement),
  onNews: (isWaiting) => { news.hidden = !isWaiting || Boolean(lifted || dragged); },
  afterSwap: prepare,
});

function prepare() {
  for (const grip of document.querySelectorAll("[data-grip]")) {
    grip.hidden = false;
    grip.closest(".job").draggable = true;
  }
}

function place(row, lane) {
  const from = laneOf(row);
  lane.querySelector("[data-jobs]").prepend(row);
  for (const each of [from, lane]) each.querySelector("[data-lane-empty]").hidden = Boolean(each.querySelector(".job"));
}

async function drop(row, lane) {
  const { film, title, priority } = row.dataset;
  const wanted = lane.dataset.lane;
  if (wanted === priority) return;
  row.dataset.priority = wanted;
  const answer = await fetch(`/queue/videos/${film}/priority`, {
    method: "POST", body: new URLSearchParams({ priority: wanted }), redirect: "manual", credentials: "same-origin",
  }).catch(() => null);
  say(answer?.type === "opaqueredirect" ? `“${title}” is at ${WORDS[wanted]} now.` : `“${title}” could not be moved. It stays where it was.`);
  refresh(true);
}

function lift(row) {
  lifted = { row, from: laneOf(row), next: row.nextElementSibling };
  row.dataset.lifted = "";
  row.querySelector("[data-grip]").setAttribute("aria-pressed", "true");
  say(`Lifted “${row.dataset.title}”, ${WORDS[lifted.from.dataset.lane]}. Arrows move it, Space drops it, Escape puts it back.`);
}

function settle() {
  const { row } = lifted;
  delete row.dataset.lifted;
  row.querySelector("[data-grip]").setAttribute("aria-pressed", "false");
  lifted = null;
  return row;
}

function putBack() {
  const { row, from, next } = lifted;
  place(row, from);
  from.querySelector("[data-jobs]").insertBefore(row, next);
  settle().querySelector("[data-grip]").focus();
  say(`“${row.dataset.title}” is back where it was.`);
}

function carry(by) {
  const { row } = lifted;
  const lanes = [...row.closest("[data-column]").querySelectorAll("[data-lane]")];
  const lane = lanes[lanes.indexOf(laneOf(row)) + by];
  if (!lane) return;
  place(row, lane);
  row.querySelector("[data-grip]").focus();
  row.scrollIntoView({ block: "nearest" });
  say(WORDS[lane.dataset.lane]);
}

document.addEventListener("keydown", (event) => {
  const grip = event.target.closest?.("[data-grip]");
  if (event.key === "Escape" && lifted) return putBack();
  if (!grip) return;
  if (event.key === " ") {
    event.preventDefault();
    if (!lifted) return lift(grip.closest(".job"));
    const row = settle();
    drop(row, laneOf(row));
  } else if (lifted && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    carry(event.key === "ArrowUp" ? -1 : 1);
  }
});
document.addEventListener("keyup", (event) => { // Space also clicks a button, here it has done its work
  if (event.key === " " && event.target.closest?.("[data-grip]")) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const grip = event.target.closest("[data-grip]");
  if (grip && event.detail) { // a mouse that only clicks finds the same in the menu
    const menu = grip.closest(".job").querySelector("[data-menu]");
    menu.open = true;
    menu.querySelector(".menu-item").focus();
  }
  if (event.target.closest("[data-queue-show]")) refresh(true);
});
document.addEventListener("focusout", () => setTimeout(() => {
  if (lifted && !lifted.row.contains(document.activeElement)) putBack();
}));

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-film]");
  if (!dragged) return;
  dragged.dataset.dragging = "";
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.title);
});
document.addEventListener("dragover", (event) => {
  const lane = dragged && event.target.closest?.("[data-lane]");
  for (const each of document.querySelectorAll("[data-over]")) if (each !== lane) delete each.dataset.over;
  if (!lane || lane.closest("[data-column]") !== dragged.closest("[data-column]")) return;
  event.preventDefault();
  lane.dataset.over = "";
});
document.addEventListener("drop", (event) => {
  const lane = dragged && event.target.closest?.("[data-lane]");
  if (!lane) return;
  event.preventDefault();
  place(dragged, lane);
  drop(dragged, lane);
});
document.addEventListener("dragend", () => {
  if (dragged) delete dragged.dataset.dragging;
  for (const each of document.querySelectorAll("[data-over]")) delete each.dataset.over;
  dragged = null;
});

prepare();
