/**
 * The λ weighting of chain of thought (Zhai et al. 2024, arXiv 2405.10292, equation 4.3):
 *
 *   log π(a | o, v_in) = λ log π(v_tht | o, v_in) + log π(v_act | o, v_in, v_tht) = sum_t w_t log p_t
 *
 * with w_t = λ on thought tokens and 1 on action tokens. Long thoughts would otherwise drown the few tokens
 * that act.
 */

/**
 * Where the action part of a response begins: the index of the opening quote of the *last* `"action":` key
 * in the decoded text (whitespace before the colon allowed), in UTF-16 code units. The last one, because a
 * thought may quote the format before the answer gives it.
 *
 * @returns undefined where the text has no such key
 */
export function actionStart(text: string): number | undefined {
  let start: number | undefined;
  for (const match of text.matchAll(/"action"\s*:/g)) start = match.index;
  return start;
}

/** Tokens from `start` on, up to but without `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The two parts of a response as spans of its tokens; tokens outside both have no term in log π. */
export interface ResponseParts {
  readonly thought: Span;
  readonly action: Span;
}

/**
 * The parts of a response whose action part begins at `firstActionToken`. Where the prompt asks for no thoughts, the thought
 * part is what JSON opens with before the key.
 *
 * Without an action part the whole response counts as thought: none of its tokens chose the action that was
 * played (it was drawn uniformly, equation 4.1), and weight 1 on such a text would make leaving the action out
 * the strongest signal in the batch.
 *
 * @param tokenCount T >= 0
 * @param firstActionToken index in [0, T]; undefined: no action part
 * @throws RangeError for an index outside [0, T]
 */
export function responseParts(tokenCount: number, firstActionToken: number | undefined): ResponseParts {
  const cut = firstActionToken ?? tokenCount;
  if (!Number.isInteger(cut) || cut < 0 || cut > tokenCount) {
    throw new RangeError(
      `firstActionToken: expected an integer in [0, ${tokenCount}], received ${firstActionToken}`,
    );
  }
  return { thought: { start: 0, end: cut }, action: { start: cut, end: tokenCount } };
}

/**
 * The weight of each token: λ in the thought part, 1 in the action part, 0 outside both.
 *
 * @param tokenCount T, of the sequence whose tokens the parts span
 * @param lambda λ >= 0; 0 trains the action tokens alone, 1 is the plain log-prob of the response
 * @returns (T)
 * @throws RangeError for a λ that is negative or not finite
 */
export function tokenWeights(
  tokenCount: number,
  { thought, action }: ResponseParts,
  lambda: number,
): Float64Array {
  if (!(lambda >= 0 && lambda < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`lambda: expected a finite number >= 0, received ${lambda}`);
  }
  return new Float64Array(tokenCount)
    .fill(lambda, thought.start, thought.end)
    .fill(1, action.start, action.end);
}

/**
 * sum_t w_t log p_t over the tokens of one response.
 *
 * @param logProbs (T) in nats
 * @param weights (T)
 * @throws RangeError where the two lengths differ
 * Numerics: summed in double precision, in order of t.
 */
export function weightedLogProb(logProbs: ArrayLike<number>, weights: Float64Array): number {
  if (logProbs.length !== weights.length) {
    throw new RangeError(
      `weights: expected ${logProbs.length}, one per log-prob, received ${weights.length}`,
    );
  }
  return weights.reduce((sum, weight, t) => sum + weight * logProbs[t]!, 0);
}
