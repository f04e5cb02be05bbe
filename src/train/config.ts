/** The whole configuration of a run, as zod schemas: the one place for names, ranges, defaults and docs. */
import { z } from "zod";
import type { ExpertWalk } from "../algorithms/demonstrations.js";
import type { PpoConfig } from "../algorithms/ppo.js";
import type { SftConfig } from "../algorithms/sft.js";
import type { DeviceName } from "../native/types.js";
import { ConfigError, describeReceived } from "./config-error.js";
import { idleQuirks, type Quirks, quirks, withModeDefaults } from "./modes.js";
import { parseWith } from "./parse-with.js";
import { nullablePaths, settingsOf } from "./settings.js";

const count = z.int().min(1);
const fraction = z.number().min(0).max(1);
const positive = z.number().gt(0);
const notNegative = z.number().min(0);
const seed = z.int().min(0).max(0xffffffff);
const betas = z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]);

const model = z.strictObject({
  checkpoint: z
    .string()
    .min(1)
    .describe(
      "Model folder to start from, relative to the working directory; or one that ships: `tiny-vlm`, `tiny-vlm-ez-points`, `tiny-vlm-points24`, `tiny-vlm-blackjack`.",
    ),
  weights: z
    .enum(["trained", "fresh"])
    .default("trained")
    .describe("`trained` loads the folder's weights, `fresh` draws new ones from the seed."),
  frozen: z
    .array(z.enum(["vision", "projector", "decoder"]))
    .max(2)
    .default([])
    .describe("Components that are not trained. A frozen vision encoder sees each image once."),
  images: z
    .strictObject({
      singleCrop: z
        .boolean()
        .optional()
        .describe("LLaVA: one crop of a frame, as the paper takes it, instead of tiles or padding."),
      splitting: z
        .boolean()
        .optional()
        .describe(
          "SmolVLM, Idefics3: whether a frame is also cut into tiles, which takes many times the tokens.",
        ),
      minPixels: count.optional().describe("Qwen2.5-VL: smaller frames are enlarged to so many pixels."),
      maxPixels: count.optional().describe("Qwen2.5-VL: larger frames are reduced to so many pixels."),
    })
    .optional()
    .describe("What to change of how the model's image processor treats frames; null: nothing."),
  lora: z
    .strictObject({
      components: z
        .array(z.enum(["vision", "projector", "decoder"]))
        .min(1)
        .max(3)
        .default(["decoder"])
        .describe("Components whose linear layers get adapters; their own weights are then frozen."),
      modules: z
        .string()
        .min(1)
        .optional()
        .describe(
          "Of these layers, those whose module's path this regular expression matches as a whole, e.g. " +
            "`.*self_attn\\.(q|v)_proj`; null: all.",
        ),
      rank: count.default(128).describe("Rank r of the update W + (alpha / r) B A."),
      alpha: positive.default(256).describe("Scale of the update, over the rank."),
      dropout: z
        .number()
        .min(0)
        .lt(1)
        .default(0)
        .describe(
          "Probability that an element of an adapter's input is dropped, in training, sampling and evaluation alike. " +
            "With PPO it takes ppo.maxLogProbMismatch=null.",
        ),
    })
    .optional()
    .describe("Trains low-rank adapters instead of whole components; null: none."),
});

const panel = {
  episodes: count.default(300).describe("Held-out episodes before and after training, sampled and greedy."),
  seed: seed.default(1).describe("Fixes the held-out episodes, whatever the seed of the run."),
  transcripts: z
    .int()
    .min(0)
    .default(4)
    .describe("Held-out episodes kept with frames and texts, for each of before and after."),
};

