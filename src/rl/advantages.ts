import { moments } from "./statistics.js";

/**
 * Advantages with mean 0 and standard deviation 1, taken over a whole update (never over a minibatch, whose
 * statistics are noise):
 *
 *   (A_i - mean(A)) / (max(std(A), stdFloor) + epsilon),   std unbiased (n - 1)
 *
 * The floor replaces the usual small constant in the denominator. When nearly every episode succeeds, the
 * advantages that remain are nearly all noise; scaled to unit size it would push as hard as a signal does.
 * With the floor a small spread stays small. A floor of 0 normalizes fully; with an epsilon it is the usual form.
 *
 * @param advantages (n) A
 * @param stdFloor >= 0, in units of the advantages
 * @param epsilon >= 0, in units of the advantages
 * @returns (n) a new array; all zero where every advantage is the same
 * Source: RL4VLM's implementation, which has no floor and epsilon 1e-5; the floor is this project's.
 */
export function normalizeAdvantages(advantages: Float64Array, stdFloor: number, epsilon = 0): Float64Array {
  const { mean, variance } = moments(advantages);
  const scale = Math.max(Math.sqrt(variance), stdFloor) + epsilon;
  return advantages.map((advantage) => (scale > 0 ? (advantage - mean) / scale : 0));
}
