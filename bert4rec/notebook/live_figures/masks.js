// Masks, drawn by the rules of bert4rec/cloze/masks.py, and the figure that draws them anew.

import { h, percent, slider } from "./frame.js";

const PAD = 0;
const DRAWS = 2000; // of each row, for the shares

/** Random numbers in [0, 1), the same for the same seed (mulberry32). */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Which places of a row to hide: at least one, never all, never padding.
 * @param {number[]} tokens of a row, padding in front, at least two items.
 * @param {number[]} draws a number in [0, 1) for each place.
 * @param {number} lastDraw one more: below `lastItemProb` only the last item is hidden.
 * @returns {{masked: boolean[], kind: string}} kind is "last", "mended" where the draws hide
 *   nothing or everything, or "drawn".
 */
export function maskRow(tokens, draws, lastDraw, maskProb, lastItemProb) {
  if (lastDraw < lastItemProb) {
    return { masked: tokens.map((_, place) => place === tokens.length - 1), kind: "last" };
  }
  const items = [...tokens.keys()].filter((place) => tokens[place] !== PAD);
  const smallest = items.reduce((best, place) => (draws[place] < draws[best] ? place : best));
  const others = items.filter((place) => place !== smallest);
  const largest = others.reduce((best, place) => (draws[place] > draws[best] ? place : best));
  const masked = tokens.map((token, place) => token !== PAD && draws[place] < maskProb);
  const mended = !masked[smallest] || masked[largest];
  masked[smallest] = true;
  masked[largest] = false;
  return { masked, kind: mended ? "mended" : "drawn" };
}

/** The same for several rows, with numbers from a generator. */
export function chooseMasked(rows, maskProb, lastItemProb, random) {
  return rows.map((tokens) => {
    const draws = tokens.map(random);
    return maskRow(tokens, draws, random(), maskProb, lastItemProb);
  });
}

/**
 * Many draws in numbers.
 * @returns {{hidden: number, last: number, mended: number, places: number[]}} the share of all
 *   items that are hidden; of all rows that hide the last item alone, and that a guarantee mended;
 *   for each place the share of its items that are hidden.
 */
export function shares(rows, maskProb, lastItemProb, random, draws = DRAWS) {
  const hidden = rows[0].map(() => 0);
  const count = { last: 0, mended: 0 };
  for (let draw = 0; draw < draws; draw++) {
    for (const { masked, kind } of chooseMasked(rows, maskProb, lastItemProb, random)) {
      masked.forEach((is, place) => (hidden[place] += is));
      if (kind === "mended") count.mended++;
      if (masked.lastIndexOf(false) === masked.length - 2 && masked.at(-1) && sum(masked) === 1) {
        count.last++;
      }
    }
  }
  const items = rows[0].map((_, place) => draws * sum(rows.map((row) => row[place] !== PAD)));
  return {
    hidden: sum(hidden) / sum(items),
    last: count.last / (draws * rows.length),
    mended: count.mended / (draws * rows.length),
    places: hidden.map((number, place) => number / items[place]),
  };
}

function sum(values) {
  return values.reduce((total, value) => total + Number(value), 0);
}

/** The figure: two sliders, the rows with what is hidden, and shares of many draws. */
export function showMasks({ rows, names, mask_prob, last_item_prob, seed }) {
  const random = generator(seed);
  const set = { mask: mask_prob, last: last_item_prob };
  const grid = h("table.grid");
  const said = h("p.said", { role: "status" });
  const bars = h("table.shares");

  const cell = (token, hidden) => {
    if (token === PAD) return h("td.padding", {}, h("span.spoken", {}, "padding"));
    const title = `${names[token]}, ${hidden ? "hidden" : "shown"}`;
    const short = names[token].replace(/(, The)? \(.*$/, "");
    // each word for itself, so that one too long for its box ends in an ellipsis
    const words = short.split(" ").flatMap((word) => [h("span", {}, word), " "]);
    const seen = hidden ? h("span", {}, "M") : h("span.name", {}, ...words);
    seen.ariaHidden = "true";
    return h(hidden ? "td.hidden" : "td.shown", { title }, seen, h("span.spoken", {}, title));
  };
  const draw = () => {
    const drawn = chooseMasked(rows, set.mask, set.last, random);
    const found = shares(rows, set.mask, set.last, random);
    const body = rows.map((tokens, row) => {
      const films = tokens.filter((token) => token !== PAD).length;
      const cells = tokens.map((token, place) => cell(token, drawn[row].masked[place]));
      return h("tr", {}, h("th", { scope: "row" }, `${films} films`), ...cells);
    });
    const places = found.places.map((share) =>
      h("td.place", { title: `${percent(share)} hidden` },
        h("i", { style: `height: ${Math.max(100 * share, 1)}%` }),
        h("span.spoken", {}, percent(share))));
    const head = h("th", { scope: "row" }, "hidden, of 2,000 draws");
    grid.replaceChildren(
      h("caption", {}, "A row for each history, oldest film first; M is behind a [MASK]"),
      h("tbody", {}, ...body),
      h("tfoot", {}, h("tr", {}, head, ...places)),
    );
    const lines = [
      ["films hidden", found.hidden, set.mask, "mask_prob"],
      ["rows that hide the last film alone", found.last, set.last, "last_item_prob"],
      ["rows that a guarantee mended", found.mended, null, ""],
    ];
    bars.replaceChildren(
      h("caption", {}, "In 2,000 draws of these rows (the line is the setting)"),
      h("tbody", {}, ...lines.map(line)),
    );
    const hidden = sum(drawn.map(({ masked }) => sum(masked)));
    const last = drawn.filter(({ kind }) => kind === "last").length;
    const mended = drawn.filter(({ kind }) => kind === "mended").length;
    said.textContent =
      `Drawn: ${hidden} films are hidden. In ${last} of ${rows.length} rows only the last film ` +
      `was to be hidden; ${mended} had to be mended.`;
  };
  const line = ([name, share, setting, called]) => {
    const mark = h("b", { style: `left: ${100 * (setting ?? 0)}%` });
    const bar = h("span.bar", {}, h("i", { style: `width: ${100 * share}%` }));
    if (setting !== null) bar.append(mark);
    const note = setting === null ? "" : `${called} ${percent(setting)}`;
    return h("tr", {}, h("th", { scope: "row" }, name), h("td.number", {}, percent(share)),
      h("td.track", {}, bar), h("td.note", {}, note));
  };
  const words = (value) => value.toFixed(2);
  const sliders = [
    slider("mask_prob", { min: 0.05, max: 0.95, step: 0.05, value: set.mask, words }, (value) => {
      set.mask = value;
      draw();
    }),
    slider("last_item_prob", { min: 0, max: 1, step: 0.05, value: set.last, words }, (value) => {
      set.last = value;
      draw();
    }),
  ];
  draw();
  const again = h("button", { type: "button", onclick: draw }, "Draw anew");
  const controls = h("div.controls", {}, ...sliders.map((one) => one.element), again);
  return h("div.figure", {}, controls, h("div.wide", {}, grid), said, bars);
}