const common = {
  task: z.string().min(1).describe("Name of the environment."),
  thoughts: z
    .boolean()
    .default(true)
    .describe("Whether prompts ask for a chain of thought before the action, or for the action alone."),
  model,
  seed: seed.default(1).describe("Fixes everything random in training."),
  device: z
    .string()
    .regex(/^(cpu|cuda(:[0-9]+)?)$/)
    .transform((name) => name as DeviceName)
    .default("cpu")
    .describe("Where the model computes: cpu, cuda (the first GPU), or cuda:1 and so on."),
  threads: count
    .optional()
    .describe("Threads of the engine on the CPU; results do not depend on it. Default: all cores."),
  precision: z
    .enum(["fp32", "bf16"])
    .default("fp32")
    .describe(
      "How the engine computes: bf16 rounds operands of products, activations and frozen matrices; trained weights stay fp32.",
    ),
  activationCheckpointing: z
    .boolean()
    .default(false)
    .describe(
      "Computes each layer's activations again in the backward pass, which saves memory and costs time.",
    ),
};

const ppo = z.strictObject({
  updates: count.default(20).describe("Most PPO updates; the stop rule may end the run before."),
  stepsPerEnvironment: count.default(16).describe("Decisions of each environment per update."),
  epochs: count.default(4).describe("Passes over each update's decisions."),
  minibatchSize: count.default(64).describe("Decisions per optimizer step."),
  microbatchSize: count
    .optional()
    .describe("Decisions per forward pass; their gradients add up to the minibatch's. Default: all of it."),
  clipRange: z.number().gt(0).lt(1).default(0.1).describe("Clips the probability ratio to 1 -+ this."),
  dualClip: z
    .number()
    .gt(1)
    .nullish()
    .describe("Bounds the loss where the advantage A is negative, at this times -A; null: no bound."),
  gamma: fraction.default(0.9).describe("Discount per decision."),
  gaeLambda: fraction.default(0.95).describe("Decay of generalized advantage estimation."),
  lambda: notNegative
    .default(0.5)
    .describe("Weight of the thought tokens in the log-probability (the paper's λ)."),
  learningRate: positive.default(1e-4).describe("Learning rate of the model at the first update."),
  finalLearningRate: notNegative
    .default(1e-5)
    .describe("Learning rate of the model at the last update (cosine)."),
  valueLearningRate: positive.default(1e-3).describe("Learning rate of the value head at the first update."),
  warmupSteps: z
    .int()
    .min(0)
    .default(32)
    .describe("Optimizer steps at the start over which the learning rates rise linearly."),
  valueLossCoefficient: notNegative.default(0.5).describe("Factor on the value loss."),
  valueClipRange: positive.nullish().describe("Clips the value's change per update; null: no clipping."),
  klCoefficient: notNegative
    .default(0)
    .describe("Factor on the KL divergence from the policy that sampled the rollout."),
  entropyCoefficient: notNegative.default(0).describe("Factor on the entropy bonus."),
  advantageStdFloor: notNegative
    .default(0.5)
    .describe("Advantages are divided by their standard deviation, or by this if it is larger."),
  advantageEpsilon: notNegative.default(0).describe("Added to that divisor."),
  maxGradientNorm: positive
    .nullable()
    .default(0.5)
    .describe("Clips the global gradient norm of the model; null: no clipping."),
  valueMaxGradientNorm: positive
    .nullable()
    .default(0.5)
    .describe("Clips the global gradient norm of the value head; null: no clipping."),
  adamBetas: betas.default([0.9, 0.999]).describe("Decay rates of Adam's two moments."),
  adamEpsilon: positive.default(1e-5).describe("Added to Adam's denominator."),
  temperature: positive.default(0.5).describe("Of sampling, and of the log-probabilities in the ratio."),
  topK: z.int().min(0).default(0).describe("Samples from the k most likely tokens; 0: from all."),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("Samples from the smallest set with this probability; 1: all."),
  maxNewTokens: count.default(96).describe("Longest response, in tokens."),
  maxLogProbMismatch: notNegative
    .nullable()
    .default(0)
    .describe(
      "Largest difference allowed between a token's log-probs in sampling and in scoring, in nats. On the CPU they are " +
        "equal; a GPU sums products of other sizes in other orders, so there it takes about 0.1. Null: any difference.",
    ),
  successWindow: count
    .nullish()
    .describe("Last finished episodes that trailing success and return are taken over; null: neither."),
});

