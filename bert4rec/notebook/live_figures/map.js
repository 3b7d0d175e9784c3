// A map of items: names where one points, a search, genres, and what is nearest in the vectors.

import { h, menu, svg } from "./frame.js";

const EDGE = 14; // of the map, for markers at its border
const REACH = 24; // how near to an item one must point
const MARKERS = [ // as in plots.item_map: told apart without colour
  "M0-4.5A4.5 4.5 0 1 1 0 4.5A4.5 4.5 0 1 1 0-4.5",
  "M-4-4H4V4H-4Z",
  "M0-5L5 4H-5Z",
  "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
  "M0 5L5-4H-5Z",
  "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
  "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
];
const OTHER = "M0-2.5A2.5 2.5 0 1 1 0 2.5A2.5 2.5 0 1 1 0-2.5";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Titles that hold all words of a text, in their order, by place. */
export function matches(titles, text) {
  const plain = (value) => value.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  const words = plain(text).split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return [...titles.keys()].filter((place) => {
    const title = plain(titles[place]);
    return words.every((word) => title.includes(word));
  });
}

/** The nearest point in a direction, within 45 degrees of it, or the same if there is none. */
export function towards(points, from, [right, down]) {
  let [best, least] = [from, Infinity];
  points.forEach(([x, y], place) => {
    const [dx, dy] = [x - points[from][0], y - points[from][1]];
    const along = dx * right + dy * down;
    const across = Math.abs(dx * down) + Math.abs(dy * right);
    const distance = along * along + across * across;
    if (along > 0 && across <= along && distance < least) [best, least] = [place, distance];
  });
  return best;
}

