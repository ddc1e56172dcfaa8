// The grid under a finger, a mouse or the arrow keys: one tab stop, a cursor, and words for the cell it is on.
// Cursor and words live outside the part that is swapped, so that a swap never takes them away.
const tip = document.querySelector("[data-grid-tip]");
const cursor = document.querySelector("[data-grid-cursor]");
const spoken = document.querySelector("[data-grid-spoken]");
const WORDS = { done: "done", kept: "kept from before", moving: "encoding now", waiting: "waiting", failed: "failed, goes again" };
const at = { row: 0, column: 0 };
let isOn = false;

const area = () => document.getElementById("grid-area");
const rows = () => [...document.querySelectorAll(".grid-row")];
const perCell = () => Number(area().dataset.perCell);

function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (parts[0] ? parts : parts.slice(1)).map((part, n) => (n ? String(part).padStart(2, "0") : part)).join(":");
}

function segments(row) {
  return row.dataset.runs.trim().split(" ").flatMap((run) => {
    const [state, count, fraction] = run.split(":");
    return Array(Number(count)).fill({ state, fraction: Number(fraction) });
  });
}

function cells(row) {
  return Math.ceil(segments(row).length / perCell());
}

function describe(row, column) {
  const every = Number(area().dataset.segmentS);
  const end = Number(area().dataset.durationS);
  const first = column * perCell();
  const inside = segments(row).slice(first, first + perCell());
  const name = inside.length > 1 ? `segments ${first + 1} to ${first + inside.length}` : `segment ${first + 1}`;
  const time = `${clock(first * every)} to ${clock(Math.min(end, (first + inside.length) * every))}`;
  const ready = inside.filter((cell) => cell.state === "done" || cell.state === "kept").length;
  const moving = inside.find((cell) => cell.state === "moving");
  let words = WORDS[inside[0].state];
  if (moving) words = `encoding now, ${Math.round(moving.fraction * 100)}%`;
  else if (inside.length > 1 && ready && ready < inside.length) words = `${ready} of ${inside.length} done`;
  return { head: `${row.dataset.row}, ${name}`, time, words };
}

function show(isKey) {
  const row = rows()[at.row];
  if (!row) return hide();
  at.column = Math.max(0, Math.min(at.column, cells(row) - 1));
  const box = row.getBoundingClientRect();
  const width = box.width / cells(row);
  const left = box.left + at.column * width + scrollX;
  const top = box.top + scrollY;
  Object.assign(cursor.style, { left: `${left - 2}px`, top: `${top - 2}px`, width: `${Math.max(6, width * 0.82 + 4)}px`, height: `${box.height + 4}px` });
  const { head, time, words } = describe(row, at.column);
  tip.replaceChildren(...[head, time, words].map((text, n) => Object.assign(document.createElement(n ? "span" : "strong"), { textContent: text })));
  cursor.hidden = tip.hidden = false;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 12;
  Object.assign(tip.style, { left: `${Math.max(12, Math.min(left, room))}px`, top: `${top + box.height + 10}px` });
  isOn = true;
  if (isKey) spoken.textContent = `${head}, ${time}, ${words}`;
}

function hide() {
  cursor.hidden = tip.hidden = true;
  isOn = false;
}

function prepare() {
  if (isOn && area()) show(false);
}

document.addEventListener("keydown", (event) => {
  if (event.target.id !== "grid-area") return;
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -1e6], End: [0, 1e6] };
  const move = moves[event.key];
  if (event.key === "Escape") return hide();
  if (!move) return;
  event.preventDefault();
  at.row = Math.max(0, Math.min(rows().length - 1, at.row + (isOn ? move[0] : 0)));
  at.column = Math.max(0, at.column + (isOn ? move[1] : 0));
  show(true);
});
document.addEventListener("focusin", (event) => { if (event.target.id === "grid-area" && event.target.matches(":focus-visible")) show(true); });
document.addEventListener("focusout", (event) => { if (event.target.id === "grid-area") hide(); });
document.addEventListener("pointermove", (event) => {
  const row = event.target.closest?.(".grid-row");
  if (!row) { if (isOn && document.activeElement?.id !== "grid-area") hide(); return; }
  const box = row.getBoundingClientRect();
  at.row = rows().indexOf(row);
  at.column = Math.floor(((event.clientX - box.left) / box.width) * cells(row));
  show(false);
});
document.addEventListener("scroll", () => {
  if (document.activeElement?.id === "grid-area" && isOn) show(false);
  else hide();
}, { capture: true, passive: true });
document.addEventListener("htmx:afterSwap", prepare);
prepare();