const ppoRun = z
  .strictObject({
    algorithm: z.literal("ppo").describe("Reinforcement learning, `sightline train`."),
    mode: z
      .enum(["fixed", "paper"])
      .default("fixed")
      .describe(
        "Which defaults apply: this project's rules, or the paper's implementation's (docs/paper-mode.md).",
      ),
    ...common,
    environments: count.default(32).describe("Environments played side by side."),
    ppo: ppo.prefault({}),
    quirks: quirks.prefault({}),
    stop: z
      .strictObject({
        successRate: fraction.default(0.98).describe("Success rate of a rollout that counts as solved."),
        patience: count.default(2).describe("Consecutive rollouts that must reach it for the run to stop."),
        minimumEpisodes: count
          .default(30)
          .describe("Rollouts with fewer finished episodes say nothing about success."),
      })
      .prefault({}),
    evaluation: z
      .strictObject({
        ...panel,
        selectionEpisodes: count
          .default(100)
          .describe("Further episodes that choose, at the end, between the best and the last checkpoint."),
      })
      .prefault({}),
    checkpointEvery: count.default(1).describe("Updates between checkpoints."),
  })
  .superRefine((config, context) => {
    refuseFrozenAdapters(config.model, context);
    refuseUnusedTranscripts(config.evaluation, context);
    const { dropout = 0 } = config.model.lora ?? {};
    if (dropout > 0 && config.ppo.maxLogProbMismatch !== null) {
      context.addIssue({
        code: "custom",
        path: ["ppo", "maxLogProbMismatch"],
        message: `null, since with model.lora.dropout = ${dropout} every pass drops something else`,
      });
    }
    for (const name of idleQuirks(config.task, config.quirks)) {
      context.addIssue({
        code: "custom",
        path: ["quirks", name],
        message: `false, since it has no effect on task "${config.task}"`,
      });
    }
    const decisions = config.environments * config.ppo.stepsPerEnvironment;
    if (config.ppo.minibatchSize > decisions) {
      context.addIssue({
        code: "custom",
        path: ["ppo", "minibatchSize"],
        message: `at most environments x ppo.stepsPerEnvironment = ${decisions}`,
      });
    }
    const { microbatchSize, minibatchSize } = config.ppo;
    if (microbatchSize !== undefined && microbatchSize > minibatchSize) {
      context.addIssue({
        code: "custom",
        path: ["ppo", "microbatchSize"],
        message: `at most ppo.minibatchSize = ${minibatchSize}`,
      });
    }
    const { clipRange, dualClip } = config.ppo;
    if (dualClip != null && dualClip <= 1 + clipRange) {
      context.addIssue({
        code: "custom",
        path: ["ppo", "dualClip"],
        message: `a number > 1 + ppo.clipRange = ${1 + clipRange}`,
      });
    }
  });

const sft = z.strictObject({
  steps: count.default(500).describe("Optimizer steps."),
  batchSize: count.default(16).describe("Demonstrations per step."),
  learningRate: positive.default(1e-3).describe("Learning rate after the warm-up."),
  warmupSteps: z.int().min(0).default(20).describe("Steps over which the learning rate rises."),
  finalLearningRateFraction: fraction
    .default(0.05)
    .describe("Learning rate at the end (cosine), over the peak."),
  maxGradientNorm: positive.default(1).describe("Clips the global gradient norm."),
  weightDecay: notNegative.default(0).describe("Decoupled weight decay."),
  errorRate: fraction
    .default(0)
    .describe("Share of demonstrations with a wrong decision, thought and action alike."),
  maxRandomSteps: z
    .int()
    .min(0)
    .default(4)
    .describe("Demonstrations are of states that 0 to this many actions lead to."),
  randomActionRate: fraction
    .default(1)
    .describe("Share of random actions among those; the others are the expert's right ones."),
  data: z
    .string()
    .min(1)
    .optional()
    .describe(
      "File of demonstrations to learn from, .jsonl or .json in the LLaVA conversation format, as `sightline demos` " +
        "writes it, relative to the working directory; null: the task's expert makes them on the fly.",
    ),
  adamBetas: betas.default([0.9, 0.95]).describe("Decay rates of Adam's two moments."),
  adamEpsilon: positive.default(1e-8).describe("Added to Adam's denominator."),
});

