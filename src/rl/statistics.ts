/** The mean of numbers that arrive one by one. */
export class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count += 1;
  }

  /** Undefined while nothing has been added. */
  get value(): number | undefined {
    return this.#count > 0 ? this.#sum / this.#count : undefined;
  }
}

/** Mean and unbiased variance, sum_i (x_i - mean)^2 / (n - 1); fewer than two numbers have variance 0. */
export function moments(numbers: ArrayLike<number>): { mean: number; variance: number } {
  const count = numbers.length;
  if (count === 0) return { mean: 0, variance: 0 };
  let sum = 0;
  for (let i = 0; i < count; i++) sum += numbers[i]!;
  const mean = sum / count;
  // A second pass: the difference of sums of squares cancels badly where the mean is large.
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (numbers[i]! - mean) ** 2;
  return { mean, variance: count > 1 ? squares / (count - 1) : 0 };
}

/**
 * The share of the returns' variance that the values account for, 1 - Var(R - V) / Var(R): 1 for a perfect
 * critic, 0 for one that knows no more than a constant, negative for a harmful one.
 *
 * @param values (n) V
 * @param returns (n) R
 * @returns undefined where the returns do not vary
 */
export function explainedVariance(values: Float64Array, returns: Float64Array): number | undefined {
  const total = moments(returns).variance;
  if (total === 0) return undefined;
  const residuals = returns.map((target, i) => target - values[i]!);
  return 1 - moments(residuals).variance / total;
}
