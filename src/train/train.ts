/** Runs as configurations describe them: PPO or supervised fine-tuning of a policy on a task. */
import type { Environment } from "../../envs/env.js";
import { type DemonstrationSource, ExpertDemonstrations } from "../algorithms/demonstrations.js";
import { type PpoState, ppo } from "../algorithms/ppo.js";
import { type SftState, sft } from "../algorithms/sft.js";
import type { Policy } from "../policy/policy.js";
import type { PpoRunConfig, RunConfig, SftRunConfig } from "./config.js";
import { ConfigError } from "./config-error.js";
import { DemonstrationData } from "./demonstration-data.js";
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
 * @throws ConfigError for supervised fine-tuning on a task without an expert and without data, and what `run` throws
 */
export async function train({ config, task, ...options }: TrainOptions): Promise<RunOutcome> {
  const environment = environmentOptions(config);
  const training = new TrainingEnvironments(task, environment);
  const shared = {
    ...options,
    makeEnvironment: () => task.makeEnvironment(environment),
    expert: task.makeExpert?.(environment),
  };
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
          algorithm: sftAlgorithm(
            config,
            options.policy,
            await demonstrationSource(config, training.make, task),
          ),
        });
  } finally {
    training.close();
  }
}

/**
 * The configured algorithm alone, from its beginning: trains the policy, one yield per update, and leaves nothing behind.
 *
 * @throws ConfigError for supervised fine-tuning on a task without an expert and without data, and what the algorithm throws
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
      : sftAlgorithm(
          config,
          policy,
          await demonstrationSource(config, training.make, task),
        )(undefined, undefined);
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
  { sft: config, seed }: SftRunConfig,
  policy: Policy,
  demonstrations: DemonstrationSource,
): Algorithm<SftState> {
  return async function* (resume, signal) {
    for await (const { step, metrics, state } of sft({
      policy,
      demonstrations,
      config,
      seed,
      resume,
      signal,
    })) {
      yield { update: step, environmentSteps: 0, metrics, state };
    }
  };
}

/** The configured file's demonstrations, or those of the task's expert. */
async function demonstrationSource(
  runConfig: SftRunConfig,
  makeEnvironment: () => Environment,
  task: Task,
): Promise<DemonstrationSource> {
  const { sft: config, seed } = runConfig;
  if (config.data !== undefined) return DemonstrationData.open(config.data, seed);
  const expert = task.makeExpert?.(environmentOptions(runConfig));
  if (expert !== undefined) {
    return new ExpertDemonstrations({ environment: makeEnvironment(), expert, seed }, config);
  }
  throw new ConfigError("task", [
    {
      path: "task",
      expected: "a task with an expert to imitate, or demonstrations in sft.data",
      received: `"${task.name}", which has no expert`,
    },
  ]);
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
