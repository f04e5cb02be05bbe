/** One step of a trajectory as advantage estimation sees it. */
export interface GaeStep {
  /** r_t, received for the action taken in s_t. */
  readonly reward: number;
  /** V(s_t) at the time of sampling. */
  readonly value: number;
  /** s_(t+1) is terminal: its value is zero. */
  readonly terminated: boolean;
  /** The episode was cut off at s_(t+1), which still has a value. */
  readonly truncated: boolean;
  /** V(s_(t+1)), read where the next step does not start in s_(t+1): at a truncation and at the last step. */
  readonly bootstrapValue: number;
}

export interface AdvantageEstimate {
  /** (T) A_t. */
  readonly advantages: Float64Array;
  /** (T) R_t = A_t + V(s_t), the target of the value function. */
  readonly returns: Float64Array;
}

/**
 * Generalized advantage estimation over the T consecutive steps of one environment, in which episodes may
 * end and begin:
 *
 *   discount_t = γ (1 - terminated_t)
 *   delta_t    = r_t + discount_t V(s_(t+1)) - V(s_t)
 *   A_t        = delta_t + γ lambda (1 - end_t) A_(t+1),   t = T-1, ..., 0,   A_T = 0
 *   R_t        = A_t + V(s_t)
 *
 * end_t is 1 where an episode ends, terminated or truncated: the recursion is cut there, so that nothing
 * flows between episodes. V(s_(t+1)) is the next step's own value, except at a truncation and at t = T-1,
 * where it is `bootstrapValue`: running out of time is no reason to expect zero (Pardo et al. 2018,
 * arXiv 1712.00378). A step that is both terminated and truncated counts as terminated.
 *
 * @param steps (T) in order of time
 * @param gamma discount γ, in [0, 1]
 * @param gaeLambda lambda of the estimator, in [0, 1]: 0 is one-step temporal difference, 1 the whole return
 * Numerics: double precision.
 * Source: Schulman et al. 2016, arXiv 1506.02438, equation 16.
 */
export function generalizedAdvantages(
  steps: readonly GaeStep[],
  gamma: number,
  gaeLambda: number,
): AdvantageEstimate {
  const advantages = new Float64Array(steps.length);
  const returns = new Float64Array(steps.length);
  let following = 0;
  for (let t = steps.length - 1; t >= 0; t--) {
    const step = steps[t]!;
    const next = step.truncated ? undefined : steps[t + 1];
    const nextValue = step.terminated ? 0 : (next?.value ?? step.bootstrapValue);
    const delta = step.reward + gamma * nextValue - step.value;
    const continues = !(step.terminated || step.truncated);
    following = delta + (continues ? gamma * gaeLambda * following : 0);
    advantages[t] = following;
    returns[t] = following + step.value;
  }
  return { advantages, returns };
}
