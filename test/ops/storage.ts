/** How the arguments of an op that may be bfloat16 are stored, and their bits. */
import type { OpArgument, OpArguments } from "./native-ops.js";

export type Storage = "fp32" | "bf16";

/** The nearest bfloat16, ties to even, by arithmetic on the number: the last of its 8 significant bits is worth 2^(exponent - 7). */
export function toBfloat16(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const unit = unitOf(x);
  const quotient = x / unit;
  const below = Math.floor(quotient);
  const up = quotient - below > 0.5 || (quotient - below === 0.5 && below % 2 !== 0);
  return (up ? below + 1 : below) * unit;
}

/** The most that rounding a number of this magnitude to bfloat16 can err. */
export function largestRounding(magnitude: number): number {
  return magnitude === 0 ? 0 : unitOf(magnitude) / 2;
}

/** The distance of neighbouring bfloat16 numbers around x. */
function unitOf(x: number): number {
  return 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
}

/** The bits of numbers that are bfloat16 already. */
export function bitsOf(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(
    new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length),
    (word) => word >>> 16,
  );
}

/** Rounds the arrays among `args` with these names to bfloat16, in place. */
export function roundStored(names: readonly string[], args: OpArguments): void {
  for (const array of arraysOf(names, args)) array.set(array.map(toBfloat16));
}

/**
 * Calls `run` with `bound` in which the arrays that have one of these names in `args` or in `bound`, and all that share
 * memory with them, are the bits of bfloat16; then the arrays hold what `run` left in those.
 */
export function runStored(
  names: readonly string[],
  args: OpArguments,
  bound: OpArguments,
  run: (args: OpArguments) => void,
): void {
  const bits = new Map<ArrayBufferLike, Uint16Array>();
  for (const { buffer } of [...arraysOf(names, args), ...arraysOf(names, bound)])
    if (!bits.has(buffer)) bits.set(buffer, bitsOf(new Float32Array(buffer)));
  const stored = (value: Float32Array): Float32Array | Uint16Array =>
    bits.get(value.buffer)?.subarray(value.byteOffset / 4, value.byteOffset / 4 + value.length) ?? value;
  const converted = (value: OpArgument): OpArgument => {
    if (value instanceof Float32Array) return stored(value);
    return Array.isArray(value)
      ? value.map((page) => (page instanceof Float32Array ? stored(page) : page))
      : value;
  };
  run(Object.fromEntries(Object.entries(bound).map(([name, value]) => [name, converted(value)])));
  for (const [buffer, halves] of bits)
    new Uint32Array(buffer).set(Uint32Array.from(halves, (half) => half << 16));
}

/** An argument that is not there, or not wanted, has no arrays. */
function arraysOf(names: readonly string[], args: OpArguments): Float32Array[] {
  return names
    .map((name) => args[name])
    .flatMap((value) => (Array.isArray(value) ? value : [value]))
    .filter((value) => value instanceof Float32Array);
}
