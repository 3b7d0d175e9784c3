// Titles as people type them: "the matrix", "ET", "schindlers list", "terminator 2", "amelie".
// The rules are those of bert4rec/data/titles.py.

const ARTICLES = new Set(["the", "a", "an"]);
const NUMERALS = { ii: "2", iii: "3", iv: "4", vi: "6", vii: "7", viii: "8", ix: "9" };
const YEAR = /\s*\((\d{4})\)\s*$/;
const TURNED = /^(.+), (The|An?|L[aeo]s?|L'|Il|El|Das|Der|Die|Den|Det|Une?)(?= \(|$)/;

/** What people agree on: "Matrix, The (1999)" and "the  matrix 1999" are "matrix 1999". */
export function normalised(text) {
  const plain = text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const spaced = plain.replace(/[.'’‘`´]/g, "").replaceAll("&", " and ");
  const words = spaced.replace(/[^\p{L}\p{N}]+/gu, " ").trim().split(" ");
  const rest = words.filter((word) => !ARTICLES.has(word));
  return (rest.length ? rest : words).map((word) => NUMERALS[word] ?? word).join(" ");
}

/** A title's names, normalised: the whole without its year, and what is in parentheses. */
function namesOf(title) {
  const whole = title.replace(YEAR, "");
  const names = [whole];
  if (whole.includes("(")) {
    names.push(whole.replace(/\s*\(.*\)$/, ""));
    for (const [, inside] of whole.matchAll(/\(([^()]+)\)/g))
      names.push(inside.replace(/^a\.?k\.?a\.? /, ""));
  }
  return [...new Set(names.map(normalised))].filter(Boolean);
}

/** How a title is shown: "Lion King, The (1994)" is { name: "The Lion King", year: "1994" }. */
export function shown(title) {
  const [, year = ""] = YEAR.exec(title) ?? [];
  const name = title.replace(YEAR, "").replace(/\s*\(.*\)$/, "");
  const turned = TURNED.exec(name);
  if (!turned) return { name: name || title, year };
  const [, rest, article] = turned;
  return { name: article.endsWith("'") ? article + rest : `${article} ${rest}`, year };
}

/** Finds films by title; of several that fit alike, the ones chosen most come first. */
export class TitleIndex {
  /**
   * @param {string[]} titles of tokens 1, 2, …
   * @param {ArrayLike<number>} counts how often each token was chosen, from token 0.
   */
  constructor(titles, counts) {
    this.films = titles.map((title, place) => ({
      token: place + 1,
      names: namesOf(title),
      year: YEAR.exec(title)?.[1] ?? "",
    }));
    this.films.sort((a, b) => counts[b.token] - counts[a.token]);
  }

  /**
   * The tokens of films that a text may mean, best first.
   * @returns {{tokens: number[], near: boolean}} near: nothing holds the text, these resemble it.
   */
  find(text, count = 8) {
    const key = normalised(text);
    if (!key) return { tokens: [], near: false };
    const joined = key.replaceAll(" ", "");
    const steps = [
      (name, year) => name === key || `${name} ${year}` === key,
      (name, year) => `${name} ${year}`.replaceAll(" ", "").startsWith(joined),
      (name) => ` ${name}`.includes(` ${key}`),
      (name) => joined.length > 3 && name.replaceAll(" ", "").includes(joined),
    ];
    const found = new Set();
    for (const fits of steps)
      for (const { token, names, year } of this.films)
        if (names.some((name) => fits(name, year))) found.add(token);
    if (found.size || joined.length < 3) return { tokens: [...found].slice(0, count), near: false };
    return { tokens: this.near(key, count), near: true };
  }

  /** Films whose name, or its beginning, is a few slips of the finger away. */
  near(key, count) {
    const most = Math.max(1, Math.floor(key.length / 4));
    return this.films
      .map(({ token, names }) => ({ token, slips: Math.min(...names.map((n) => slips(key, n))) }))
      .filter((film) => film.slips <= most)
      .sort((a, b) => a.slips - b.slips) // stable: those alike stay by popularity
      .slice(0, count)
      .map((film) => film.token);
  }
}

/** Letters to change, swap, leave out or put in until a text is a name or its beginning. */
function slips(text, name) {
  let before = [];
  let row = Array.from({ length: text.length + 1 }, (_, place) => place);
  let least = row.at(-1);
  for (let i = 0; i < Math.min(name.length, text.length + 2); i++) {
    const next = [i + 1];
    for (let j = 1; j <= text.length; j++) {
      const same = row[j - 1] + (text[j - 1] === name[i] ? 0 : 1);
      next.push(Math.min(same, row[j] + 1, next[j - 1] + 1));
      if (i > 0 && j > 1 && text[j - 1] === name[i - 1] && text[j - 2] === name[i])
        next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    [before, row] = [row, next];
    least = Math.min(least, row.at(-1));
  }
  return least;
}
