// Two models on the same users, ranked against different things: who leads, and is it a lead?

import { choice, h, menu, signed } from "./frame.js";
import { meanAndError, worth } from "./metrics.js";

/**
 * Two models: each one's mean and error, and their paired difference.
 * @param {string[]} models their names.
 * @param {number[][]} users above and tied of the one, above and tied of the other, and how many
 *   users have these four.
 */
export function compare(models, users, metric) {
  const times = users.map((row) => row[4]);
  const values = [0, 2].map((at) => users.map((row) => worth(metric, row[at], row[at + 1])));
  const gap = meanAndError(values[0].map((value, row) => value - values[1][row]), times);
  return { rows: models.map((name, i) => ({ name, ...meanAndError(values[i], times) })), gap };
}

/** What may be said of a difference: less than two standard errors is no claim. */
export function verdict([one, other], { mean, error }) {
  const leader = mean > 0 ? one : other;
  const by = `${one} − ${other}: ${signed(mean)} ± ${error.toFixed(3)}, paired.`;
  return Math.abs(mean) < 2 * error
    ? `No lead that we could claim. ${by}`
    : `${leader} leads by ${(Math.abs(mean) / error).toFixed(1)} standard errors. ${by}`;
}

/** The figure: what to rank against, a bar for each model with the higher one on top. */
export function showProtocols({ models, protocols, metrics }) {
  const names = Object.keys(protocols);
  const state = { protocol: names[0], metric: metrics[0] };
  const bars = h("div.bars", { role: "list" });
  const said = h("p.said", { role: "status" });
  const rows = new Map();
  for (const [place, name] of models.entries()) {
    const [bar, whisker, number] = [h("i"), h("b"), h("span.number")];
    const track = h("span.bar", { "aria-hidden": "true" }, bar, whisker);
    const attributes = { role: "listitem" };
    const element = h(`div.row.model-${place}`, attributes, h("span", {}, name), track, number);
    rows.set(name, { element, bar, whisker, number });
    bars.append(element);
  }

  const show = () => {
    const found = Object.fromEntries(
      names.map((name) => [name, compare(models, protocols[name], state.metric)]),
    );
    // one scale for all protocols, so that an easier question shows
    const everything = Object.values(found).flatMap((one) => one.rows);
    const scale = 1.05 * Math.max(...everything.map(({ mean, error }) => mean + error));
    const { rows: shown, gap } = found[state.protocol];
    for (const { name, mean, error } of shown) {
      const { bar, whisker, number } = rows.get(name);
      bar.style.width = `${(100 * mean) / scale}%`;
      whisker.style.left = `${(100 * (mean - error)) / scale}%`;
      whisker.style.width = `${(200 * error) / scale}%`;
      number.textContent = `${mean.toFixed(3)} ± ${error.toFixed(3)}`;
    }
    const order = [...shown].sort((one, other) => other.mean - one.mean);
    if (bars.firstChild !== rows.get(order[0].name).element) swap(order);
    said.textContent = verdict(models, gap);
  };
  const swap = (order) => {
    const before = models.map((name) => rows.get(name).element.offsetTop);
    bars.append(...order.map(({ name }) => rows.get(name).element));
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    models.forEach((name, place) => {
      const { element } = rows.get(name);
      const by = before[place] - element.offsetTop;
      element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], 350);
    });
  };
  show();
  return h("div.figure", {},
    h("div.controls", {},
      choice("ranked against", names, state.protocol, (name) => {
        state.protocol = name;
        show();
      }),
      menu("measure", metrics.map((name) => [name, name]), state.metric, (name) => {
        state.metric = name;
        show();
      })),
    bars, said);
}
