/** Whether a run fits into the memory of the GPU that it is to compute on, asked before anything is taken of it. */
import { readCheckpoint } from "../models/checkpoint.js";
import { PromptMaker } from "../models/prompts.js";
import { freeGpuMemory } from "../native/cuda.js";
import { defaultMaxBatch } from "../native/engine.js";
import type { RunConfig } from "./config.js";
import { engineOptions, modelFolder, type PolicyConfig } from "./load-policy.js";
import { type PlannedMemory, type PlannedUse, planMemory } from "./plan.js";
import type { Task } from "./tasks.js";

/** What a run does with its policy, and what of it takes memory. */
export interface DeviceUse extends Omit<PlannedUse, "promptTokens"> {
  /** What would make it smaller, as one would type it, e.g. `ppo.microbatchSize, now 8`. */
  readonly waysOut: readonly string[];
}

/** A run that needs more memory than its GPU has free. */
export class MemoryError extends Error {
  readonly code = "OUT_OF_MEMORY";

  constructor(
    device: string,
    readonly memory: PlannedMemory,
    /** Beside it: features that the engine keeps, and what libraries load. */
    readonly besides: { readonly features: number; readonly libraries: number },
    readonly freeBytes: number,
    waysOut: readonly string[],
  ) {
    const needed = memory.total + besides.features + besides.libraries;
    const rows = Object.entries(memory).filter(([purpose]) => purpose !== "total");
    const row = (name: string, bytes: number) => `  ${name.padEnd(36)}${gigabytes(bytes).padStart(10)} GB`;
    super(
      [
        `device: expected ${gigabytes(needed)} GB of free memory on "${device}", found ${gigabytes(freeBytes)} GB`,
        ...rows.map(([purpose, bytes]) => row(purpose, bytes)),
        row("at the fullest moment", memory.total),
        ...(besides.features > 0 ? [row("features of frozen images, at most", besides.features)] : []),
        row("libraries (estimate)", besides.libraries),
        "to make it fit, change:",
        ...waysOut.map((way) => `  ${way}`),
      ].join("\n"),
    );
    this.name = "MemoryError";
  }
}

/** What libraries load when they are first used, beside what the driver has taken by then: an estimate. */
export const libraryBytes = 0.5e9;

/** Features that the engine keeps of images behind what is frozen, at most (native/engine/image_features.cpp). */
const keptFeatureBytes = 2 ** 28;

/** Episodes whose first prompts are looked at: prompts of a task are nearly equal in length. */
const promptProbes = 8;

/**
 * Plans what a policy will be asked for and compares it with what is free, without taking any of it. On the CPU there is nothing to
 * compare: its memory can be swapped and is shared with everything else.
 *
 * @throws MemoryError; CheckpointError, ImageSettingError for a model that cannot be read so; SightlineError UNSUPPORTED without the GPU
 */
export async function requireMemory(
  config: PolicyConfig,
  task: Task,
  { waysOut, ...use }: DeviceUse,
): Promise<void> {
  if (config.device === "cpu") return;
  const freeBytes = freeGpuMemory(config.device);
  const checkpoint = await readCheckpoint(modelFolder(config.model.checkpoint), config.model.images);
  const prompts = new PromptMaker(checkpoint);
  const environment = task.makeEnvironment();
  const lengths: number[] = [];
  try {
    for (let seed = 0; seed < promptProbes; seed++) {
      const { frame, info } = await environment.reset(seed);
      lengths.push(prompts.observation(frame, environment.prompt(info)).tokens.length);
    }
  } finally {
    environment.close?.();
  }
  const request = { model: checkpoint.spec, options: engineOptions(config, checkpoint) };
  const memory = await planMemory(request, { ...use, promptTokens: Math.max(...lengths) });
  const features = config.model.frozen.includes("vision") ? keptFeatureBytes : 0;
  const besides = { features, libraries: libraryBytes };
  if (memory.total + features + libraryBytes > freeBytes)
    throw new MemoryError(config.device, memory, besides, freeBytes, waysOut);
}

/** What a configured run, its evaluations included, asks of its policy at most. */
export function runUse(config: RunConfig): DeviceUse {
  const { evaluation, activationCheckpointing, precision, model } = config;
  const evaluated = Math.min(evaluation.episodes, defaultMaxBatch);
  const shared = [
    ...(activationCheckpointing ? [] : ["activationCheckpointing, now false"]),
    ...(precision === "bf16" ? [] : [`precision, now ${precision}`]),
    ...(model.lora ? [] : ["model.lora, now null"]),
  ];
  if (config.algorithm === "sft") {
    const { batchSize } = config.sft;
    return {
      responses: evaluated,
      prompts: Number.POSITIVE_INFINITY,
      responseTokens: config.evaluation.maxNewTokens,
      update: {
        sequences: batchSize,
        scoredTokens: config.evaluation.maxNewTokens,
        values: false,
        entropies: false,
      },
      waysOut: [
        `sft.batchSize, now ${batchSize}`,
        ...shared,
        `evaluation.episodes, now ${evaluation.episodes}`,
      ],
    };
  }
  const { ppo, quirks, environments } = config;
  const { minibatchSize, microbatchSize = minibatchSize, maxNewTokens, entropyCoefficient } = ppo;
  return {
    responses: Math.max(evaluated, Math.min(environments, defaultMaxBatch)),
    prompts: Number.POSITIVE_INFINITY,
    responseTokens: maxNewTokens,
    update: {
      sequences: microbatchSize,
      scoredTokens: maxNewTokens + (quirks.insertBeginToken ? 1 : 0),
      values: true,
      entropies: entropyCoefficient > 0,
    },
    waysOut: [
      `ppo.microbatchSize, now ${microbatchSize}`,
      ...shared,
      `environments, now ${environments}, and evaluation.episodes, now ${evaluation.episodes}`,
      `ppo.maxNewTokens, now ${maxNewTokens}`,
    ],
  };
}

/** What an evaluation alone asks of its policy. */
export function evaluationUse({
  episodes,
  maxNewTokens,
  precision,
}: {
  episodes: number;
  maxNewTokens: number;
  precision: PolicyConfig["precision"];
}): DeviceUse {
  return {
    responses: Math.min(episodes, defaultMaxBatch),
    prompts: Number.POSITIVE_INFINITY,
    responseTokens: maxNewTokens,
    waysOut: [
      ...(precision === "bf16" ? [] : [`--precision, now ${precision}`]),
      `--episodes, now ${episodes}`,
      `--max-new-tokens, now ${maxNewTokens}`,
    ],
  };
}

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(3);
