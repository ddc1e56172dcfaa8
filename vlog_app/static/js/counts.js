// The numbers in the navigation stay true: only their text changes, so neither the page nor the focus moves.
const EVERY_MS = 10_000;
const AFTER_NEWS_MS = 1_000; // news come in numbers

const spots = { videos: "nav-videos", queue: "nav-queue", workers: "nav-workers" };
let timer = 0;

async function ask() {
  clearTimeout(timer);
  timer = 0;
  if (document.hidden) return; // asked again when somebody looks
  try {
    const answer = await fetch("/api/counts", { headers: { Accept: "application/json" } });
    if (answer.ok) show(await answer.json());
    if (answer.status === 401) return; // signed out
  } catch {
    // the site is away: the numbers stay as they were
  }
  wait(EVERY_MS);
}

function show(counts) {
  for (const [name, id] of Object.entries(spots)) {
    const text = counts[name].toLocaleString("en");
    const spot = document.getElementById(id);
    if (spot.textContent !== text) spot.textContent = text;
  }
}

let dueAt = 0;
function wait(ms) {
  if (timer && dueAt <= Date.now() + ms) return;
  clearTimeout(timer);
  dueAt = Date.now() + ms;
  timer = setTimeout(ask, ms);
}

document.addEventListener("visibilitychange", () => wait(0));
document.addEventListener("vlog:news", () => wait(AFTER_NEWS_MS));
wait(EVERY_MS);
