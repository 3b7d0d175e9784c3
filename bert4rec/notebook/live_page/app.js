// The page: what is chosen, and everything that follows from it.

import { looksAt, views } from "./attention.js";
import { AnswerList } from "./answers.js";
import { best } from "./blend.js";
import { unpack } from "./data.js";
import { h } from "./elements.js";
import { Finder } from "./finder.js";
import { HistoryList, QUESTION } from "./history.js";
import { called, gains, reasons } from "./reasons.js";
import { makeScorers } from "./scorers.js";
import { shown, TitleIndex } from "./titles.js";

const COUNT = 10; // films that are recommended
const GUESSES = 3; // films that are named at a [MASK]

const WITHOUT = {
  sasrec:
    "SASRec cannot fill in a [MASK]: each position sees only itself and what came before it, " +
    "so the films after a gap could not help. It goes on without what is hidden.",
  counting:
    "Counting knows no [MASK], only what was seen after what. It goes on without what is hidden.",
};

const element = (id) => document.getElementById(id);

class Page {
  constructor(about, numbers) {
    const { titles } = about;
    this.about = about;
    this.counts = numbers.counts;
    this.scorers = makeScorers(about, numbers);
    this.index = new TitleIndex(titles, this.counts);
    this.best = best;
    this.views = views(about.networks.BERT4Rec);
    this.view = this.views[0];
    this.mode = "mixed";
    this.entries = [];
    this.made = 0;
    this.at = null; // the row whose attention is shown, if it is not the question
    this.history = new HistoryList(element("history"), element("arcs"), titles, {
      move: (id, place) => this.move(id, place),
      remove: (id) => this.change(this.entries.filter((entry) => entry.id !== id)),
      hide: (id) => this.hide(id),
      look: (id) => {
        this.at = id;
        this.drawAttention();
      },
    });
    this.answers = new AnswerList(element("answers"), titles, {
      add: (token) => this.add(token),
      explain: (token, panel) => this.explain(token, panel),
    });
    new Finder(element("film"), element("found"), this.index, titles, (token) => this.add(token));
    this.controls();
    new ResizeObserver(() => this.drawAttention()).observe(element("history"));
    this.start(Object.values(about.examples)[0]);
  }

  /** The buttons and switches around the two lists. */
  controls() {
    const examples = Object.entries(this.about.examples).map(([name, tokens]) =>
      h("button", { type: "button", onclick: () => this.start(tokens) }, name),
    );
    const nothing = h("button", { type: "button", onclick: () => this.start([]) }, "Nothing");
    element("examples").append(...examples, nothing);
    element("insert").addEventListener("click", () => this.insert());
    for (const choice of document.querySelectorAll("input[name=mode]"))
      choice.addEventListener("change", () => {
        this.mode = choice.value;
        this.update();
      });
    const heads = this.views.map((view, place) => {
      const choose = () => {
        this.view = view;
        this.drawAttention();
      };
      const input = h("input", { type: "radio", name: "head", onchange: choose, "aria-label": view.name });
      input.checked = place === 0;
      return h("label", { title: view.name }, input, h("span", {}, view.short));
    });
    element("heads").append(...heads);
  }

  entry(token, hidden = false) {
    return { id: `film-${this.made++}`, token, hidden };
  }

  start(tokens) {
    this.change(tokens.map((token) => this.entry(token)));
  }

  /** Put a film at the end, as the newest; if it stands in the list, it moves there. */
  add(token) {
    const others = this.entries.filter((entry) => entry.token !== token);
    this.change([...others, this.entry(token)]);
  }

  /** Put a [MASK] that hides no film into the middle. */
  insert() {
    const entry = this.entry(0, true);
    this.change(this.entries.toSpliced(Math.ceil(this.entries.length / 2), 0, entry));
  }

  move(id, place) {
    const entry = this.entries.find((one) => one.id === id);
    const others = this.entries.filter((one) => one.id !== id);
    this.change(others.toSpliced(place, 0, entry));
  }

  hide(id) {
    const turned = (entry) => (entry.id === id ? { ...entry, hidden: !entry.hidden } : entry);
    this.change(this.entries.map(turned));
  }

  change(entries) {
    this.entries = entries;
    this.update();
  }

  get scorer() {
    return this.scorers[this.mode];
  }

  /** The entries that the chosen model reads, and their tokens. */
  read() {
    const masks = this.scorer.network && !this.scorer.network.config.causal;
    const entries = this.entries.filter((entry) => masks || !entry.hidden);
    const mask = this.scorers.bert4rec.network.mask;
    return { entries, tokens: entries.map((entry) => (entry.hidden ? mask : entry.token)) };
  }

  /** Compute everything anew and show it. */
  update() {
    const { entries, tokens } = this.read();
    const seen = this.entries.map((entry) => entry.token);
    const scores = tokens.length ? this.scorer.next(tokens) : this.popularity();
    this.looking = this.scorer.network && tokens.length ? this.ask(entries, tokens) : null;
    const mask = this.looking?.keys.includes(QUESTION) ?? false;
    const text = this.looking && !mask ? "what next? read at the newest film" : "what next?";
    const guesses = this.looking?.guesses ?? new Map();
    this.history.render(this.entries, guesses, { text, mask }, !(this.mode in WITHOUT));
    element("without").textContent = this.entries.some((entry) => entry.hidden)
      ? (WITHOUT[this.mode] ?? "")
      : "";
    this.answers.render(best(scores, COUNT, seen));
    element("about-mode").textContent = tokens.length
      ? ABOUT_MODE[this.mode]
      : "Without a history there is nothing to go by: these are the films chosen most often.";
    this.drawAttention();
    this.announce();
  }

