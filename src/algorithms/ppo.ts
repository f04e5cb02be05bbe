/**
 * Reinforcement learning of a vision-language model: Algorithm 1 of Zhai et al. 2024, "Fine-Tuning Large
 * Vision-Language Models as Decision-Making Agents via Reinforcement Learning", arXiv 2405.10292. The model sees
 * an image and a prompt, writes a chain of thought and an action, and proximal policy optimization (Schulman et
 * al. 2017, arXiv 1707.06347) trains it on the reward, with the log-prob of thought tokens weighted by λ.
 *
 * Differs from the paper, or from its implementation, in:
 * - Old log-probs are those the tokens were sampled with, and the update scores exactly the prompt and the tokens
 *   of its step; a first minibatch whose ratios are not 1 is an error.
 * - The action part begins at the last `"action":` key of the decoded text, not at fixed token ids.
 * - Many environments, minibatches of many sequences; a minibatch's loss is the mean over its samples.
 * - Truncated episodes are bootstrapped; only termination makes the next value zero.
 * - Policy and critic are clipped by gradient norm, apart from each other; the learning rate follows the update
 *   alone, after a warm-up. Dual clip, a penalty on the KL divergence from the sampling policy (the fixed-β form of
 *   Schulman et al. 2017, equation 8) and a floor under the advantages' spread are added against collapse; the
 *   paper's code instead drops the policy gradient of samples whose ratio exceeds 10.
 * - The value loss is clipped only when asked for.
 * `quirks` brings back what the implementation does, piece by piece (docs/paper-mode.md).
 *
 * Deliberately not here: a reference model (the paper has none); stopping an epoch by its mean KL
 * (one rare token ends it; dual clip bounds that token instead); evaluation, checkpoints, early stopping (`train`).
 */
import type { Environment } from "../../envs/env.js";
import type { ForwardResult, OutputGradient, ParameterGroup } from "../native/types.js";
import type { Policy } from "../policy/policy.js";
import { deriveKey, Random, stream } from "../random.js";
import { clippedSurrogate, klK3, klK3Gradient, valueLoss } from "../rl/ppo-objective.js";
import { cosineSchedule, periodicCosine } from "../rl/schedule.js";
import { moments } from "../rl/statistics.js";
import { Collector } from "../rollout/collector.js";
import { dropUndefined, summarizeRollout } from "../rollout/rollout-metrics.js";
import { TrailingWindow, type WindowedEpisode } from "../rollout/trailing-window.js";
import type { EnvironmentState, Rollout } from "../rollout/trajectory.js";
import { AlgorithmError, requireFinite } from "./algorithm-error.js";
import * as check from "./config-check.js";
import { describeSamples, type PpoMetric, type SampleLoss, UpdateStatistics } from "./ppo-metrics.js";
import { noQuirks, type PpoQuirks } from "./quirks.js";
import { inParts, logProbMismatch, type Sample, shuffledMinibatches, toSamples } from "./samples.js";
import { Scoring } from "./scoring.js";

