// The shop works without this. It saves a click at the checkout and tells
// customers how far their order has come.
"use strict";

const where = document.getElementById("where");
if (where) {
  where.country.addEventListener("change", () => { if (where.country.value) where.submit(); });
}

const order = document.getElementById("order");
if (order) {
  order.addEventListener("submit", () => {
    // A second click would only order the same again, which is one order; but it
    // would look as if it did more.
    setTimeout(() => { order.querySelector("button").disabled = true; }, 0);
  });
  addEventListener("pageshow", () => { order.querySelector("button").disabled = false; });
}

const state = document.getElementById("state");
if (state) follow(state, 1000);

function follow(element, wait) {
  const last = element.dataset.state;
  if (last === "dispatched" || last === "refused") return;
  setTimeout(async () => {
    try {
      const answer = await fetch("/api/orders/" + element.dataset.order + "?queued=1");
      if (answer.ok && (await answer.json()).state !== last) {
        location.reload();
        return;
      }
    } catch { /* it is asked again */ }
    follow(element, Math.min(2 * wait, 15000));
  }, wait);
}
