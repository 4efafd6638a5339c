// Requests as they flow: each dot is one request that the prober really made. It
// leaves when the request was sent and goes to the pod that answered it; one that
// failed ends in a cross where its answer came from, as far as its class tells.
import { degraded, failed } from "./words.js";
import { route } from "./layout.js";

const delayMS = 350; // behind the present, so that batches become a steady flow
const travelMS = 900;
const crossMS = 900;
const flashMS = 220;
const most = 800; // dots at once; beyond that some are left out, failed ones never

export class Traffic {
  constructor(canvas) {
    this.canvas = canvas;
    canvas.traffic = this; // for tests
    this.dots = [];
    this.crosses = [];
    this.bursts = [];
    this.routes = new Map();
    this.geo = null;
    this.running = false;
    this.still = false; // reduced motion: nothing moves
    this.frame = this.frame.bind(this);
  }

  // stage tells where everything is now.
  stage(geo, ingresses, pods) {
    this.geo = geo;
    this.ingresses = ingresses; // IDs of ready ingress tiles
    this.pods = pods; // name of a pod → ID of its tile
    this.routes.clear();
  }

  take(slots, summary) {
    if (this.still || !this.geo || document.hidden) return;
    const base = performance.now() - summary.nowMs + delayMS;
    for (const s of slots) {
      if (s.class === "missed" || summary.nowMs - s.start > 3000) continue;
      const bad = failed(s);
      if (!bad && this.dots.length >= most) continue;
      const way = this.way(s, bad);
      if (way) this.dots.push({ at: base + s.start, way, bad, slow: degraded(s) });
    }
    this.run();
  }

  way(s, bad) {
    const ingress = this.ingresses.length ? this.ingresses[Number(s.seq) % this.ingresses.length] : "";
    const pod = this.pods.get(s.by) ?? "";
    // 5xx without a pod's name came from the ingress or the balancer; what got no
    // answer at all is shown at the edge.
    const ends = bad ? (s.status ? [ingress, pod] : ["", ""]) : [ingress, pod];
    const key = ends.join(">");
    let w = this.routes.get(key);
    if (!w) {
      w = measure(route(this.geo, ...ends));
      this.routes.set(key, w);
    }
    return w;
  }

  // burst marks a hit.
  burst(x, y, strong) {
    if (this.still) return;
    this.bursts.push({ x, y, at: performance.now(), strong });
    this.run();
  }

  run() {
    if (this.running) return;
    this.running = true;
    requestAnimationFrame(this.frame);
  }

  size() {
    const c = this.canvas, w = c.clientWidth, h = c.clientHeight;
    // A tall stage on a fine screen would be many millions of pixels to clear.
    const dpr = Math.min(devicePixelRatio || 1, Math.max(1, Math.sqrt(3e6 / Math.max(1, w * h))));
    if (c.width !== Math.round(w * dpr) || c.height !== Math.round(h * dpr)) {
      c.width = Math.round(w * dpr);
      c.height = Math.round(h * dpr);
      this.dpr = dpr;
    }
    return [w, h];
  }

  colours() {
    const css = getComputedStyle(this.canvas);
    const get = (n) => css.getPropertyValue(n).trim();
    this.colour = { ok: get("--dot"), slow: get("--warn"), bad: get("--bad"), heat: get("--heat") };
    this.coloured = performance.now();
  }

  frame(now) {
    if (!this.canvas.isConnected) { this.running = false; return; }
    if (!this.coloured || now - this.coloured > 1000) this.colours();
    const [w, h] = this.size();
    const g = this.canvas.getContext("2d");
    g.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
    g.clearRect(0, 0, w, h);
    const flying = [];
    for (const slow of [false, true]) {
      g.fillStyle = slow ? this.colour.slow : this.colour.ok;
      for (const d of this.dots) {
        if (d.bad || d.slow !== slow) continue;
        const t = (now - d.at) / travelMS;
        if (t >= 1 + flashMS / travelMS) continue;
        flying.push(d);
        if (t < 0) continue;
        const p = at(d.way, Math.min(1, t));
        const size = t > 1 ? 3 : 2.4;
        if (slow) g.fillRect(p[0] - 1.2, p[1] - 3.5, 2.4, 7); // a bar, not only another colour
        else g.fillRect(p[0] - size / 2, p[1] - size / 2, size, size);
      }
    }
    g.fillStyle = g.strokeStyle = this.colour.bad;
    for (const d of this.dots) {
      if (!d.bad) continue;
      const t = (now - d.at) / travelMS;
      if (t < 0) { flying.push(d); continue; }
      const p = at(d.way, Math.min(1, t));
      if (t >= 1) { this.crosses.push({ p: [p[0] + (Math.random() - 0.5) * 14, p[1] + (Math.random() - 0.5) * 10], at: now }); continue; }
      flying.push(d);
      g.fillRect(p[0] - 2, p[1] - 2, 4, 4);
    }
    this.dots = flying;
    this.crosses = this.crosses.filter((c) => now - c.at < crossMS).slice(-160);
    g.lineWidth = 1.8;
    g.beginPath();
    for (const c of this.crosses) {
      const k = 3.5;
      g.moveTo(c.p[0] - k, c.p[1] - k); g.lineTo(c.p[0] + k, c.p[1] + k);
      g.moveTo(c.p[0] + k, c.p[1] - k); g.lineTo(c.p[0] - k, c.p[1] + k);
    }
    g.stroke();
    this.bursts = this.bursts.filter((b) => now - b.at < (b.strong ? 700 : 260));
    g.strokeStyle = this.colour.heat;
    for (const b of this.bursts) {
      const t = (now - b.at) / (b.strong ? 700 : 260);
      g.globalAlpha = 1 - t;
      g.lineWidth = b.strong ? 3 : 1.5;
      g.beginPath();
      g.arc(b.x, b.y, (b.strong ? 60 : 22) * Math.sqrt(t) + 2, 0, 7);
      g.stroke();
    }
    g.globalAlpha = 1;
    if (this.dots.length + this.crosses.length + this.bursts.length === 0) { this.running = false; return; }
    requestAnimationFrame(this.frame);
  }
}

function measure(points) {
  const lengths = [0];
  for (let i = 1; i < points.length; i++) {
    lengths.push(lengths[i - 1] + Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]));
  }
  return { points, lengths, total: lengths.at(-1) };
}

function at(way, t) {
  const far = t * way.total;
  let i = 1;
  while (i < way.lengths.length - 1 && way.lengths[i] < far) i++;
  const [a, b] = [way.points[i - 1], way.points[i] ?? way.points[0]];
  const span = way.lengths[i] - way.lengths[i - 1] || 1;
  const k = Math.min(1, (far - way.lengths[i - 1]) / span);
  return [a[0] + (b[0] - a[0]) * k, a[1] + (b[1] - a[1]) * k];
}
