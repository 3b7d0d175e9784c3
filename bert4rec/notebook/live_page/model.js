// BERT4Rec (Sun et al. 2019) and SASRec (Kang and McAuley 2018): the forward pass, one history at
// a time. Normalisation comes before each sublayer, and the item embeddings are the output weights.
//
// A matrix is a Float32Array, row after row: x has a row of `hidden` numbers for each position.
// There is no padding here, so every position is seen, or, if causal, those up to itself.

const EPSILON = 1e-6; // of layer normalisation

export class Network {
  /**
   * @param {Object<string, Float32Array>} weights by their names in PyTorch.
   * @param {Object} config num_items, hidden_size, num_layers, num_heads, max_len and causal.
   */
  constructor(weights, config) {
    Object.assign(this, { weights, config, mask: config.num_items + 1 });
    this.historyLength = config.max_len - (config.causal ? 0 : 1); // [MASK] takes a place
  }

  /** The tokens whose last position answers what comes next: with [MASK] behind, unless causal. */
  question(history) {
    const newest = history.slice(-this.historyLength);
    if (!this.config.causal) return [...newest, this.mask];
    return newest.length ? newest : [0];
  }

  /** Scores of all tokens as the next one; -Infinity for [PAD] and [MASK]. */
  next(history) {
    const tokens = this.question(history);
    return this.scores(tokens, [tokens.length - 1])[0];
  }

  /** Scores of all tokens at some positions: an array of `num_items + 2` numbers for each. */
  scores(tokens, places, collect = null) {
    const { hidden_size: hidden } = this.config;
    const x = this.encode(tokens, places, collect);
    const table = this.weights["model.embedding.token_embeddings.weight"];
    return places.map((_, row) => {
      const one = x.subarray(row * hidden, (row + 1) * hidden);
      const found = linear(one, table, this.weights["out.bias"], hidden);
      found[0] = found[this.mask] = -Infinity;
      return found;
    });
  }

  /**
   * The stack of encoders.
   * @param {number[]} tokens oldest first, at most max_len.
   * @param {number[]} places the positions that are wanted; the last encoder computes no others.
   * @param {Array|null} collect gets the attention of each layer and head: rows of weights by
   *   position, [layer][head][from][to], each row adding up to 1.
   */
  encode(tokens, places, collect = null) {
    const { hidden_size: hidden, num_layers: layers } = this.config;
    const all = tokens.map((_, place) => place);
    let x = this.embed(tokens);
    for (let layer = 0; layer < layers; layer++) {
      const wanted = layer === layers - 1 && !collect ? places : all;
      x = this.encoder(`model.transformer_encoders.${layer}.`, x, wanted, collect);
    }
    if (collect) x = pick(x, places, hidden);
    return this.norm(x, "model.layer_norm");
  }

  /** Token and position embeddings; position 0 is the newest. */
  embed(tokens) {
    const { hidden_size: hidden } = this.config;
    const items = this.weights["model.embedding.token_embeddings.weight"];
    const positions = this.weights["model.embedding.position_embeddings.weight"];
    const x = new Float32Array(tokens.length * hidden);
    tokens.forEach((token, place) => {
      const back = tokens.length - 1 - place;
      for (let i = 0; i < hidden; i++)
        x[place * hidden + i] = items[token * hidden + i] + positions[back * hidden + i];
    });
    return this.norm(x, "model.embedding.layer_norm");
  }

  /** One TransformerEncoder: x + attention(norm(x)), then x + feed_forward(norm(x)). */
  encoder(name, x, places, collect) {
    const { hidden_size: hidden } = this.config;
    const y = this.norm(x, `${name}input_sublayer.layer_norm`);
    const query = this.linear(pick(y, places, hidden), `${name}attention.query_linear`, hidden);
    const key = this.linear(y, `${name}attention.key_linear`, hidden);
    const value = this.linear(y, `${name}attention.value_linear`, hidden);
    const gathered = this.attend(query, key, value, places, collect);
    x = pick(x, places, hidden);
    add(x, this.linear(gathered, `${name}attention.output_linear`, hidden));
    const z = this.norm(x, `${name}output_sublayer.layer_norm`);
    const inner = this.linear(z, `${name}feed_forward.feed_forward_1`, hidden).map(gelu);
    const width = inner.length / places.length;
    add(x, this.linear(inner, `${name}feed_forward.feed_forward_2`, width));
    return x;
  }

  /** Scaled dot-product attention in several heads (Vaswani et al. 2017, 3.2). */
  attend(query, key, value, places, collect) {
    const { hidden_size: hidden, num_heads: heads, causal } = this.config;
    const size = hidden / heads;
    const length = key.length / hidden;
    const gathered = new Float32Array(query.length);
    const weights = [];
    for (let head = 0; head < heads; head++) {
      weights.push([]);
      for (let row = 0; row < places.length; row++) {
        const from = row * hidden + head * size;
        const seen = causal ? places[row] + 1 : length;
        const one = new Float32Array(length); // 0 where a position may not look
        for (let to = 0; to < seen; to++)
          one[to] = dot(query, from, key, to * hidden + head * size, size) / Math.sqrt(size);
        softmax(one.subarray(0, seen));
        for (let to = 0; to < seen; to++)
          for (let i = 0; i < size; i++)
            gathered[from + i] += one[to] * value[to * hidden + head * size + i];
        weights[head].push(one);
      }
    }
    collect?.push(weights);
    return gathered;
  }

  norm(x, name) {
    const weight = this.weights[`${name}.weight`];
    const bias = this.weights[`${name}.bias`];
    const size = weight.length;
    const y = new Float32Array(x.length);
    for (let start = 0; start < x.length; start += size) {
      let mean = 0;
      let square = 0;
      for (let i = 0; i < size; i++) mean += x[start + i] / size;
      for (let i = 0; i < size; i++) square += (x[start + i] - mean) ** 2 / size;
      const scale = 1 / Math.sqrt(square + EPSILON);
      for (let i = 0; i < size; i++)
        y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
    }
    return y;
  }

  linear(x, name, width) {
    return linear(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`], width);
  }
}

/** x (rows, width) times weight (size, width) transposed, plus bias: (rows, size). */
function linear(x, weight, bias, width) {
  const size = bias.length;
  const rows = x.length / width;
  const y = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < size; i++)
      y[row * size + i] = bias[i] + dot(x, row * width, weight, i * width, width);
  return y;
}

function dot(a, startOfA, b, startOfB, size) {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += a[startOfA + i] * b[startOfB + i];
  return sum;
}

function softmax(row) {
  const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] = Math.exp(row[i] - top);
  for (let i = 0; i < row.length; i++) row[i] /= sum;
}

/** Some rows of x, as a copy. */
function pick(x, places, width) {
  const y = new Float32Array(places.length * width);
  places.forEach((place, row) => y.set(x.subarray(place * width, (place + 1) * width), row * width));
  return y;
}

function add(x, y) {
  for (let i = 0; i < x.length; i++) x[i] += y[i];
}

/** x times the share of a normal distribution below x (Abramowitz and Stegun 1964, 7.1.26). */
function gelu(x) {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const tail =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - tail * Math.exp(-z * z); // to 1.5e-7
  return (x / 2) * (1 + (x < 0 ? -erf : erf));
}
