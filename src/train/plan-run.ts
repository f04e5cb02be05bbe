import { readCheckpoint } from "../models/checkpoint.js";
import type { ModelSpec } from "../native/model-spec.js";
import type { PpoRunConfig, RunConfig } from "./config.js";
import { ConfigError, unknownName } from "./config-error.js";
import { type Gpu, gpus } from "./gpus.js";
import { absentKnownModel, type DescribedModel, engineOptions, modelFolder } from "./load-policy.js";
import { makePlan, type Plan, type PlannedWork } from "./plan.js";
import { plannedImage } from "./planned-image.js";

export interface PlanOptions {
  readonly gpu: string;
  readonly gpuCount: number;
  /** Image tokens included; default: those of one image and `defaultTextTokens`. */
  readonly promptTokens?: number;
  /** Default: the longest that the configuration allows. */
  readonly responseTokens?: number;
}

export interface RunPlan {
  readonly plan: Plan;
  readonly work: PlannedWork;
  readonly gpu: Gpu;
  readonly gpuCount: number;
}

/** What the prompts of RL4VLM take beside the image. */
const defaultTextTokens = 150;

/**
 * Plans one PPO iteration of a configuration, as every GPU of the run will play it.
 *
 * @throws ConfigError for an unknown GPU, or a configuration of another algorithm; CheckpointError for a model whose sizes
 *   are not known
 */
export async function planRun(config: RunConfig, options: PlanOptions): Promise<RunPlan> {
  const gpu = gpus[options.gpu];
  if (gpu === undefined)
    throw new ConfigError("plan", [unknownName("--gpu", options.gpu, "a GPU", Object.keys(gpus))]);
  if (config.algorithm !== "ppo") {
    throw new ConfigError("plan", [
      { path: "algorithm", expected: '"ppo"', received: `"${config.algorithm}"` },
    ]);
  }
  const described = await describedModel(config.model.checkpoint);
  const model = described.spec;
  const work = plannedWork(config, model, options);
  const { gpuCount } = options;
  const plan = await makePlan({ model, options: engineOptions(config, described), work, gpu, gpuCount });
  return { plan, work, gpu, gpuCount };
}

/** A model as its folder states it or, before it is there, as it is known by its name. */
async function describedModel(checkpoint: string): Promise<DescribedModel> {
  return absentKnownModel(checkpoint) ?? readCheckpoint(modelFolder(checkpoint));
}

function plannedWork(
  { ppo, quirks, environments }: PpoRunConfig,
  model: ModelSpec,
  { promptTokens, responseTokens }: PlanOptions,
): PlannedWork {
  const { minibatchSize, microbatchSize = minibatchSize } = ppo;
  return {
    environments,
    decisions: environments * ppo.stepsPerEnvironment,
    epochs: ppo.epochs,
    minibatchSize,
    microbatchSize,
    promptTokens: promptTokens ?? (plannedImage(model)?.tokens ?? 0) + defaultTextTokens,
    responseTokens: responseTokens ?? ppo.maxNewTokens,
    ...(quirks.insertBeginToken && { scoringPass: true }),
  };
}
