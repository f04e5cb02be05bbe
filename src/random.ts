/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011). A number is a pure function of a key and a counter, so what is drawn for one
 * purpose never depends on what was drawn for another, nor on the order in which work arrives.
 */
import type { RandomKey } from "./native/types.js";

/**
 * What random numbers are drawn for. The purpose is the first element of a key's path, so that no two
 * purposes share numbers: `deriveKey(seed, stream.sampling, environment, episode, step)`. Evaluation nests:
 * `deriveKey(seed, stream.evaluation, stream.sampling, episode, step)`. The numbers are part of a run's
 * result: add ids, never change them.
 */
export const stream = {
  /** Seeds of episodes: the first word of the key goes to `Environment.reset`. */
  episode: 1,
  /** Tokens that the policy samples. */
  sampling: 2,
  /** The uniform action where a response names none. */
  fallbackAction: 3,
  /** Order of the samples in an epoch of updates. */
  minibatch: 4,
  /** Demonstrations: the states they are taken from and the expert's mistakes. */
  expert: 5,
  /** Everything random in an evaluation. */
  evaluation: 6,
  /** Episodes of a data set of demonstrations. */
  demonstratedEpisode: 7,
  /** Order in which an epoch shows the records of a data set. */
  recordOrder: 8,
  /** What adapters drop of their inputs in a pass that scores. */
  dropout: 9,
} as const;

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const KEY_INCREMENT_0 = 0x9e3779b9;
const KEY_INCREMENT_1 = 0xbb67ae85;
const ROUNDS = 10;

/** Last counter word of key derivation. Drawing leaves that word 0, so the two never meet under one key. */
const DERIVATION = 1;

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Both middle terms stay below 2^32, which doubles hold exactly.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) >>> 0;
}

/**
 * The Philox4x32-10 bijection: four random words from a counter and a key.
 *
 * @param counter four unsigned 32-bit words; words outside that range are reduced modulo 2^32
 * @param key two unsigned 32-bit words, likewise
 * @returns four unsigned 32-bit words
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: RandomKey,
): [number, number, number, number] {
  let [x0, x1, x2, x3] = counter;
  let [key0, key1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, x0);
    const low0 = Math.imul(MULTIPLIER_0, x0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, x2);
    const low1 = Math.imul(MULTIPLIER_1, x2) >>> 0;
    x0 = (high1 ^ x1 ^ key0) >>> 0;
    x1 = low1;
    x2 = (high0 ^ x3 ^ key1) >>> 0;
    x3 = low0;
    key0 = (key0 + KEY_INCREMENT_0) >>> 0;
    key1 = (key1 + KEY_INCREMENT_1) >>> 0;
  }
  return [x0, x1, x2, x3];
}

function requireWord(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`${name}: expected an unsigned 32-bit integer, received ${value}`);
  }
}

/**
 * The key of one stream: starting at (seed, 0), each element of the path hashes the key before it,
 * k_(i+1) = first two words of philox((path_i, 0, 0, 1), k_i). Keys of different paths collide with
 * probability 2^-64, whether or not one path begins with the other.
 *
 * @param seed unsigned 32-bit integer
 * @param path unsigned 32-bit integers: a purpose of `stream`, then what numbers the uses of it
 * @throws RangeError naming the element that is not an unsigned 32-bit integer
 */
export function deriveKey(seed: number, ...path: number[]): RandomKey {
  requireWord("seed", seed);
  let key: RandomKey = [seed, 0];
  path.forEach((element, index) => {
    requireWord(`path[${index}]`, element);
    const [word0, word1] = philox([element, 0, 0, DERIVATION], key);
    key = [word0, word1];
  });
  return key;
}

/** A sequence of random numbers: the words of philox((0, 0, 0, 0), key), philox((1, 0, 0, 0), key), ... */
export class Random {
  readonly #key: RandomKey;
  #blocks = 0;
  #words: readonly number[] = [];
  #used = 0;

  constructor(key: RandomKey) {
    this.#key = key;
  }

  /** An integer, uniform over [0, 2^32). */
  uint32(): number {
    if (this.#used === this.#words.length) {
      // The counter's second word counts the overflows of the first: 2^53 blocks before numbers repeat.
      const overflows = Math.floor(this.#blocks / 2 ** 32);
      this.#words = philox([this.#blocks >>> 0, overflows, 0, 0], this.#key);
      this.#blocks += 1;
      this.#used = 0;
    }
    return this.#words[this.#used++]!;
  }

  /** A multiple of 2^-53, uniform over [0, 1). Takes two words. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /**
   * An integer, exactly uniform over [0, n), by rejection of the words past the last multiple of n.
   *
   * @param n integer in [1, 2^32]
   * @throws RangeError for any other n
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new RangeError(`n: expected an integer in [1, 2^32], received ${n}`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % n;
  }

  /** Permutes the array in place, every order equally likely (Fisher and Yates). */
  shuffle<T>(array: { readonly length: number; [index: number]: T }): void {
    for (let last = array.length - 1; last > 0; last--) {
      const chosen = this.integer(last + 1);
      [array[last], array[chosen]] = [array[chosen]!, array[last]!];
    }
  }

  /**
   * An element of the array, each equally likely.
   *
   * @throws RangeError for an empty array
   */
  pick<T>(array: readonly T[]): T {
    if (array.length === 0) throw new RangeError("array: expected at least one element, received none");
    return array[this.integer(array.length)] as T;
  }
}
