// What all live figures share: elements, controls, and how a figure takes its picture's place.

/** An element: h("li.film", { tabindex: 0, onclick: … }, "text", child, …). */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(document.createElement(tag), { class: classes.join(" "), ...attributes }, children);
}

/** An element of an SVG picture, the same way. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return filled(element, attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== "") element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** A slider with its name and, as it moves, its value in words. */
export function slider(name, { min, max, step, value, words = String }, change) {
  const shown = h("span.value", { "aria-hidden": "true" }, words(value));
  const input = h("input", { type: "range", min, max, step, value, "aria-label": name });
  const show = () => {
    shown.textContent = words(input.valueAsNumber);
    input.setAttribute("aria-valuetext", words(input.valueAsNumber));
  };
  input.addEventListener("input", () => {
    show();
    change(input.valueAsNumber);
  });
  show();
  const element = h("label.slider", {}, h("span", {}, name), shown, input);
  const set = (wanted) => {
    input.value = wanted;
    show();
  };
  return { element, set };
}

/** A switch between a few: radio buttons side by side. */
export function choice(legend, names, chosen, change) {
  const options = names.map((name) => {
    const attributes = { type: "radio", name: legend, value: name };
    const input = h("input", { ...attributes, onchange: () => change(name) });
    input.checked = name === chosen;
    return h("label", {}, input, h("span", {}, name));
  });
  return h("fieldset.choice", {}, h("legend", {}, legend), h("div.switch", {}, ...options));
}

/** A list to choose from, with its name. */
export function menu(name, options, chosen, change) {
  const select = h("select", { onchange: () => change(select.value) });
  select.append(...options.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  return h("label.menu", {}, h("span", {}, name), select);
}

/** A share as people read it: "41 %", "2.3 %". */
export function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)}\u00a0%`;
}

/** A number with its sign: "+0.042", "−0.003". */
export function signed(value, digits = 3) {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

/**
 * Put a figure in the place of each picture of its kind. In a shadow tree neither styles nor names
 * can meet those of the page. If `show` fails, the picture stays.
 * @param {string} kind as the page calls it.
 * @param {string} style of the figure.
 * @param {function(Object): HTMLElement} show makes the figure from its data.
 */
export function start(kind, style, show) {
  for (const place of document.querySelectorAll(`.bert4rec-live[data-figure="${kind}"]`)) {
    if (place.shadowRoot) continue;
    const data = JSON.parse(place.querySelector("script[type='application/json']").textContent);
    const figure = show(data);
    place.attachShadow({ mode: "open" }).append(h("style", {}, style), figure);
    // what is typed here is no shortcut of the page's
    place.addEventListener("keydown", (event) => event.stopPropagation());
  }
}
