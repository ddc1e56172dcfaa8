// Keys of the owner's pages, and questions before something is stopped. Letters never act in fields.
const OFF = "vlog.keys.off"; // letter keys can be turned off: they get in the way of speech input
const GO = { u: "/upload", v: "/videos", q: "/queue", w: "/workers" };
let isGoing = false;
let row = -1;

function inField(target) {
  return target.closest?.("input, textarea, select, [contenteditable], dialog, [data-player]");
}

function move(by) {
  const rows = [...document.querySelectorAll("[data-key-row] [data-key-open]")];
  if (!rows.length) return;
  row = Math.max(0, Math.min(rows.length - 1, row + by));
  rows[row].focus();
  rows[row].scrollIntoView({ block: "nearest" });
}

const list = document.getElementById("keys-dialog");
const opener = document.querySelector("[data-keys-open]");
const letters = document.querySelector("[data-keys-switch]");

function showList() {
  letters.checked = !localStorage.getItem(OFF);
  list.showModal();
}

if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", showList);
  letters.addEventListener("change", () => {
    if (letters.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || localStorage.getItem(OFF)) return;
  const key = event.key.toLowerCase();
  if (isGoing) {
    isGoing = false;
    if (GO[key]) location.assign(GO[key]);
    return;
  }
  if (key === "g") isGoing = true;
  else if (key === "/") document.querySelector("[data-key-search]")?.focus();
  else if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "?") showList();
  else if (key === "e") document.getElementById("title")?.focus();
  else if (key === "r") document.querySelector("[data-key-retry]")?.focus();
  else return;
  if (key === "/" || key === "e") event.preventDefault();
});

document.addEventListener("submit", (event) => {
  const dialog = document.getElementById(event.target.dataset?.confirm ?? "");
  if (!dialog || event.target.dataset.sure) return;
  event.preventDefault();
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return;
    event.target.dataset.sure = "1";
    event.target.submit();
  }, { once: true });
  dialog.showModal();
});
