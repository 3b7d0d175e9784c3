// The field in which a film is typed: a combobox with a list, as the ARIA practices describe it.

import { h } from "./elements.js";
import { shown } from "./titles.js";

export class Finder {
  /**
   * @param {HTMLInputElement} input and
   * @param {HTMLElement} list its list, empty.
   * @param {TitleIndex} index finds films.
   * @param {string[]} titles of tokens 1, 2, …
   * @param {function(number)} choose is called with the token of a film.
   */
  constructor(input, list, index, titles, choose) {
    Object.assign(this, { input, list, index, titles, choose, tokens: [], active: 0 });
    input.addEventListener("input", () => this.suggest());
    input.addEventListener("focus", () => this.suggest());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.press(event));
    // the field must not lose the focus to what is clicked
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.token));
    });
  }

  suggest() {
    const text = this.input.value;
    const { tokens, near } = this.index.find(text);
    this.tokens = tokens;
    this.active = 0;
    const rows = tokens.map((token, place) => {
      const { name, year } = shown(this.titles[token - 1]);
      const attributes = { role: "option", id: `option-${place}`, "data-token": token };
      return h("li", attributes, h("span", {}, name), h("span.year", {}, year));
    });
    const note = tokens.length
      ? near && "Nothing is called so. Did you mean:"
      : text.trim() && "Nothing is called so. The ratings end in the year 2000.";
    if (note) rows.unshift(h("li.note", { role: "presentation" }, note));
    this.list.replaceChildren(...rows);
    this.list.hidden = !rows.length;
    this.mark();
  }

  /** Show which option Enter would take. */
  mark() {
    const options = [...this.list.querySelectorAll("[role=option]")];
    options.forEach((option, place) => option.setAttribute("aria-selected", place === this.active));
    options[this.active]?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-expanded", !this.list.hidden && options.length > 0);
    if (options.length) this.input.setAttribute("aria-activedescendant", `option-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  press(event) {
    const count = this.tokens.length;
    const open = !this.list.hidden && count > 0;
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      if (!open) return this.suggest();
      this.active = (this.active + moves[event.key] + count) % count;
      this.mark();
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      this.take(this.tokens[this.active]);
    } else if (event.key === "Escape") {
      if (this.list.hidden) this.input.value = "";
      this.close();
    }
  }

  take(token) {
    this.input.value = "";
    this.close();
    this.choose(token);
  }

  close() {
    this.tokens = [];
    this.list.replaceChildren();
    this.list.hidden = true;
    this.mark();
  }
}
