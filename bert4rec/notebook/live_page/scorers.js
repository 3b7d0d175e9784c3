// From the packed numbers of the page to what it recommends by.

import { Scorer } from "./blend.js";
import { Transitions } from "./counting.js";
import { fromHalf } from "./data.js";
import { Network } from "./model.js";

/**
 * @param {Object} about what the page knows of its models.
 * @param {Object} numbers what `unpack` gave.
 * @returns {{mixed: Scorer, bert4rec: Scorer, sasrec: Scorer, counting: Scorer}}
 */
export function makeScorers(about, numbers) {
  const network = (name) => {
    const own = Object.entries(numbers).filter(([key]) => key.startsWith(`${name}/`));
    const weights = Object.fromEntries(own.map(([key, part]) => [key.split("/")[1], part]));
    return new Network(weights, about.networks[name]);
  };
  const [bert, sasrec] = [network("BERT4Rec"), network("SASRec")];
  const { followers, steps } = numbers;
  const transitions = new Transitions(followers, steps, about.counting, fromHalf);
  return {
    mixed: new Scorer("BERT4Rec and counting", bert, transitions, about.weight),
    bert4rec: new Scorer("BERT4Rec", bert, transitions, 0),
    sasrec: new Scorer("SASRec", sasrec, transitions, 0),
    counting: new Scorer("Counting", null, transitions, 1),
  };
}
