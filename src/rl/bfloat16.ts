const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/**
 * The bfloat16 number nearest to x, ties to even: 8 bits of significand, so that numbers in [2^e, 2^(e + 1)) are
 * 2^(e - 7) apart.
 *
 * @param x rounded to fp32 first, as a cast from fp32 finds it
 * @returns ±Infinity past the largest bfloat16 number, NaN for NaN
 */
export function roundToBfloat16(x: number): number {
  float[0] = x;
  if (Number.isNaN(x)) return x;
  const word = bits[0]!;
  // Half a unit of what is kept; the unit's own last bit decides a tie.
  bits[0] = ((word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000) >>> 0;
  return float[0]!;
}
