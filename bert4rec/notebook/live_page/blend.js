// The four ways to answer, and what each film of a history did to an answer.
//
// A blend is (1 - w) log softmax(network) + w log(share of the transitions + 1 / num_items); w = 0
// is the network alone, w = 1 counting alone.

const LOWEST = -1e4; // 0 times infinity would be no number

/** The two logs that are mixed, from a network's scores and from shares. */
export function parts(scores, shares) {
  const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = scores.reduce((total, score) => total + Math.exp(score - top), 0);
  const least = 1 / (scores.length - 2);
  return {
    attention: scores.map((score) => Math.max(score - top - Math.log(sum), LOWEST)),
    counting: shares.map((share) => Math.log(share + least)),
  };
}

/** What is recommended by: { name, network: Network or null, transitions, weight }. */
export class Scorer {
  constructor(name, network, transitions, weight) {
    Object.assign(this, { name, network, transitions, weight });
  }

  /**
   * Both parts of the scores of all tokens as the next one, as they are added up.
   * @param {number[]} history tokens, oldest first; [MASK] may stand in it, which only BERT4Rec
   *   reads: the others do without.
   */
  parts(history) {
    const films = history.filter((token) => token !== this.transitions.mask);
    const readable = this.network?.config.causal ? films : history;
    // a network alone is ranked by its scores as they are, as PyTorch's is
    if (this.weight === 0) return { attention: this.network.next(readable) };
    const shares = this.transitions.next(films);
    const scores = this.network ? this.network.next(readable) : shares;
    const { attention, counting } = parts(scores, shares);
    const scaled = { counting: counting.map((value) => this.weight * value) };
    if (this.weight < 1) scaled.attention = attention.map((value) => (1 - this.weight) * value);
    return scaled;
  }

  /** Scores of all tokens as the next one; -Infinity for [PAD] and [MASK]. */
  next(history) {
    const { attention, counting } = this.parts(history);
    const scores = attention?.slice() ?? new Float32Array(counting.length);
    counting?.forEach((value, token) => (scores[token] += value));
    scores[0] = scores[scores.length - 1] = -Infinity;
    return scores;
  }

  /**
   * What one entry of a history did for a film: its score less what it is without the entry.
   * @returns {{attention: number, counting: number}} 0 for what has no part in it.
   */
  gain(history, place, film, whole = this.parts(history)) {
    const without = this.parts(history.filter((_, other) => other !== place));
    const of = (part) => (whole[part] ? whole[part][film] - without[part][film] : 0);
    return { attention: of("attention"), counting: of("counting") };
  }
}

/**
 * The k best tokens, best first, with their scores and probabilities (the softmax of the scores of
 * all that are allowed).
 */
export function best(scores, k, seen = []) {
  const left = scores.slice();
  for (const token of seen) left[token] = -Infinity;
  const order = [...left.keys()].sort((a, b) => left[b] - left[a]).slice(0, k);
  const top = left[order[0]];
  const sum = left.reduce((total, score) => total + Math.exp(score - top), 0);
  return order.map((token) => ({
    token,
    score: left[token],
    probability: Math.exp(left[token] - top) / sum,
  }));
}
