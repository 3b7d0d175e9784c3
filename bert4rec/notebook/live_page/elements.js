// Small helpers for what is on the page.

/** An element: h("li.film", { tabindex: 0, onclick: … }, "text", child, …); null is left out. */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") element.style.cssText = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const ICONS = {
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  remove: "M4.5 4.5l7 7m0-7l-7 7",
  add: "M8 3.5v9M3.5 8h9",
  hide: "M1.5 8s2.4-4.2 6.5-4.2S14.5 8 14.5 8 12.1 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 100 3.6 1.8 1.8 0 000-3.6M2.8 13.2l10.4-10.4",
  show: "M1.5 8s2.4-4.2 6.5-4.2S14.5 8 14.5 8 12.1 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 100 3.6 1.8 1.8 0 000-3.6",
  open: "M6 4l4 4-4 4",
};

/** An icon, which says nothing: its button has a label. */
export function icon(name) {
  const picture = svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" });
  picture.append(svg("path", { d: ICONS[name] }));
  return picture;
}

/** An element of an SVG picture. */
export function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A share as people read it: "41 %", "2.3 %", "< 0.1 %"; its sign stays with it in a line. */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "<\u00a00.1\u00a0%";
  return `${value.toFixed(value < 9.95 ? 1 : 0)}\u00a0%`;
}

/** A number with its sign: "+0.42", "−0.03". */
export function signed(value) {
  const text = Math.abs(value).toFixed(2);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

/**
 * Change a list and let its children glide from where they were, told apart by `data-key`; those
 * who asked for less motion see them jump.
 */
export function glide(list, change) {
  const before = new Map([...list.children].map((row) => [row.dataset.key, row.offsetTop]));
  change();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of list.children) {
    const by = (before.get(row.dataset.key) ?? row.offsetTop) - row.offsetTop;
    if (!before.size) continue;
    if (!before.has(row.dataset.key)) row.animate([{ opacity: 0 }, { opacity: 1 }], 250);
    else if (by)
      row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], {
        duration: 220,
        easing: "cubic-bezier(.2, .7, .2, 1)",
      });
  }
}
