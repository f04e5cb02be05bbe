/** Statistics of repeated measurements. */

/** A sample of repeated measurements, described by its quartiles. */
export interface Summary {
  readonly median: number;
  /** (75th - 25th percentile) / median; 0 for a single measurement. */
  readonly spread: number;
}

/**
 * Quantile with linear interpolation between order statistics (Hyndman and Fan 1996, definition 7).
 *
 * @param samples at least one number, in any order
 * @param q in [0, 1]
 */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

/** @param samples at least one number > 0 */
export function summarize(samples: readonly number[]): Summary {
  const median = quantile(samples, 0.5);
  return { median, spread: (quantile(samples, 0.75) - quantile(samples, 0.25)) / median };
}

/** @param values at least one number > 0 */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