const sftRun = z
  .strictObject({
    algorithm: z.literal("sft").describe("Supervised fine-tuning on an expert, `sightline sft`."),
    ...common,
    sft: sft.prefault({}),
    evaluation: z
      .strictObject({
        ...panel,
        temperature: positive.default(0.5).describe("Of the sampled evaluation."),
        maxNewTokens: count.default(96).describe("Longest response, in tokens."),
      })
      .prefault({}),
    checkpointEvery: count.default(50).describe("Optimizer steps between checkpoints."),
  })
  .superRefine((config, context) => {
    refuseFrozenAdapters(config.model, context);
    refuseUnusedTranscripts(config.evaluation, context);
    if (config.sft.data !== undefined) refuseExpertSettings(config.sft, context);
  });

/** A file's demonstrations are made: how the expert would make them has no effect. */
function refuseExpertSettings(config: z.output<typeof sft>, context: z.core.$RefinementCtx): void {
  const defaults = sft.parse({});
  for (const name of ["errorRate", "maxRandomSteps", "randomActionRate"] as const) {
    if (config[name] === defaults[name]) continue;
    context.addIssue({
      code: "custom",
      path: ["sft", name],
      message: `${defaults[name]}, since sft.data says what is demonstrated`,
    });
  }
}

function refuseFrozenAdapters(
  { frozen, lora }: z.output<typeof model>,
  context: z.core.$RefinementCtx,
): void {
  for (const component of lora?.components ?? []) {
    if (!frozen.includes(component)) continue;
    context.addIssue({
      code: "custom",
      path: ["model", "lora", "components"],
      message: `components that are not in model.frozen, as "${component}" is`,
    });
  }
}

function refuseUnusedTranscripts(
  evaluation: { episodes: number; transcripts: number },
  context: z.core.$RefinementCtx,
): void {
  if (evaluation.transcripts > evaluation.episodes) {
    context.addIssue({
      code: "custom",
      path: ["evaluation", "transcripts"],
      message: `at most evaluation.episodes = ${evaluation.episodes}`,
    });
  }
}

const schemas = { ppo: ppoRun, sft: sftRun };

export type AlgorithmName = keyof typeof schemas;
/** Complete configuration of `sightline train`. */
export type PpoRunConfig = z.output<typeof ppoRun>;
/** Complete configuration of `sightline sft`. */
export type SftRunConfig = z.output<typeof sftRun>;
export type RunConfig = PpoRunConfig | SftRunConfig;
/** What `parseConfig` takes: fields with a default may be left out. */
export type RunConfigInput = z.input<typeof ppoRun> | z.input<typeof sftRun>;

// The algorithms own their configuration types; the schemas may neither lack nor invent a field.
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
true satisfies Same<z.output<typeof ppo>, PpoConfig>;
true satisfies Same<z.output<typeof sft>, SftConfig & ExpertWalk & { data?: string | undefined }>;
true satisfies Same<z.output<typeof quirks>, Quirks>;

/** Every setting of an algorithm's runs, with what it accepts, its default and its documentation. */
export function configSettings(algorithm: AlgorithmName) {
  return settingsOf(schemas[algorithm]);
}

/** Paths of the settings, of any algorithm, for which null is a value. */
export function nullableSettings(): ReadonlySet<string> {
  return new Set(Object.values(schemas).flatMap(nullablePaths));
}

/**
 * Validates a whole configuration and fills in defaults.
 *
 * @param input the configuration, as read from a file or written by hand
 * @param source names where it came from, for the error's first line
 * @throws ConfigError with every issue
 */
export function parseConfig(input: unknown, source = "config"): RunConfig {
  const algorithm = (input as { algorithm?: unknown } | null | undefined)?.algorithm;
  if (algorithm !== "ppo" && algorithm !== "sft") {
    throw new ConfigError(source, [
      { path: "algorithm", expected: 'one of "ppo", "sft"', received: describeReceived(algorithm) },
    ]);
  }
  return parseWith(schemas[algorithm], withModeDefaults(input), source) as RunConfig;
}
