// What comes from the lab, and what goes to it.

// listen opens the event stream, which the browser opens again when it breaks,
// telling the server where it was. `lost` is called with the seconds since it
// broke, and with 0 when it is back.
export function listen(handlers, lost) {
  let lostAt = 0;
  let timer = 0;
  const source = new EventSource("api/v1/events");
  source.onopen = () => {
    clearInterval(timer);
    lostAt = 0;
    lost(0);
  };
  source.onerror = () => {
    if (lostAt) return;
    lostAt = Date.now();
    const tell = () => {
      lost(Math.max(1, Math.round((Date.now() - lostAt) / 1000)));
      if (source.readyState === EventSource.CLOSED) location.reload(); // refused for good: start anew
    };
    tell();
    timer = setInterval(tell, 1000);
  };
  for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (e) => handle(JSON.parse(e.data)));
}

// post sends an action; the answer always has ok, and a sentence if it is not.
export async function post(path, body = {}) {
  let r;
  try {
    r = await fetch(`api/v1/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    return { ok: false, status: 0, data: {}, error: "That did not reach the lab." };
  }
  const data = await r.json().catch(() => ({}));
  const error = r.ok ? "" : [data.error ?? `The lab answered ${r.status}.`, data.hint].filter(Boolean).join(" ");
  return { ok: r.ok, status: r.status, data, error };
}

export async function get(path) {
  try {
    const r = await fetch(`api/v1/${path}`);
    return r.ok ? await r.json() : null;
  } catch {
    return null;
  }
}
