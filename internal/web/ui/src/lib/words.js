// Words and numbers for people.

const thousands = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const whole = (n) => thousands.format(n);

export function ms(n) {
  if (!Number.isFinite(n) || n <= 0) return "–"; // none was measured
  return n >= 100 ? `${whole(n)} ms` : `${n.toFixed(n >= 10 ? 0 : 1)} ms`;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(wall, fine = false) {
  const d = new Date(wall);
  const s = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return fine ? `${s}.${String(d.getMilliseconds()).padStart(3, "0")}` : s;
}

// left counts down: "4:07".
export function left(until, now) {
  const s = Math.max(0, Math.ceil((new Date(until) - now) / 1000));
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export const count = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

// classes lists failures by kind: "503 × 120, timeout × 2".
export function classes(byClass) {
  return Object.entries(byClass ?? {})
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .map(([k, n]) => `${k} × ${whole(n)}`)
    .join(", ");
}

const reasons = { 200: "OK", 404: "Not Found", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout" };
const broken = {
  refused: "connection refused", reset: "connection broken", timeout: "no answer in time", stalled: "answer never completed",
  unreachable: "host unreachable", missed: "not measured", wrong: "wrong answer", stale: "old data",
};

// answer names what came back for one request.
export function answer(slot) {
  if (slot.status && !["reset", "timeout", "stalled", "stale"].includes(slot.class)) return `${slot.status} ${reasons[slot.status] ?? ""}`.trim();
  return broken[slot.class] ?? slot.class;
}

export const failed = (slot) => !["ok", "slow", "stale", "missed"].includes(slot.class);
export const degraded = (slot) => slot.class === "slow" || slot.class === "stale";

// length of an outage, with what is sure and what is not.
export function length(o) {
  if (o.open) return `${whole(o.lowerMs)} ms so far`;
  if (o.unbounded) return `at least ${whole(o.lowerMs)} ms`;
  if (o.lowerMs < 0.5) return `at most ${whole(Math.ceil(o.upperMs))} ms`;
  return `${whole(o.lowerMs)} to ${whole(o.upperMs)} ms`;
}

const subjects = { service: "The service", api: "The Kubernetes API", dns: "Cluster DNS", database: "The database" };
export const subject = (s) => subjects[s] ?? s;

// list joins names: "a, b and c".
export function list(names) {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

// fit cuts a text to a width in pixels, by the mean width of letters.
export function fit(text, width, size) {
  const n = Math.floor(width / (size * 0.51));
  return text.length <= n ? text : n < 2 ? "" : `${text.slice(0, n - 1)}…`;
}
