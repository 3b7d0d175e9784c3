// What each film of a history did to a recommendation, as bars of two parts.

import { h, signed } from "./elements.js";
import { shown } from "./titles.js";

const PATIENCE = 30; // milliseconds of computing, after which the page may answer to a click

/**
 * Leave out each entry of a history in turn.
 * @param {function(): boolean} wanted false as soon as nobody waits for it any more.
 * @returns {Promise<Array|null>} the gains of each place, oldest first; null if not wanted.
 */
export async function gains(scorer, history, film, wanted) {
  const whole = scorer.parts(history);
  const found = [];
  let start = performance.now();
  for (let place = 0; place < history.length; place++) {
    found.push(scorer.gain(history, place, film, whole));
    if (performance.now() - start < PATIENCE) continue;
    await new Promise((resolve) => setTimeout(resolve));
    if (!wanted()) return null;
    start = performance.now();
  }
  return found;
}

/** A table of gains, with bars: those that raised the score to the right, others to the left. */
export function reasons(scorer, rows, title) {
  const kinds = ["counting", "attention"].filter((kind) =>
    kind === "counting" ? scorer.weight > 0 : scorer.weight < 1,
  );
  const reach = Math.max(
    0.01,
    ...rows.flatMap(({ gain }) => [
      kinds.reduce((sum, kind) => sum + Math.max(gain[kind], 0), 0),
      kinds.reduce((sum, kind) => sum + Math.max(-gain[kind], 0), 0),
    ]),
  );
  const body = rows.map(({ name, gain }) => {
    const parts = kinds.map((kind) => `${kind} ${signed(gain[kind])}`).join(", ");
    const spoken = kinds.length > 1 ? h("span.spoken", {}, `${parts}, together `) : "";
    const total = h("td.total", {}, spoken, signed(gain.counting + gain.attention));
    const picture = h("td", { "aria-hidden": "true" }, bars(kinds, gain, reach));
    return h("tr", {}, h("th", { scope: "row", title: name }, name), picture, total);
  });
  const axis = h(
    "th.axis",
    { "aria-hidden": "true" },
    h("span", {}, "lowers"),
    h("span", {}, "raises"),
  );
  const heads = [
    h("th.name", { scope: "col" }, "left out"),
    axis,
    h("th.total", { scope: "col" }, "score"),
  ];
  const legend = kinds.map((kind) => h(`span.key.${kind}`, {}, LEGEND[kind]));
  return h(
    "div",
    {},
    h("p", {}, "What each film did to the score of ", h("b", {}, shown(title).name), ":"),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...heads)),
      h("tbody", {}, ...body),
    ),
    h("p", {}, ...legend),
  );
}

const LEGEND = { counting: "counting", attention: "attention" };

function bars(kinds, gain, reach) {
  const ends = { right: 0, left: 0 };
  const parts = kinds.map((kind) => {
    const side = gain[kind] < 0 ? "left" : "right";
    const width = (50 * Math.abs(gain[kind])) / reach;
    const start = side === "right" ? 50 + ends.right : 50 - ends.left - width;
    ends[side] += width;
    return h(`i.${kind}`, { style: `left:${start.toFixed(2)}%;width:${width.toFixed(2)}%` });
  });
  return h("span.track", {}, ...parts);
}

/** The name of an entry, for a row of the table. */
export function called(token, titles) {
  return token ? shown(titles[token - 1]).name : "[MASK]";
}
