/** Standard normal quantile of a two-sided 95 % interval. */
export const Z_95 = 1.959963984540054;

/**
 * Wilson score interval of a proportion at 95 % confidence: with p = successes / trials and z = 1.96,
 *
 *   (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).
 *
 * Unlike the normal approximation it stays inside [0, 1] and is sound near 0 and 1, where success rates end.
 * Without trials nothing is known: [0, 1].
 *
 * @param successes integer in [0, trials]
 * @param trials integer >= 0
 * @returns lower and upper bound
 * Source: Wilson 1927, J. Am. Stat. Assoc. 22(158).
 */
export function wilsonInterval(successes: number, trials: number): [number, number] {
  if (trials === 0) return [0, 1];
  const p = successes / trials;
  const z2 = (Z_95 * Z_95) / trials;
  const centre = p + z2 / 2;
  const halfWidth = Z_95 * Math.sqrt((p * (1 - p)) / trials + z2 / (4 * trials));
  // At p = 0 and p = 1 one bound is exact; rounding must not push it outside.
  const lower = successes === 0 ? 0 : (centre - halfWidth) / (1 + z2);
  const upper = successes === trials ? 1 : (centre + halfWidth) / (1 + z2);
  return [lower, upper];
}
