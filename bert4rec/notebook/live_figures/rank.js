// The target of one user, moved up and down a list: what is its rank worth?

import { h, menu, signed, slider } from "./frame.js";
import { worth } from "./metrics.js";

const FORMULAS = {
  HR: (rank, k) => (rank <= k ? `${rank} ≤ ${k}: a hit` : `${rank} > ${k}: no hit`),
  NDCG: (rank, k) => (rank <= k ? `1 / log₂(${rank} + 1)` : `${rank} > ${k}: nothing`),
  MRR: (rank) => `1 / ${rank}`,
};

/** The figure: a list with the target in it, and three measures that follow. */
export function showRank({ longest, rank, k }) {
  const state = { rank, k };
  const list = h("div.list", { "aria-hidden": "true" });
  const table = h("table.worths");
  const said = h("p.spoken", { role: "status" });
  const marks = Array.from({ length: longest }, (_, place) => h("span", {}, String(place + 1)));
  list.append(...marks);

  const move = (to) => {
    state.rank = Math.min(Math.max(to, 1), longest);
    show();
  };
  const show = () => {
    rankSlider.set(state.rank);
    marks.forEach((mark, place) => {
      mark.className = place + 1 === state.rank ? "target" : place < state.k ? "counts" : "";
      mark.textContent = place + 1 === state.rank ? "★" : place + 1;
    });
    const rows = Object.keys(FORMULAS).map((name) => {
      const metric = name === "MRR" ? name : `${name}@${state.k}`;
      const here = worth(metric, state.rank - 1);
      return { name, metric, here, fall: worth(metric, state.rank) - here };
    });
    const cells = ({ name, metric, here, fall }) =>
      h("tr", {},
        h("th", { scope: "row" }, metric),
        h("td.formula", {}, FORMULAS[name](state.rank, state.k)),
        h("td.number", {}, here.toFixed(3)),
        h("td.track", {}, h("span.bar", {}, h("i", { style: `width: ${100 * here}%` }))),
        h("td.number.fall", {}, signed(fall)));
    const heads = ["measure", "by the formula", "worth", "", "one place lower"];
    table.replaceChildren(
      h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows.map(cells)),
    );
    const values = rows.map(({ metric, here }) => `${metric} ${here.toFixed(3)}`);
    said.textContent = `Rank ${state.rank}: ${values.join(", ")}`;
  };
  const rankSlider = slider(
    "rank of the target", { min: 1, max: longest, step: 1, value: rank }, move,
  );
  const follow = (event) => {
    if (event.type === "pointerdown") list.setPointerCapture(event.pointerId);
    else if (!event.buttons) return;
    const { left, width } = list.getBoundingClientRect();
    move(1 + Math.floor((longest * (event.clientX - left)) / width));
  };
  list.addEventListener("pointerdown", follow);
  list.addEventListener("pointermove", follow);
  const cutoffs = menu("k", [5, 10, 20].map((value) => [value, value]), k, (value) => {
    state.k = Number(value);
    show();
  });
  show();
  return h("div.figure", {},
    h("div.controls", {}, rankSlider.element, cutoffs), list, h("div.wide", {}, table), said);
}
