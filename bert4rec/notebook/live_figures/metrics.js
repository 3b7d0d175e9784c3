// HR@k, NDCG@k and MRR, as in bert4rec/evaluation/metrics.py, and how sure their means are.

const GAINS = {
  HR: () => 1,
  NDCG: (rank) => 1 / Math.log2(rank + 1),
  MRR: (rank) => 1 / rank,
};

/**
 * What a target is worth; where others tie with it, the mean over the ranks it could have.
 * @param {string} metric as "NDCG@10" or "MRR".
 * @param {number} above how many others are higher.
 * @param {number} tied how many have its score, itself included.
 */
export function worth(metric, above, tied = 1) {
  const [name, cutoff = Infinity] = metric.split("@");
  const last = Math.min(above + tied, Number(cutoff));
  let total = 0;
  for (let rank = above + 1; rank <= last; rank++) total += GAINS[name](rank);
  return total / tied;
}

/** The mean of some numbers, each of which counts so many times, and its standard error. */
export function meanAndError(values, times) {
  const sum = (term) => values.reduce((total, value, i) => total + times[i] * term(value), 0);
  const count = sum(() => 1);
  const mean = sum((value) => value) / count;
  const variance = sum((value) => (value - mean) ** 2) / (count - 1);
  return { mean, error: Math.sqrt(variance / count) };
}
