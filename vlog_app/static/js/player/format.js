/** Times and lengths in the words and shapes people read. */

const SPACE = "\u00a0"; // a unit never leaves its number at a line end

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  const s = String(whole % 60).padStart(2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** A length for people who hear it rather than see it. */
export function spoken(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const parts = [[Math.floor(whole / 3600), "hour"], [Math.floor((whole % 3600) / 60), "minute"], [whole % 60, "second"]];
  const said = parts.filter(([n]) => n).map(([n, unit]) => `${n} ${unit}${n === 1 ? "" : "s"}`);
  return said.join(" ") || "0 seconds";
}

/** Time left, rounded the way a guess should be. */
export function about(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))}${SPACE}s`;
  if (seconds < 3600) return `about ${Math.round(seconds / 60)}${SPACE}min`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}${SPACE}h ${String(minutes % 60).padStart(2, "0")}${SPACE}min`;
}

export function seconds(count) {
  return `${Math.round(count)}${SPACE}s`;
}

/** A rung by the name people know: "192k" is a rate of sound. */
export function quality(name) {
  return name.replace(/^(\d+)k$/, `$1${SPACE}kb/s`);
}

export function rate(value) {
  return `${value}×`;
}

/** "245", "245s", "4m5s" or "1h2m3s" as seconds; null for anything else. */
export function parseTime(text) {
  if (!text) return null;
  if (/^\d+(\.\d+)?s?$/.test(text)) return parseFloat(text);
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (!match) return null;
  const [h, m, s] = match.slice(1).map((part) => Number(part || 0));
  return h * 3600 + m * 60 + s;
}
