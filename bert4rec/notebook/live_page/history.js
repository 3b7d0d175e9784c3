// The history: films that can be reordered, hidden behind a [MASK] and taken out; and attention.

import { drawArcs } from "./attention.js";
import { glide, h, icon, percent } from "./elements.js";
import { shown } from "./titles.js";

export const QUESTION = "question"; // the key of the last row, which asks what comes next

export class HistoryList {
  /**
   * @param {HTMLElement} list an empty list, and
   * @param {SVGElement} picture what stands left of it, for the arcs.
   * @param {string[]} titles of tokens 1, 2, …
   * @param {Object} actions move(id, place), remove(id), hide(id) and look(id or null), which is
   *   called with the row that the pointer or the focus is on.
   */
  constructor(list, picture, titles, actions) {
    Object.assign(this, { list, picture, titles, actions, rows: new Map(), dragged: null });
    const look = (event) => actions.look(event.target.closest("li")?.dataset.key ?? null);
    list.addEventListener("pointerover", look);
    list.addEventListener("focusin", look);
    list.addEventListener("pointerleave", () => actions.look(null));
    list.addEventListener("focusout", () => actions.look(null));
    list.addEventListener("pointerdown", (event) => this.grab(event));
    window.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"])
      window.addEventListener(end, () => this.drop());
    list.addEventListener("keydown", (event) => this.press(event));
  }

  /**
   * @param {Array<{id: string, token: number, hidden: boolean}>} entries token 0 is a [MASK] that
   *   hides no film.
   * @param {Map<string, Object>} guesses what is guessed at a [MASK], by entry.
   * @param {{text: string, mask: boolean}} question the last row.
   * @param {boolean} masks whether the model reads what is hidden, as a [MASK].
   */
  render(entries, guesses, question, masks) {
    this.entries = entries;
    glide(this.list, () => {
      const keys = [...entries.map((entry) => entry.id), QUESTION];
      for (const [key, row] of this.rows)
        if (!keys.includes(key)) {
          row.item.remove();
          this.rows.delete(key);
        }
      for (const key of keys) if (!this.rows.has(key)) this.rows.set(key, this.row(key));
      this.arrange(keys);
    });
    entries.forEach((entry, place) => this.fill(entry, place, guesses.get(entry.id), masks));
    const last = this.rows.get(QUESTION);
    last.text.replaceChildren(...(question.mask ? [chip()] : []), h("span", {}, question.text));
  }

  /** Put rows in order, around the one that is dragged or has the focus: it must stay in place. */
  arrange(keys) {
    const items = keys.map((key) => this.rows.get(key).item);
    if (items.every((item, place) => this.list.children[place] === item)) return;
    const still = items.find((item) => item === this.dragged || item.contains(document.activeElement));
    const place = still ? items.indexOf(still) : items.length;
    items.slice(0, place).forEach((item) => this.list.insertBefore(item, still ?? null));
    this.list.append(...items.slice(place + 1));
  }

  row(key) {
    const share = h("span.share");
    const text = h("span.text");
    const below = h("span.guesses");
    if (key === QUESTION)
      return { share, text, item: h("li.film.question", { "data-key": key }, share, text) };
    const button = (name, act) =>
      h("button", { type: "button", class: name, onclick: act }, icon(name));
    const tools = {
      up: button("up", () => this.step(key, -1)),
      down: button("down", () => this.step(key, 1)),
      hide: button("hide", () => this.actions.hide(key)),
      remove: button("remove", () => this.remove(key)),
    };
    const grip = h("span.grip", { "aria-hidden": "true", title: "drag" }, "⠿");
    const item = h("li.film", { "data-key": key }, share, grip, text);
    item.append(h("span.tools", {}, ...Object.values(tools)), below);
    return { share, text, below, item, tools };
  }

