/**
 * Parts and sums of a response's log-probs as the reference implementation of Zhai et al. 2024 (arXiv 2405.10292) has them,
 * where it differs from `thought-weights.ts`.
 */
import { roundToBfloat16 } from "./bfloat16.js";
import type { ResponseParts, Span } from "./thought-weights.js";

/**
 * The reference's cut in its fallback, which all of its published runs take: it looks for token ids that the backbone's
 * vocabulary does not have. The action part is the last five tokens, end token included.
 *
 * A response of five tokens is all action. Of four tokens, all are thought: the reference counts one token back from the
 * first and arrives at the padding. Shorter ones have neither part: their log π is a constant there (-2), which cancels in
 * the ratio and has no gradient.
 *
 * @param tokenCount T >= 0
 */
export function lastFiveTokens(tokenCount: number): ResponseParts {
  const cut = tokenCount < 4 ? 0 : tokenCount === 4 ? 4 : tokenCount - 5;
  const end = tokenCount < 4 ? 0 : tokenCount;
  return { thought: { start: 0, end: cut }, action: { start: cut, end } };
}

/** Leaves the response's first token out of the thought part. An action part that begins with it keeps it. */
export function withoutFirstToken({ thought, action }: ResponseParts): ResponseParts {
  return { thought: { start: Math.min(Math.max(thought.start, 1), thought.end), end: thought.end }, action };
}

/** The same parts in a sequence with `count` more tokens before the response. */
export function shifted({ thought, action }: ResponseParts, count: number): ResponseParts {
  const shift = ({ start, end }: Span): Span => ({ start: start + count, end: end + count });
  return { thought: shift(thought), action: shift(action) };
}

/**
 * log π as the reference computes it, every step rounded to bfloat16 (b):
 *
 *   log π = b(b(λ b(Σ_thought b(log p_t))) + b(Σ_action b(log p_t)))
 *
 * Numbers between 16 and 32 are then an eighth apart, which moves the ratio by 13 %: more than a clip range of 0.1.
 *
 * @param logProbs (T) in nats
 * Numerics: sums in double precision before they are rounded, where the reference sums in fp32. The rounding has no
 * derivative worth the name; like the reference's casts, updates pass gradients straight through it.
 */
export function bfloat16LogProb(
  logProbs: ArrayLike<number>,
  { thought, action }: ResponseParts,
  lambda: number,
): number {
  const sum = ({ start, end }: Span): number => {
    let total = 0;
    for (let t = start; t < end; t++) total += roundToBfloat16(logProbs[t]!);
    return roundToBfloat16(total);
  };
  return roundToBfloat16(roundToBfloat16(lambda * sum(thought)) + sum(action));
}
