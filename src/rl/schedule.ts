/** How a rate falls over a run; `step` counts updates (or optimizer steps) from 0 and knows nothing of ranks. */
export interface Schedule {
  /** Value at the end of the warm-up, >= 0. */
  readonly initial: number;
  /** Value at the last step, >= 0. */
  readonly final: number;
  /** Steps that rise linearly to `initial` before the fall begins, >= 0. Default 0. */
  readonly warmupSteps?: number;
}

/**
 * Warm-up, then half a cosine. With w warm-up steps of n in all:
 *
 *   step < w:   initial (step + 1) / (w + 1)
 *   otherwise:  final + (initial - final) (1 + cos(π p)) / 2,   p = (step - w) / (n - 1 - w)
 *
 * so step w has exactly `initial` and step n - 1 exactly `final`. Where the warm-up leaves only one step (or
 * none), p is 0.
 *
 * @param step in [0, total)
 * @param total n >= 1, steps of the whole run
 * @throws RangeError for a step outside [0, total)
 * Source: Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5, without restarts.
 */
export function cosineSchedule(step: number, total: number, schedule: Schedule): number {
  if (!(step >= 0 && step < total)) {
    throw new RangeError(`step: expected a number in [0, ${total}), received ${step}`);
  }
  const { initial, final, warmupSteps = 0 } = schedule;
  if (step < warmupSteps) return (initial * (step + 1)) / (warmupSteps + 1);
  const falling = total - 1 - warmupSteps;
  const p = falling > 0 ? (step - warmupSteps) / falling : 0;
  return final + (initial - final) * 0.5 * (1 + Math.cos(Math.PI * p));
}

/**
 * A cosine that does not end: it falls from `initial` to `final` over `halfPeriod` steps, rises again over as many, and so on:
 *
 *   final + (initial - final) (1 + cos(π step / halfPeriod)) / 2
 *
 * @param step >= 0; may be past `halfPeriod`
 * @param halfPeriod > 0, in steps
 * Source: PyTorch's CosineAnnealingLR with T_max = halfPeriod, which RL4VLM leaves running past T_max.
 */
export function periodicCosine(
  step: number,
  halfPeriod: number,
  { initial, final }: Pick<Schedule, "initial" | "final">,
): number {
  return final + (initial - final) * 0.5 * (1 + Math.cos((Math.PI * step) / halfPeriod));
}