  /** One pass of the network: attention, and what it guesses at each [MASK]. */
  ask(entries, tokens) {
    const { network } = this.scorer;
    const question = network.question(tokens);
    const read = entries.slice(-network.historyLength);
    const masked = [...read.keys()].filter((place) => read[place].hidden);
    const attention = [];
    const scores = network.scores(question, masked, attention);
    const visible = this.entries.filter((entry) => !entry.hidden).map((entry) => entry.token);
    const guesses = new Map(
      masked.map((place, row) => {
        const { id, token } = read[place];
        for (const film of visible) scores[row][film] = -Infinity;
        const rank = 1 + scores[row].filter((score) => score > scores[row][token]).length;
        return [id, { best: best(scores[row], GUESSES), rank }];
      }),
    );
    const keys = read.map((entry) => entry.id);
    if (!network.config.causal) keys.push(QUESTION);
    return { attention, keys, guesses };
  }

  popularity() {
    const scores = Float32Array.from(this.counts, (count) => Math.log(count + 0.5));
    scores[0] = scores[scores.length - 1] = -Infinity;
    return scores;
  }

  drawAttention() {
    const asked = this.looking;
    element("attention").hidden = !asked;
    element("history").parentElement.classList.toggle("plain", !asked);
    if (!asked) return this.history.showAttention([], null, null);
    const from = asked.keys.includes(this.at) ? this.at : asked.keys.at(-1);
    const weights = looksAt(asked.attention, this.view, asked.keys.indexOf(from));
    const { token } = this.entries.find((entry) => entry.id === from) ?? { token: 0 };
    const who = token ? shown(this.about.titles[token - 1]).name : "[MASK]";
    element("who").textContent = from === QUESTION ? "the question" : who;
    this.history.showAttention(asked.keys, from, weights);
  }

  /** Fill a panel with what each film did to a recommendation. */
  async explain(token, panel) {
    const { entries, tokens } = this.read();
    const { scorer } = this;
    const found = await gains(scorer, tokens, token, () => panel.isConnected);
    if (!found) return;
    if (!found.length) return panel.replaceChildren(h("p", {}, "No film of yours is behind it."));
    const rows = found.map((gain, place) => {
      const { token: film, hidden } = entries[place];
      return { gain, name: called(hidden ? 0 : film, this.about.titles) };
    });
    panel.replaceChildren(reasons(scorer, rows, this.about.titles[token - 1]));
  }

  /** Tell those who hear the page what is recommended now, once things have come to rest. */
  announce() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const names = [...document.querySelectorAll("#answers .pick .name")].map((name) => name.textContent);
      const list = names.map((name, place) => `${place + 1} ${name}`).join(", ");
      element("said").textContent = `Recommended by ${this.scorer.name}: ${list}.`;
    }, 600);
  }
}

const ABOUT_MODE = {
  mixed: "BERT4Rec and counting together. They make different mistakes, so the mixture beats both.",
  bert4rec:
    "The Transformer alone. A [MASK] stands after your newest film, and the model fills it in.",
  sasrec:
    "The same network trained otherwise: to name the film after each film, looking back only.",
  counting: "No network: what people saw soon after each of your films, the newest counting most.",
};

function theme() {
  const root = document.documentElement;
  const stored = (value) => {
    try {
      if (value) localStorage.setItem("theme", value);
      return localStorage.getItem("theme");
    } catch {
      return null; // a browser may keep nothing for pages from a disk
    }
  };
  const around = () => {
    try {
      const { jpThemeLight: light } = parent.document.body.dataset; // as JupyterLab says it
      return light && (light === "true" ? "light" : "dark");
    } catch {
      return null; // the page around is somebody else's
    }
  };
  const set = (value) => {
    if (value) root.dataset.theme = value;
    const dark = value
      ? value === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    element("theme").ariaLabel = dark ? "Switch to light" : "Switch to dark";
    return dark;
  };
  let dark = set(stored() ?? around());
  element("theme").addEventListener("click", () => {
    const next = dark ? "light" : "dark";
    dark = set(next);
    stored(next);
  });
  addEventListener("message", ({ data }) => {
    if (data?.theme === "light" || data?.theme === "dark") dark = set(data.theme); // the book's
    tellHeight(); // who says so listens now
  });
}

/** Tell the page around how high this one is, so that nothing need be scrolled inside of a frame. */
function tellHeight() {
  if (parent !== window) parent.postMessage({ height: document.body.scrollHeight }, "*");
}

async function begin() {
  theme();
  new ResizeObserver(tellHeight).observe(document.body);
  try {
    const about = JSON.parse(element("about").textContent);
    const numbers = await unpack(element("numbers").textContent, about.parts);
    globalThis.live = new Page(about, numbers); // for the curious, in the browser's console
    document.body.classList.add("ready");
  } catch (error) {
    element("about-mode").textContent =
      `The page could not start (${error.message}). It needs a browser of 2024 or newer.`;
    throw error;
  }
}

begin();
