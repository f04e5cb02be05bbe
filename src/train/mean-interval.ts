/**
 * Student's t quantile of a two-sided 95 % interval: the t for which a variable of Student's distribution lies in [-t, t] with
 * probability 0.95, by bisection of the exact distribution, to the last digits of a double.
 *
 * @param degreesOfFreedom integer >= 1
 */
export function studentQuantile95(degreesOfFreedom: number): number {
  // With one degree of freedom the quantile is 12.7, with more it is smaller.
  let [below, above] = [0, 13];
  for (;;) {
    const middle = (below + above) / 2;
    if (middle === below || middle === above) return middle;
    if (studentCentral(middle, degreesOfFreedom) < 0.95) below = middle;
    else above = middle;
  }
}

/**
 * Probability that Student's t with n degrees of freedom lies in [-t, t]. With theta = atan(t / sqrt(n)) it is
 *
 *   n even:  sin(theta) (1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + ... up to cos^(n - 2))
 *   n odd:   2/pi (theta + sin(theta) (cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + ... up to cos^(n - 2)))
 *
 * Source: Abramowitz and Stegun 1964, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
 */
function studentCentral(t: number, n: number): number {
  const theta = Math.atan(t / Math.sqrt(n));
  const [sine, cosine] = [Math.sin(theta), Math.cos(theta)];
  const isOdd = n % 2 === 1;
  let sum = 0;
  let term = isOdd ? cosine : 1;
  for (let power = isOdd ? 1 : 0; power <= n - 2; power += 2) {
    sum += term;
    term *= ((power + 1) / (power + 2)) * cosine * cosine;
  }
  return isOdd ? (2 / Math.PI) * (theta + sine * sum) : sine * sum;
}

/**
 * Mean of a sample and its 95 % interval, mean -+ t s / sqrt(n), with s the unbiased standard deviation and t Student's quantile
 * of n - 1 degrees of freedom. It assumes that the mean is normal, which by the central limit theorem it nearly is for bounded
 * values and some hundreds of them. Of one value nothing is known of the spread: the interval is that value alone.
 *
 * @param values at least one
 * Source: Student 1908, Biometrika 6(1).
 */
export function meanInterval(values: readonly number[]): { mean: number; interval: [number, number] } {
  const n = values.length;
  const mean = values.reduce((total, value) => total + value, 0) / n;
  if (n === 1) return { mean, interval: [mean, mean] };
  const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  const margin = studentQuantile95(n - 1) * Math.sqrt(squares / (n - 1) / n);
  return { mean, interval: [mean - margin, mean + margin] };
}
