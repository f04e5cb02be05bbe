/** Whether training made a policy better, or whether chance explains the difference between two panels. */
import type { Score } from "./evaluate.js";

/** A measured value with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly interval: readonly [number, number];
}

/** `better`, `worse`: the 95 % interval of the difference lies on one side of zero; `unclear`: chance explains it. */
export type Verdict = "better" | "worse" | "unclear";

/** How tables word a verdict. */
export const verdictTexts: Readonly<Record<Verdict, string>> = {
  better: "better",
  worse: "worse",
  unclear: "no clear change",
};

export interface Difference extends Estimate {
  readonly verdict: Verdict;
}

/** What changed from one score to another. */
export interface Improvement {
  readonly success: Difference;
  readonly return: Difference;
}

/**
 * The difference of two independent estimates, with a 95 % interval made of theirs:
 *
 *   d - sqrt((after - after_low)^2 + (before_high - before)^2)  to  d + sqrt((after_high - after)^2 + (before - before_low)^2).
 *
 * Of two rates with Wilson intervals this is Newcombe's method 10 (1998, Statistics in Medicine 17), which holds its level near 0
 * and 1, where success rates end; of two means it is their standard errors added in squares. Panels of equal episodes are not
 * quite independent: what they share makes the true interval narrower, so a verdict errs on the side of `unclear`.
 *
 * Source: Zou and Donner 2008, Statistics in Medicine 27(10).
 */
export function differenceOf(after: Estimate, before: Estimate): Difference {
  const value = after.value - before.value;
  const lower = value - Math.hypot(after.value - after.interval[0], before.interval[1] - before.value);
  const upper = value + Math.hypot(after.interval[1] - after.value, before.value - before.interval[0]);
  return { value, interval: [lower, upper], verdict: lower > 0 ? "better" : upper < 0 ? "worse" : "unclear" };
}

/** What changed in success rate and mean return. */
export function improvementOf(before: Score, after: Score): Improvement {
  const success = ({ successRate, successInterval }: Score) => ({
    value: successRate,
    interval: successInterval,
  });
  const returned = ({ returnMean, returnInterval }: Score) => ({
    value: returnMean,
    interval: returnInterval,
  });
  return {
    success: differenceOf(success(after), success(before)),
    return: differenceOf(returned(after), returned(before)),
  };
}
