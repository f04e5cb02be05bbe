/** Runs as configurations describe them: PPO or supervised fine-tuning of a policy on a task. */
import type { Environment } from "../../envs/env.js";
import { type PpoState, ppo } from "../algorithms/ppo.js";
import { type SftState, sft } from "../algorithms/sft.js";
import type { Policy } from "../policy/policy.js";
import type { PpoRunConfig, RunConfig, SftRunConfig } from "./config.js";
import { ConfigError } from "./config-error.js";
import {
  type Algorithm,
  type AlgorithmUpdate,
  type RunOptions,
  type RunOutcome,
  type RunSettings,
  run,
} from "./run.js";
import type { EnvironmentOptions, Task } from "./tasks.js";

export interface TrainOptions extends Pick<RunOptions<unknown>, "folder" | "policy" | "progress" | "signal"> {
  readonly config: RunConfig;
  /** The environment to train on, one of `tasks` or one's own; `config.task` only names it. */
  readonly task: Task;
}

/**
 * Trains as configured. A folder that holds a checkpoint is continued; its configuration must be `config`.
 *
 * @throws ConfigError for supervised fine-tuning on a task without an expert, and what `run` throws
 */
export async function train({ config, task, ...options }: TrainOptions): Promise<RunOutcome> {
  const training = new TrainingEnvironments(task, environmentOptions(config));
  const shared = { ...options, makeEnvironment: () => task.makeEnvironment(environmentOptions(config)) };
  try {
    return config.algorithm === "ppo"
      ? await run({
          ...shared,
          settings: ppoSettings(config),
          algorithm: ppoAlgorithm(config, options.policy, training.make),
        })
      : await run({
          ...shared,
          settings: sftSettings(config),
          algorithm: sftAlgorithm(config, options.policy, training.make, task),
        });
  } finally {
    training.close();
  }
}

/**
 * The configured algorithm alone, from its beginning: trains the policy, one yield per update, and leaves nothing behind.
 *
 * @throws ConfigError for supervised fine-tuning on a task without an expert, and what the algorithm throws
 */
export async function* trainingUpdates({
  config,
  task,
  policy,
}: Pick<TrainOptions, "config" | "task"> & { readonly policy: Policy }): AsyncGenerator<
  AlgorithmUpdate<unknown>,
  void
> {
  const training = new TrainingEnvironments(task, environmentOptions(config));
  try {
    yield* config.algorithm === "ppo"
      ? ppoAlgorithm(config, policy, training.make)(undefined, undefined)
      : sftAlgorithm(config, policy, training.make, task)(undefined, undefined);
  } finally {
    training.close();
  }
}

/** What a configuration asks of its environments, in training and in evaluation alike. */
function environmentOptions(config: RunConfig): EnvironmentOptions {
  const { thoughts } = config;
  if (config.algorithm !== "ppo") return { thoughts };
  const { paperReset, referenceEval, hiddenFifthCard } = config.quirks;
  return { thoughts, paperReset, referenceEval, hiddenFifthCard };
}

/** The environments that an algorithm plays, to be closed when it ends. */
class TrainingEnvironments {
  readonly #task: Task;
  readonly #options: EnvironmentOptions;
  readonly #made: Environment[] = [];

  constructor(task: Task, options: EnvironmentOptions) {
    this.#task = task;
    this.#options = options;
  }

  readonly make = (): Environment => {
    const environment = this.#task.makeEnvironment(this.#options);
    this.#made.push(environment);
    return environment;
  };

  close(): void {
    for (const environment of this.#made) environment.close?.();
  }
}

function ppoAlgorithm(
  { ppo: config, quirks, seed, environments }: PpoRunConfig,
  policy: Policy,
  makeEnvironment: () => Environment,
): Algorithm<PpoState> {
  return (resume, signal) =>
    ppo({
      policy,
      environments: Array.from({ length: environments }, makeEnvironment),
      config,
      quirks,
      seed,
      resume,
      signal,
    });
}

function sftAlgorithm(
  runConfig: SftRunConfig,
  policy: Policy,
  makeEnvironment: () => Environment,
  task: Task,
): Algorithm<SftState> {
  const { sft: config, seed } = runConfig;
  const { name } = task;
  const expert = task.makeExpert?.(environmentOptions(runConfig));
  if (expert === undefined) {
    throw new ConfigError("task", [
      { path: "task", expected: "a task with an expert to imitate", received: `"${name}", which has none` },
    ]);
  }
  return async function* (resume, signal) {
    const environment = makeEnvironment();
    for await (const { step, metrics, state } of sft({
      policy,
      environment,
      expert,
      config,
      seed,
      resume,
      signal,
    })) {
      yield { update: step, environmentSteps: 0, metrics, state };
    }
  };
}

function ppoSettings(config: PpoRunConfig): RunSettings {
  const { temperature, topK, topP, maxNewTokens, updates } = config.ppo;
  return {
    ...commonSettings(config),
    updates,
    stop: config.stop,
    evaluation: { ...config.evaluation, sampling: { temperature, topK, topP }, maxNewTokens },
    headline: { success: "rollout/success_rate", accuracy: "rollout/action_accuracy", kl: "ppo/kl" },
  };
}

function sftSettings(config: SftRunConfig): RunSettings {
  const { temperature, ...evaluation } = config.evaluation;
  return {
    ...commonSettings(config),
    updates: config.sft.steps,
    evaluation: { ...evaluation, sampling: { temperature } },
    headline: { loss: "sft/loss" },
  };
}

function commonSettings({ task, algorithm, seed, checkpointEvery }: RunConfig) {
  return { task, algorithm, seed, checkpointEvery };
}
