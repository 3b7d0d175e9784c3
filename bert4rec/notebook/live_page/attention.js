// Arcs between the rows of the history: where a position looks, one head of one layer or all.

import { svg } from "./elements.js";

/** The choices of what is drawn: all heads averaged, and each head of each layer. */
export function views(config) {
  const found = [{ name: "all heads", short: "mean", layer: null, head: null }];
  for (let layer = 0; layer < config.num_layers; layer++)
    for (let head = 0; head < config.num_heads; head++)
      found.push({
        name: `layer ${layer + 1}, head ${head + 1}`,
        short: `${layer + 1}.${head + 1}`,
        layer,
        head,
      });
  return found;
}

/** One position's attention to all, by a view, from [layer][head][from][to]. */
export function looksAt(attention, view, from) {
  if (view.layer !== null) return attention[view.layer][view.head][from];
  const rows = attention.flatMap((heads) => heads.map((rows) => rows[from]));
  return rows[0].map((_, to) => rows.reduce((sum, row) => sum + row[to], 0) / rows.length);
}

/**
 * Draw arcs into a picture that stands left of the rows.
 * @param {SVGElement} picture is emptied first; its size is that of the rows.
 * @param {number[]} centres the height of each position's row.
 * @param {number} from the position that looks.
 * @param {ArrayLike<number>} weights its attention, which adds up to 1.
 */
export function drawArcs(picture, centres, from, weights) {
  const width = picture.clientWidth;
  const edge = width - 5;
  picture.replaceChildren();
  const order = [...centres.keys()].sort((a, b) => weights[a] - weights[b]); // strong ones on top
  for (const to of order) {
    const weight = weights[to];
    if (weight < 0.004) continue;
    const [start, end] = [centres[from], centres[to]];
    const bulge = edge - Math.min(edge - 3, 16 + 0.22 * Math.abs(end - start)) * 1.3;
    if (to === from) continue;
    const path = `M${edge} ${start} C${bulge} ${start} ${bulge} ${end} ${edge} ${end}`;
    const stroke = { "stroke-width": 1 + 9 * weight, opacity: 0.3 + 0.7 * Math.sqrt(weight) };
    picture.append(svg("path", { d: path, ...stroke }));
    picture.append(svg("circle", { cx: edge, cy: end, r: 1.5 + 2.5 * Math.sqrt(weight) }));
  }
  // what a position keeps for itself is the size of its ring
  const radius = 2.5 + 4 * Math.sqrt(weights[from]);
  picture.append(svg("circle", { cx: edge, cy: centres[from], r: radius, class: "from" }));
}
