// Item transitions: which film followed which in the ratings, and how often. No network.

export class Transitions {
  /**
   * @param {Uint16Array} tokens the followers of each token, `width` each, most frequent first.
   * @param {Uint16Array} steps what was packed of their shares; see `sharesFrom`.
   * @param {Object} config width, history_length (the newest films that vote) and decay (the
   *   weight of a vote one more step back).
   * @param {function(number): number} toValue from 16 bits to a number.
   */
  constructor(tokens, steps, config, toValue) {
    Object.assign(this, { tokens, config, mask: tokens.length / config.width - 1 });
    this.shares = sharesFrom(steps, config.width, toValue);
  }

  /** Each token's share of what comes next, by the votes of a history; they add up to 1 or 0. */
  next(history) {
    const { width, history_length: newest, decay } = this.config;
    const found = new Float32Array(this.tokens.length / width);
    const voters = history.slice(-newest).reverse();
    let sum = 0;
    voters.forEach((token, back) => {
      const weight = decay ** back;
      for (let place = token * width; place < (token + 1) * width; place++) {
        const vote = this.shares[place] * weight;
        found[this.tokens[place]] += vote;
        sum += vote;
      }
    });
    return sum ? found.map((votes) => votes / sum) : found;
  }
}

/**
 * In a row shares fall, and so do their bits as half-precision floats: the first is stored, then by
 * how much each is below the one before it, which compresses to a third.
 */
function sharesFrom(steps, width, toValue) {
  const shares = new Float32Array(steps.length);
  for (let start = 0; start < steps.length; start += width) {
    let bits = steps[start];
    shares[start] = toValue(bits);
    for (let place = start + 1; place < start + width; place++)
      shares[place] = toValue((bits -= steps[place]));
  }
  return shares;
}