/** The figure. Points lie in [0, 1]², the second number downwards; genres are bits of a number. */
export function showMap({ points, titles, groups, group_names, genres, genre_names, near }) {
  const state = { chosen: null };
  let places = points;
  const links = svg("g", { class: "links" });
  const ring = svg("circle", { class: "ring", r: 9 });
  const dots = points.map((_, place) => {
    const group = groups[place];
    const kind = group < 0 ? "other" : `group-${group}`;
    const d = group < 0 ? OTHER : MARKERS[group % MARKERS.length];
    return svg("path", { d, class: kind });
  });
  // what has no group lies behind
  const order = [...dots.keys()].sort((one, other) => (groups[other] < 0) - (groups[one] < 0));
  const map = svg("svg", {
    tabindex: 0,
    role: "application",
    "aria-label": "Map of the films. Arrow keys go to the next film in their direction.",
  }, links, ...order.map((place) => dots[place]), ring);
  const tip = h("div.tip", { "aria-hidden": "true" });
  const board = h("div.board", {}, map, tip);
  const said = h("p.said", { role: "status" });
  const found = h("ul.films");
  const hint = "Point at a film for its name. Choose one, with the mouse, the arrow keys or the " +
    "search, for its nearest vectors.";
  const panel = h("div.chosen", {}, h("p.note", {}, hint));

  const point = (place) => {
    const hidden = place === null;
    tip.hidden = hidden;
    ring.style.display = hidden ? "none" : "";
    if (hidden) return;
    const [x, y] = places[place];
    ring.setAttribute("transform", `translate(${x} ${y})`);
    tip.textContent = titles[place];
    const width = map.clientWidth;
    const edge = Math.min(tip.offsetWidth / 2 + 4, width / 2);
    tip.style.left = `${Math.min(Math.max(x, edge), width - edge)}px`;
    tip.style.top = `${y + (y < 45 ? 16 : -14 - tip.offsetHeight)}px`;
  };
  const say = (text, alone) => {
    said.className = alone ? "said spoken" : "said";
    said.textContent = text;
  };
  const choose = (place) => {
    state.chosen = place;
    point(place);
    link();
    const names = genre_names.filter((_, bit) => genres[place] & (2 ** bit));
    const rows = near[place].map((other) => film(other));
    panel.replaceChildren(
      h("p", {}, h("strong", {}, titles[place])),
      h("p.note", {}, names.join(", ") || "no genre"),
      h("p", {}, "nearest vectors:"), h("ol.films", {}, ...rows));
    // what is seen in the panel is heard in one piece
    say(`${titles[place]}; nearest: ${near[place].map((one) => titles[one]).join(", ")}`, true);
  };
  const film = (place) => {
    const button = h("button", { type: "button", onclick: () => choose(place) }, titles[place]);
    return h("li", {}, button);
  };
  const link = () => {
    if (state.chosen === null) return;
    const [x1, y1] = places[state.chosen];
    links.replaceChildren(...near[state.chosen].map((other) => {
      const [x2, y2] = places[other];
      return svg("line", { x1, y1, x2, y2 });
    }));
  };
  const lay = () => {
    const [width, height] = [map.clientWidth, map.clientHeight];
    if (!width) return;
    map.setAttribute("viewBox", `0 0 ${width} ${height}`);
    places = points.map(([x, y]) => [
      EDGE + x * (width - 2 * EDGE), EDGE + y * (height - 2 * EDGE),
    ]);
    dots.forEach((dot, place) => dot.setAttribute("transform", `translate(${places[place]})`));
    link();
    point(state.chosen);
  };
  const under = (event) => {
    const { left, top } = map.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    let [best, least] = [null, REACH ** 2];
    places.forEach((place, number) => {
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance < least && !dots[number].classList.contains("faint")) {
        [best, least] = [number, distance];
      }
    });
    return best;
  };
  map.addEventListener("pointermove", (event) => point(under(event) ?? state.chosen));
  map.addEventListener("pointerleave", () => point(state.chosen));
  map.addEventListener("click", (event) => {
    const place = under(event);
    if (place !== null) choose(place);
  });
  map.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    choose(state.chosen === null ? 0 : towards(places, state.chosen, ARROWS[event.key]));
  });
  const search = h("input", { type: "search", placeholder: "part of a title", autocomplete: "off" });
  search.addEventListener("input", () => {
    const all = matches(titles, search.value);
    found.replaceChildren(...all.slice(0, 8).map(film));
    const more = all.length > 8 ? ", the first 8 are listed" : "";
    const films = all.length === 1 ? "film fits" : "films fit";
    say(search.value.trim() ? `${all.length} ${films}${more}.` : "");
  });
  search.addEventListener("keydown", (event) => {
    const first = matches(titles, search.value)[0];
    if (event.key === "Enter" && first !== undefined) choose(first);
  });
  const counted = genre_names.map((name, bit) => {
    const films = genres.filter((bits) => bits & (2 ** bit)).length;
    return [bit, `${name} (${films})`];
  });
  const genre = menu("genre", [[-1, `all (${titles.length})`], ...counted], -1, (value) => {
    const bit = Number(value);
    dots.forEach((dot, place) => {
      dot.classList.toggle("faint", bit >= 0 && !(genres[place] & (2 ** bit)));
    });
    say(bit < 0 ? "All films." : `In full colour: ${counted[bit][1]}.`);
  });
  const kinds = group_names.map((name, group) => [
    name, { d: MARKERS[group % MARKERS.length], class: `group-${group}` },
  ]);
  if (groups.some((group) => group < 0)) kinds.push(["other", { d: OTHER, class: "other" }]);
  const legend = h("ul.legend", {}, ...kinds.map(([name, drawn]) => {
    const mark = svg("path", drawn);
    const box = { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" };
    return h("li", {}, svg("svg", box, mark), name);
  }));
  new ResizeObserver(lay).observe(map);
  point(null);
  return h("div.figure", {},
    h("div.controls", {}, h("label.menu", {}, h("span", {}, "find a film"), search), genre), legend,
    h("div.beside", {}, board, h("div.panel", {}, said, found, panel)));
}