export interface PpoConfig {
  /** Updates of the whole run, >= 1. The learning rate reaches its final value in the last one. */
  updates: number;
  /** Steps that each environment plays per update, >= 1. */
  stepsPerEnvironment: number;
  /** Passes over the rollout per update, >= 1. */
  epochs: number;
  /** Most transitions per optimizer step, >= 1; the rollout is split evenly into as few minibatches as this allows. */
  minibatchSize: number;
  /**
   * Most transitions per forward pass, >= 1: a minibatch goes through the model in parts whose gradients add up, so that
   * memory holds the activations of one. Omitted: the whole minibatch at once.
   */
  microbatchSize?: number | undefined;
  /** ε in (0, 1): the ratio earns nothing beyond 1 - ε and 1 + ε. */
  clipRange: number;
  /** c > 1 + ε: bounds the ratio of bad actions from above. Null or omitted: no bound. */
  dualClip?: number | null | undefined;
  /** Discount γ per environment step, in [0, 1]. */
  gamma: number;
  /** lambda of generalized advantage estimation, in [0, 1]: 0 trusts the critic, 1 the returns. */
  gaeLambda: number;
  /** λ >= 0, the weight of thought tokens in the log-prob; action tokens weigh 1. */
  lambda: number;
  /** Of the policy (vision, projector, decoder) in the first update, > 0. */
  learningRate: number;
  /** Of the policy in the last update, >= 0; between the two runs half a cosine. */
  finalLearningRate: number;
  /** Of the value head in the first update, > 0; it falls in proportion to the policy's. */
  valueLearningRate: number;
  /**
   * First optimizer steps over which all learning rates rise linearly, >= 0. Adam's first steps move every weight by
   * the full rate whatever its gradient; without a warm-up they cost the model some of what it could do.
   */
  warmupSteps: number;
  /** Factor on the value loss, >= 0; matters for the part of its gradient that reaches the shared model. */
  valueLossCoefficient: number;
  /** c > 0: clips the value loss at this distance from the sampled value. Null or omitted: plain squared error. */
  valueClipRange?: number | null | undefined;
  /**
   * β >= 0, the penalty per nat of KL divergence from the policy that sampled the rollout. Where a response that was
   * likely has become unlikely, the clipped surrogate is flat and only this brings it back.
   */
  klCoefficient: number;
  /** Bonus per nat of mean token entropy, >= 0; 0: entropies are not computed. */
  entropyCoefficient: number;
  /** Advantages are divided by their standard deviation or by this, whichever is larger; >= 0. */
  advantageStdFloor: number;
  /** Added to that divisor, >= 0. */
  advantageEpsilon: number;
  /** Largest gradient norm of the policy, > 0; null: no clipping. */
  maxGradientNorm: number | null;
  /** Largest gradient norm of the value head, > 0; null: no clipping. */
  valueMaxGradientNorm: number | null;
  /** Decay of Adam's first and second moment, each in [0, 1). */
  adamBetas: [number, number];
  /** Added to the root of Adam's second moment, > 0; larger keeps small gradients small. */
  adamEpsilon: number;
  /** Of sampling and scoring alike, > 0. */
  temperature: number;
  /** Sample among the k most likely tokens only; 0 keeps all. Log-probs stay those of the full softmax. */
  topK: number;
  /** Sample among the fewest tokens that reach probability p, in (0, 1]; 1 keeps all. Log-probs as above. */
  topP: number;
  /** Longest response, in tokens, >= 1. */
  maxNewTokens: number;
  /**
   * Largest difference allowed between the log-probs that a token was sampled with and that the update computes
   * for it before the first step, >= 0, in nats. 0 where the backend promises equal bits, as the CPU's does. Null: any
   * difference, for a policy with dropout, whose passes all draw other masks.
   */
  maxLogProbMismatch: number | null;
  /** Finished episodes, >= 1, over which the metrics of the trailing window are taken. Null or omitted: no such metrics. */
  successWindow?: number | null | undefined;
}

/** Where a run stands between two updates, as plain JSON. With the policy's checkpoint it continues bit for bit. */
export interface PpoState {
  /** Updates made so far. */
  update: number;
  /** Environment steps played so far, over all environments. */
  environmentSteps: number;
  environments: EnvironmentState[];
  /** The trailing window's episodes; only with `successWindow`. */
  window?: WindowedEpisode[];
}

export interface PpoUpdate {
  /** Counts from 1. */
  update: number;
  /** Environment steps played so far, over all environments. */
  environmentSteps: number;
  /** Keys are those of `ppoMetrics`. What is named `rollout/` describes the policy before the update. */
  metrics: Record<string, number>;
  rollout: Rollout;
  /** To continue after this update. */
  state: PpoState;
}

export interface PpoOptions {
  policy: Policy;
  environments: readonly Environment[];
  config: PpoConfig;
  /** Default: none. */
  quirks?: PpoQuirks | undefined;
  /** Unsigned 32-bit integer; together with `config` and the initial weights it fixes the run. */
  seed: number;
  /** State to continue from; the policy must hold the weights and optimizer state saved with it. */
  resume?: PpoState | undefined;
  /** Stops the collection of a rollout; an update that has begun is finished and yielded first. */
  signal?: AbortSignal | undefined;
}

