// The event stream: one connection, opened again when it breaks.
import { $, show } from "./format.js";

export function listen(handlers) {
  let lostAt = 0;
  let timer = 0;
  const source = new EventSource("api/v1/events");
  const tell = () => show($("link"), `The lab does not answer for ${Math.round((Date.now() - lostAt) / 1000)} s. This page tries again by itself; if it stays like this, look at zdl status.`);
  source.onopen = () => {
    clearInterval(timer);
    lostAt = 0;
    show($("link"), "");
    document.body.classList.remove("lost");
  };
  source.onerror = () => {
    if (lostAt) return;
    lostAt = Date.now();
    document.body.classList.add("lost");
    tell();
    timer = setInterval(() => {
      tell();
      if (source.readyState === EventSource.CLOSED) location.reload(); // refused for good: start anew
    }, 1000);
  };
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (e) => handle(JSON.parse(e.data)));
  }
}

export async function post(path, body) {
  const r = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const data = await r.json().catch(() => ({ error: `The lab answered ${r.status}.`, hint: "" }));
  return { ok: r.ok, status: r.status, data };
}
