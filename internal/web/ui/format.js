// Words and numbers for people.

export const $ = (id) => document.getElementById(id);

// el makes an element: el("p", {class: "x", text: "y"}, child, …).
export function el(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k === "text") e.textContent = v;
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// put sets a text only when it differs, so that screen readers and layout rest.
export function put(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export function setAttr(e, name, value) {
  if (value === null || value === undefined || value === false) {
    if (e.hasAttribute(name)) e.removeAttribute(name);
  } else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

export function show(e, text) {
  put(e, text);
  e.hidden = text === "";
}

const thousands = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const whole = (n) => thousands.format(n);

export function ms(n) {
  return n >= 100 ? `${whole(n)} ms` : `${n.toFixed(n >= 10 ? 0 : 1)} ms`;
}

export function clock(wall) {
  const d = new Date(wall);
  const p = (n, w = 2) => String(n).padStart(w, "0");
  return `${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}.${p(d.getMilliseconds(), 3)}`;
}

export function count(n, one, many) {
  return `${whole(n)} ${n === 1 ? one : many}`;
}

// classes lists failures by kind: "503 × 120, timeout × 2".
export function classes(byClass) {
  return Object.entries(byClass)
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .map(([k, n]) => `${k} × ${whole(n)}`)
    .join(", ");
}

const reasons = { 200: "OK", 404: "Not Found", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout" };

// answer names what came back for one request.
export function answer(slot) {
  if (slot.status && slot.class !== "reset" && slot.class !== "timeout") {
    return `${slot.status} ${reasons[slot.status] ?? ""}`.trim();
  }
  return { refused: "connection refused", reset: "connection broken", timeout: "no answer in time",
    unreachable: "host unreachable", missed: "not measured", wrong: "wrong answer" }[slot.class] ?? slot.class;
}

export const failed = (slot) => !["ok", "slow", "missed"].includes(slot.class);
