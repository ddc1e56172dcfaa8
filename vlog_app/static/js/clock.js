// Times of day in the reader's own zone and manner; the server wrote its own.
const format = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export const clockNow = (ms = Date.now()) => format.format(new Date(ms));

export function rewriteClocks(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title ||= full.format(at);
    if ("clock" in time.dataset) {
      const words = format.format(at);
      if (time.textContent !== words) time.textContent = words;
    }
  }
}
