/** The clipped surrogate of one sample: what is minimized, and how it moves with log π_new. */
export interface SurrogateLoss {
  readonly loss: number;
  /** dL / d log π_new. */
  readonly gradient: number;
  /** ρ = π_new / π_old. */
  readonly ratio: number;
  /** Whether a bound holds the ratio, so that the gradient is zero. */
  readonly clipped: boolean;
}

export interface SurrogateBounds {
  /** ε > 0: the ratio may move to 1 + ε for a good action and to 1 - ε for a bad one. */
  readonly clipRange: number;
  /** c > 1 + ε: bounds the ratio of a bad action from above. Omitted or null: no such bound. */
  readonly dualClip?: number | null | undefined;
}

/**
 * The clipped surrogate of PPO with an optional second bound for bad actions:
 *
 *   ρ = exp(log π_new - log π_old)
 *   L = -min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)                  for A >= 0
 *   L = -max(min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), c A)        for A < 0
 *
 * which is L = -A clip(ρ, low, high) with the interval (0, 1 + ε] for A >= 0 and [1 - ε, c] for A < 0 (no
 * upper end without dual clip). Inside the interval, ends included, dL/d log π_new = -ρ A; outside it is 0.
 * Without the second bound the loss of a bad action grows without limit in ρ, and one rare token whose
 * probability jumped can outweigh a whole minibatch. RL4VLM's rule that a sample whose ratio exceeds 10 falls back to the
 * clipped term alone has the gradient of c = 10: zero for A < 0 and ρ > 10, where only this bound makes a difference.
 *
 * @param newLogProb log π_new, in nats
 * @param oldLogProb log π_old, in nats, of the policy that sampled
 * @param advantage A
 * Numerics: double precision; finite for every finite input unless A < 0 and ρ overflows without dual clip.
 * Source: Schulman et al. 2017, arXiv 1707.06347, equation 7; Ye et al. 2020, arXiv 1912.09729, "Dual-clip
 * PPO".
 */
export function clippedSurrogate(
  newLogProb: number,
  oldLogProb: number,
  advantage: number,
  bounds: SurrogateBounds,
): SurrogateLoss {
  const { clipRange } = bounds;
  const dualClip = bounds.dualClip ?? Number.POSITIVE_INFINITY;
  const ratio = Math.exp(newLogProb - oldLogProb);
  const low = advantage < 0 ? 1 - clipRange : 0;
  const high = advantage < 0 ? dualClip : 1 + clipRange;
  const bounded = Math.min(Math.max(ratio, low), high);
  const clipped = bounded !== ratio;
  return { loss: -bounded * advantage, gradient: clipped ? 0 : -ratio * advantage, ratio, clipped };
}

/** The value loss of one sample and dL / dV. */
export interface ValueLoss {
  readonly loss: number;
  readonly gradient: number;
}

/**
 * Half the squared error of the value, L = 0.5 (V - R)^2, or with `clipRange` its pessimistic form, in which
 * moving the value further than c from where it was earns nothing:
 *
 *   V_c = V_old + clip(V - V_old, -c, c)
 *   L   = 0.5 max((V - R)^2, (V_c - R)^2)
 *
 * The gradient is V - R, except where the clipped error is the larger one: there V_c is constant and the
 * gradient 0.
 *
 * @param value V
 * @param oldValue V_old, at the time of sampling
 * @param target R, the return
 * @param clipRange c > 0, in units of the return; null or omitted: plain squared error
 * Numerics: double precision.
 * Source: the PPO2 implementation of OpenAI Baselines (the papers do not describe it); RL4VLM uses it with c = ε.
 */
export function valueLoss(
  value: number,
  oldValue: number,
  target: number,
  clipRange: number | null = null,
): ValueLoss {
  const error = value - target;
  if (clipRange !== null) {
    const clippedValue = oldValue + Math.min(Math.max(value - oldValue, -clipRange), clipRange);
    const clippedError = clippedValue - target;
    if (Math.abs(clippedError) > Math.abs(error)) return { loss: 0.5 * clippedError ** 2, gradient: 0 };
  }
  return { loss: 0.5 * error ** 2, gradient: error };
}

/**
 * The estimator k3 of KL(π_old || π_new) from one sample of π_old:
 *
 *   k3 = (ρ - 1) - log ρ,   ρ = π_new / π_old
 *
 * Unbiased and never negative. Its mean is heavy-tailed: one sample with a large ρ can carry it.
 *
 * Numerics: double precision, exact to rounding also for ρ near 1.
 * Source: Schulman 2020, "Approximating KL Divergence".
 */
export function klK3(newLogProb: number, oldLogProb: number): number {
  const logRatio = newLogProb - oldLogProb;
  return Math.expm1(logRatio) - logRatio;
}

/**
 * d k3 / d log π_new = ρ - 1: down to -1 where the response has become improbable, which is where the clipped
 * surrogate's own gradient has vanished.
 */
export function klK3Gradient(newLogProb: number, oldLogProb: number): number {
  return Math.expm1(newLogProb - oldLogProb);
}
