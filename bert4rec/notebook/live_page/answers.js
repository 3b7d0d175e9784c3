// The ten films that are recommended; a click on one says why.

import { glide, h, icon, percent } from "./elements.js";
import { shown } from "./titles.js";

export class AnswerList {
  /**
   * @param {HTMLElement} list an empty list.
   * @param {string[]} titles of tokens 1, 2, …
   * @param {Object} actions add(token), and explain(token, panel), which fills a panel.
   */
  constructor(list, titles, actions) {
    Object.assign(this, { list, titles, actions, open: null });
  }

  /** @param {Array<{token: number, score: number, probability: number}>} films best first. */
  render(films) {
    const focused = this.focused();
    const reach = films[0]?.probability ?? 1;
    glide(this.list, () =>
      this.list.replaceChildren(...films.map((film, place) => this.row(film, place, reach))),
    );
    if (focused) {
      const { key, place, name } = focused;
      const item = this.list.querySelector(`[data-key="${key}"]`) ?? this.list.children[place];
      item.querySelector(`.${name}`).focus();
    }
    const panel = this.list.querySelector(".reasons");
    if (panel) this.actions.explain(this.open, panel);
    else this.open = null;
  }

  row({ token, score, probability }, place, reach) {
    const { name, year } = shown(this.titles[token - 1]);
    const isOpen = token === this.open;
    const width = (100 * probability) / reach;
    const pick = h(
      "button.pick",
      {
        type: "button",
        title: `${this.titles[token - 1]}, score ${score.toFixed(2)}`,
        "aria-expanded": String(isOpen),
        onclick: () => this.toggle(token),
      },
      icon("open"),
      h("span.text", {}, h("span.name", {}, name), " ", h("span.year", {}, year)),
      h("span.bar", { style: `width:${width.toFixed(1)}%` }),
    );
    const add = h(
      "button.add",
      {
        type: "button",
        "aria-label": `Add ${name} to your films`,
        title: "I have seen it: add to the history",
        onclick: () => this.actions.add(token),
      },
      icon("add"),
    );
    const line = h(
      "div.line",
      {},
      h("span.rank", { "aria-hidden": "true" }, String(place + 1)),
      pick,
      h("span.probability", {}, percent(probability)),
      add,
    );
    const panel = isOpen ? h("div.reasons") : null;
    return h("li.answer", { "data-key": token }, line, panel);
  }

  toggle(token) {
    const before = this.list.querySelector(".reasons");
    before?.previousSibling.querySelector(".pick").setAttribute("aria-expanded", "false");
    before?.remove();
    this.open = this.open === token ? null : token;
    if (this.open === null) return;
    const item = this.list.querySelector(`[data-key="${token}"]`);
    const panel = h("div.reasons");
    item.append(panel);
    item.querySelector(".pick").setAttribute("aria-expanded", "true");
    this.actions.explain(token, panel);
  }

  /** Which button has the focus: it, or the one that takes its place, shall have it again. */
  focused() {
    const button = document.activeElement.closest(".answer button");
    if (!button) return null;
    const item = button.closest("li");
    const place = [...this.list.children].indexOf(item);
    return { key: item.dataset.key, place, name: button.className };
  }
}
