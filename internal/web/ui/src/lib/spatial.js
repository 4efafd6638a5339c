// Where an arrow key leads.

const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
export const isArrow = (key) => key in ways;

// next finds the place that lies best in the direction of the key: near, and more
// straight ahead than aside. Places are {id, x, y} by their middle.
export function next(places, from, key) {
  const [dx, dy] = ways[key];
  let best = null;
  let least = Infinity;
  for (const p of places) {
    if (p.id === from.id) continue;
    const ahead = (p.x - from.x) * dx + (p.y - from.y) * dy;
    const aside = Math.abs((p.x - from.x) * dy) + Math.abs((p.y - from.y) * dx);
    if (ahead <= 2 || aside > 3 * ahead) continue;
    const far = ahead + 2.2 * aside;
    if (far < least) [best, least] = [p, far];
  }
  return best;
}

// nearest to a point.
export function nearest(places, at) {
  let best = null;
  let least = Infinity;
  for (const p of places) {
    const d = Math.hypot(p.x - at.x, p.y - at.y);
    if (d < least) [best, least] = [p, d];
  }
  return best;
}