/** Trains the policy in place, one yield per update. @throws AlgorithmError, EnvironmentError, the signal's reason */
export async function* ppo(options: PpoOptions): AsyncGenerator<PpoUpdate, void> {
  const { policy, environments, config, quirks = noQuirks, seed, resume, signal } = options;
  check.checkConfig("ppo", config, ranges(config));
  const { temperature, topK, topP, maxNewTokens } = config;
  const sampling = { temperature, topK, topP };
  const collection = { environments, policy, seed, sampling, maxNewTokens, promptQuirks: quirks };
  const collector = resume
    ? await Collector.restore(collection, resume.environments)
    : new Collector(collection);
  const scoring = new Scoring(policy, quirks, config.lambda);
  const batchSize = config.microbatchSize ?? config.minibatchSize;
  const sampleSettings = { ...config, batchSize, terminalTimeouts: quirks.terminalTimeouts };
  const window = config.successWindow ? new TrailingWindow(config.successWindow, resume?.window) : undefined;
  let environmentSteps = resume?.environmentSteps ?? 0;

  for (let update = (resume?.update ?? 0) + 1; update <= config.updates; update++) {
    // The buffer B_k: v_out ~ π(o, v_in), a = f(v_out), r and the next o = step(a), in all environments.
    const rollout = await collector.collect(config.stepsPerEnvironment, signal);
    environmentSteps += environments.length * config.stepsPerEnvironment;
    window?.add(rollout);

    // log π_old = λ log π(v_tht) + log π(v_act), advantages and returns: the same for all epochs.
    const dropoutKey = (...path: number[]) => deriveKey(seed, stream.dropout, update, ...path);
    const samples = await toSamples(rollout, policy, scoring, { ...sampleSettings, dropoutKey });

    // PPO on B_k.
    const decay = learningRateDecay(update - 1, config, quirks);
    const statistics = new UpdateStatistics();
    let mismatch: number | undefined;

    for (let epoch = 0; epoch < config.epochs; epoch++) {
      const random = new Random(deriveKey(seed, stream.minibatch, update, epoch));
      const minibatches = shuffledMinibatches(samples, config.minibatchSize, random);
      for (const [index, minibatch] of minibatches.entries()) {
        const where = `update ${update}, epoch ${epoch}, minibatch ${index}`;
        const isFirst = epoch === 0 && index === 0;
        const terms: SampleLoss[] = [];
        for (const [partIndex, part] of inParts(minibatch, batchSize).entries()) {
          const scores = await policy.score(
            part.map(({ sequence }) => sequence),
            {
              temperature,
              entropies: config.entropyCoefficient > 0,
              dropoutKey: dropoutKey(epoch, index, partIndex),
            },
          );
          const loss = sharedLoss(part, scores, scoring, config, 1 / minibatch.length);
          // No step has been taken since the old log-probs: the same tokens in the same context must have the same ones.
          if (isFirst) {
            const difference = requireEqualLogProbs(part, scores, config.maxLogProbMismatch, where);
            if (difference !== undefined) mismatch = Math.max(mismatch ?? 0, difference);
          }
          await policy.backward(scores, loss.gradient);
          terms.push(...loss.terms);
        }
        terms.forEach(({ newLogProb, policy, value }, b) => {
          const quantities = { "log-prob": newLogProb, "policy loss": policy.loss, "value loss": value.loss };
          requireFinite(quantities, `${where}, sample ${b}`);
        });
        const step = ((update - 1) * config.epochs + epoch) * minibatches.length + index;
        const rate = decay * Math.min(1, (step + 1) / (config.warmupSteps + 1));
        const { gradientNorms } = await policy.step({
          groups: [
            {
              components: ["vision", "projector", "decoder"],
              learningRate: config.learningRate * rate,
              ...clipping(config.maxGradientNorm),
            },
            {
              components: ["value_head"],
              learningRate: config.valueLearningRate * rate,
              ...clipping(config.valueMaxGradientNorm),
            },
          ],
          betas: config.adamBetas,
          epsilon: config.adamEpsilon,
        });
        const [gradientNorm, valueGradientNorm] = gradientNorms as [number, number];
        requireFinite({ "gradient norm": gradientNorm, "value gradient norm": valueGradientNorm }, where);
        statistics.add(terms, gradientNorm, valueGradientNorm);
      }
    }

    const metrics: Partial<Record<PpoMetric, number | undefined>> = {
      ...summarizeRollout(rollout),
      ...window?.metrics(),
      "rollout/log_prob_mismatch_max": mismatch,
      ...statistics.metrics(),
      "ppo/learning_rate": config.learningRate * decay,
      ...describeSamples(samples),
    };
    const state: PpoState = { update, environmentSteps, environments: collector.state() };
    if (window) state.window = window.state();
    yield { update, environmentSteps, metrics: dropUndefined(metrics), rollout, state };
  }
}

/** The factor on all learning rates in an update. @param index counts updates from 0 */
function learningRateDecay(
  index: number,
  config: PpoConfig,
  { learningRateCycle: cycle }: PpoQuirks,
): number {
  const schedule = { initial: 1, final: config.finalLearningRate / config.learningRate };
  return cycle
    ? periodicCosine(index * cycle.stepsPerUpdate, cycle.halfPeriod, schedule)
    : cosineSchedule(index, config.updates, schedule);
}

