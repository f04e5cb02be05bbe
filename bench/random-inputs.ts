/** Inputs of measurements: random, and the same in every run. */
import { deriveKey, Random } from "../src/random.js";

/** Longer arrays repeat: drawing the weights of a large product would take longer than multiplying it. */
const PERIOD = 8191;

/** A source of random numbers that `keys` fix. */
export const source = (...keys: number[]): Random => new Random(deriveKey(0, ...keys));

/** Numbers uniform over [-1, 1). */
export function uniforms(random: Random, count: number): Float32Array {
  const values = new Float32Array(count);
  const drawn = Math.min(count, PERIOD);
  for (let i = 0; i < drawn; i++) values[i] = 2 * random.uniform() - 1;
  for (let i = drawn; i < count; i++) values[i] = values[i - PERIOD]!;
  return values;
}

/** Token ids in [0, limit). */
export function tokens(random: Random, count: number, limit: number): Int32Array {
  return Int32Array.from({ length: count }, () => random.integer(limit));
}
