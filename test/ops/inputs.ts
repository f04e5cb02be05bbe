import type { Random } from "../../src/random.js";

export type Floats = Float32Array | Float64Array;

/** Longer arrays repeat: drawing millions of numbers would take longer than the op and its reference together. */
const period = 8191;

function fill<A extends Floats | Int32Array | Uint32Array>(array: A, draw: () => number): A {
  const drawn = Math.min(array.length, period);
  for (let i = 0; i < drawn; i++) array[i] = draw();
  for (let i = drawn; i < array.length; i++) array[i] = array[i - period]!;
  return array;
}

/** Normally distributed numbers (Box and Muller 1958). */
export function normals(random: Random, count: number, scale = 1): Float32Array {
  return fill(new Float32Array(count), () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    return scale * radius * Math.cos(2 * Math.PI * random.uniform());
  });
}

/** Integers in [0, limit). */
export function integers(random: Random, count: number, limit: number): Int32Array {
  return fill(new Int32Array(count), () => random.integer(limit));
}

/** What an output holds before it is written: an element that the op forgets shows. */
export function unwritten(count: number): Float32Array {
  return new Float32Array(count).fill(Number.NaN);
}