function clipping(maxGradientNorm: number | null): Pick<ParameterGroup, "maxGradientNorm"> {
  return maxGradientNorm === null ? {} : { maxGradientNorm };
}

/**
 * The loss of a part of a minibatch, L = share * sum over its samples of (policy + β KL + c_v value - c_e entropy), and its
 * gradient with respect to what the policy returned: dL / d log p_t = (dL / d log π_new) w_t.
 *
 * @param share one over the number of samples of the whole minibatch
 */
function sharedLoss(
  part: readonly Sample[],
  scores: ForwardResult,
  scoring: Scoring,
  config: PpoConfig,
  share: number,
): { terms: SampleLoss[]; gradient: OutputGradient } {
  const { logProbs, offsets, values, entropies } = scores;
  const gradient = {
    logProbs: new Float32Array(logProbs.length),
    values: new Float32Array(values.length),
    ...(entropies && { entropies: new Float32Array(entropies.length) }),
  };
  const terms = part.map((sample, b): SampleLoss => {
    const [start, end] = [offsets[b]!, offsets[b + 1]!];
    const newLogProb = scoring.logProb(logProbs.subarray(start, end), sample);
    const policy = clippedSurrogate(newLogProb, sample.oldLogProb, sample.advantage, config);
    const pull = config.klCoefficient * klK3Gradient(newLogProb, sample.oldLogProb);
    const value = valueLoss(values[b]!, sample.oldValue, sample.return, config.valueClipRange);
    for (let t = start; t < end; t++) {
      gradient.logProbs[t] = share * (policy.gradient + pull) * sample.weights[t - start]!;
    }
    gradient.values[b] = share * config.valueLossCoefficient * value.gradient;
    gradient.entropies?.fill((-share * config.entropyCoefficient) / (end - start), start, end);
    const entropy = entropies && moments(entropies.subarray(start, end)).mean;
    return { newLogProb, policy, value, kl: klK3(newLogProb, sample.oldLogProb), entropy };
  });
  return { terms, gradient };
}

/**
 * Largest difference between the old and the scored log-probs of a part of a minibatch, where they have one context.
 *
 * @throws AlgorithmError `LOG_PROB_MISMATCH` where it exceeds `allowed`
 */
function requireEqualLogProbs(
  minibatch: readonly Sample[],
  scores: ForwardResult,
  allowed: number | null,
  where: string,
): number | undefined {
  const mismatch = logProbMismatch(minibatch, scores);
  if (mismatch === undefined || allowed === null || mismatch <= allowed) return mismatch;
  throw new AlgorithmError(
    "LOG_PROB_MISMATCH",
    `${where}: a token's log-probs at sampling and in the update differ by ${mismatch} with the same weights ` +
      `(maxLogProbMismatch is ${allowed}), so ratios start off 1 and the gradient is biased; sample and score ` +
      "with one engine, one temperature and no dropout, or set maxLogProbMismatch to what the backend is known to differ by",
  );
}

function ranges(config: PpoConfig): Record<keyof PpoConfig, check.Range> {
  return {
    updates: check.positiveInteger,
    stepsPerEnvironment: check.positiveInteger,
    epochs: check.positiveInteger,
    minibatchSize: check.positiveInteger,
    microbatchSize: check.optional(check.positiveInteger),
    clipRange: check.properFraction,
    dualClip: check.optional(check.greaterThan(1 + config.clipRange)),
    gamma: check.fraction,
    gaeLambda: check.fraction,
    lambda: check.nonNegative,
    learningRate: check.positive,
    finalLearningRate: check.nonNegative,
    valueLearningRate: check.positive,
    warmupSteps: check.nonNegativeInteger,
    valueLossCoefficient: check.nonNegative,
    valueClipRange: check.optional(check.positive),
    klCoefficient: check.nonNegative,
    entropyCoefficient: check.nonNegative,
    advantageStdFloor: check.nonNegative,
    advantageEpsilon: check.nonNegative,
    maxGradientNorm: check.optional(check.positive),
    valueMaxGradientNorm: check.optional(check.positive),
    adamBetas: check.adamBetaPair,
    adamEpsilon: check.positive,
    temperature: check.positive,
    topK: check.nonNegativeInteger,
    topP: check.positiveFraction,
    maxNewTokens: check.positiveInteger,
    maxLogProbMismatch: check.optional(check.nonNegative),
    successWindow: check.optional(check.positiveInteger),
  };
}
