// How numbers are written for people: the same rules as on the server.
const NBSP = "\u00a0";

export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return value.toFixed(unit && value < 9.95 ? 1 : 0) + NBSP + units[unit];
}

export function timeLeft(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))}${NBSP}s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${minutes}${NBSP}min left`;
  return `${Math.floor(minutes / 60)}${NBSP}h${NBSP}${String(minutes % 60).padStart(2, "0")}${NBSP}min left`;
}

export function clock(date = new Date()) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function stem(name) {
  return name.replace(/\.[^.]+$/, "") || name;
}

// Bytes per second over the last few seconds; null until it is steady enough to be told.
export class Speed {
  constructor(windowMs = 5000) {
    this.windowMs = windowMs;
    this.points = [];
  }

  add(total, now = performance.now()) {
    this.points.push([now, total]);
    while (this.points.length > 2 && now - this.points[0][0] > this.windowMs) this.points.shift();
  }

  reset() {
    this.points = [];
  }

  get value() {
    if (this.points.length < 2) return null;
    const [from, to] = [this.points[0], this.points.at(-1)];
    const seconds = (to[0] - from[0]) / 1000;
    return seconds < 0.5 ? null : Math.max(0, (to[1] - from[1]) / seconds);
  }
}