  fill({ id, token, hidden }, place, guess, masks) {
    const { text, below, tools, item } = this.rows.get(id);
    const { name, year } = token ? shown(this.titles[token - 1]) : { name: "[MASK]", year: "" };
    const label = token ? name : `[MASK] ${place + 1}`;
    tools.up.ariaLabel = `Move ${label} up`;
    tools.down.ariaLabel = `Move ${label} down`;
    tools.remove.ariaLabel = `Remove ${label}`;
    tools.hide.ariaLabel = hidden ? `Show ${label}` : `Hide ${label} behind a [MASK]`;
    tools.hide.title = tools.hide.ariaLabel;
    tools.hide.hidden = !token;
    tools.hide.replaceChildren(icon(hidden ? "show" : "hide"));
    tools.up.disabled = place === 0;
    tools.down.disabled = place === this.entries.length - 1;
    item.classList.toggle("hidden", hidden);
    item.classList.toggle("unread", hidden && !masks);
    if (!hidden) {
      item.title = this.titles[token - 1];
      text.replaceChildren(h("span.name", {}, name), " ", h("span.year", {}, year));
      below.replaceChildren();
      return;
    }
    item.title = "";
    const was = token ? [" ", h("s.name", {}, name)] : [];
    const hit = token && guess ? [" ", h("span.found", {}, `guessed ${ordinal(guess.rank)}`)] : [];
    const guessed = guess?.best.map(({ token: film, probability }) => {
      const called = shown(this.titles[film - 1]).name;
      return h("span", {}, `${called} ${percent(probability)}`);
    });
    text.replaceChildren(chip(), ...was, ...hit);
    below.replaceChildren(...(guessed ?? [masks ? "too long ago to be read" : "left out"]));
  }

  remove(id) {
    const place = this.entries.findIndex((entry) => entry.id === id);
    this.actions.remove(id);
    const next = this.entries[Math.min(place, this.entries.length - 1)];
    if (next) this.rows.get(next.id).tools.remove.focus();
    else document.getElementById("film").focus();
  }

  step(id, by) {
    const place = this.entries.findIndex((entry) => entry.id === id) + by;
    if (place < 0 || place >= this.entries.length) return;
    const { activeElement } = document;
    this.actions.move(id, place);
    if (activeElement.disabled) this.rows.get(id).tools[by < 0 ? "down" : "up"].focus();
  }

  press(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const key = event.target.closest("li")?.dataset.key;
    if (!by || key === QUESTION) return;
    event.preventDefault();
    this.step(key, by);
  }

  grab(event) {
    const item = event.target.closest("li:not(.question)");
    const byMouse = event.pointerType === "mouse" && event.button === 0;
    if (!item || event.target.closest("button")) return;
    if (!byMouse && !event.target.closest(".grip")) return; // elsewhere a finger scrolls
    event.preventDefault();
    this.dragged = item;
    item.classList.add("dragged");
  }

  drag(event) {
    if (!this.dragged) return;
    const top = this.list.getBoundingClientRect().top;
    const others = this.entries
      .map((entry) => this.rows.get(entry.id).item)
      .filter((item) => item !== this.dragged);
    // offsets, because they know nothing of rows that are still gliding
    const place = others.filter(
      (item) => top + item.offsetTop + item.offsetHeight / 2 < event.clientY,
    ).length;
    if (this.entries[place].id !== this.dragged.dataset.key)
      this.actions.move(this.dragged.dataset.key, place);
  }

  drop() {
    this.dragged?.classList.remove("dragged");
    this.dragged = null;
  }

  /**
   * Draw where a position looks, and write each row's share; without weights nothing is drawn.
   * @param {string[]} keys the row of each position.
   * @param {string} from the row that looks.
   * @param {ArrayLike<number>|null} weights its attention to each position.
   */
  showAttention(keys, from, weights) {
    for (const [key, { share, item }] of this.rows) {
      const place = keys.indexOf(key);
      const spoken = h("span.spoken", {}, " of the attention");
      share.replaceChildren(...(weights && place >= 0 ? [percent(weights[place]), spoken] : []));
      item.classList.toggle("looking", Boolean(weights) && key === from);
    }
    if (!weights) return this.picture.replaceChildren();
    const centres = keys.map((key) => {
      const { share, item } = this.rows.get(key);
      // a row that is still gliding measures what is in it from its own corner
      const inside = share.offsetTop - (share.offsetParent === item ? 0 : item.offsetTop);
      return item.offsetTop + inside + share.offsetHeight / 2;
    });
    drawArcs(this.picture, centres, keys.indexOf(from), weights);
  }
}

function chip() {
  return h("span.mask", {}, "[MASK]");
}

function ordinal(number) {
  const last = number % 10;
  const teen = Math.floor(number / 10) % 10 === 1;
  return number.toLocaleString("en") + ((!teen && { 1: "st", 2: "nd", 3: "rd" }[last]) || "th");
}
