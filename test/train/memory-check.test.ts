import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readCheckpoint } from "../../src/models/checkpoint.js";
import { freeGpuMemory } from "../../src/native/cuda.js";
import { parseConfig } from "../../src/train/config.js";
import { engineOptions, loadPolicy, modelFolder } from "../../src/train/load-policy.js";
import {
  evaluationUse,
  libraryBytes,
  MemoryError,
  requireMemory,
  runUse,
} from "../../src/train/memory-check.js";
import { planMemory } from "../../src/train/plan.js";
import { findTask } from "../../src/train/tasks.js";
import { trainingUpdates } from "../../src/train/train.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";

const task = findTask("number-line");
const configure = (changes: Record<string, unknown> = {}) =>
  parseConfig(
    {
      algorithm: "ppo",
      task: "number-line",
      model: { checkpoint: "tiny-vlm" },
      device: "cuda",
      threads: 2,
      environments: 2,
      ppo: {
        updates: 1,
        stepsPerEnvironment: 1,
        epochs: 1,
        minibatchSize: 2,
        microbatchSize: 2,
        maxNewTokens: 2,
        maxLogProbMismatch: 0.1,
      },
      evaluation: { episodes: 2, transcripts: 0 },
      ...changes,
    },
    "test",
  );

/** What the check counts for this configuration. */
async function planned(config: ReturnType<typeof configure>, prompts?: number) {
  const { spec } = await readCheckpoint(modelFolder("tiny-vlm"));
  const { waysOut: _, ...use } = runUse(config);
  const environment = task.makeEnvironment();
  const { info } = await environment.reset(0);
  const policy = await loadPolicy({ ...config, device: "cpu" });
  const { tokens } = policy.encode((await environment.reset(0)).frame, environment.prompt(info));
  policy.dispose();
  return planMemory(
    { model: spec, options: engineOptions(config, { spec, layout: null }) },
    {
      ...use,
      ...(prompts !== undefined && { prompts }),
      promptTokens: tokens.length,
    },
  );
}

describe.skipIf(withoutCuda !== "")(`the memory of a run on a GPU${withoutCuda}`, () => {
  beforeAll(() => useEmulatedCuda());
  beforeEach(() => emulator.configure({ interpreterThreads: 2 }));

  const refusal = (config: ReturnType<typeof configure>) =>
    requireMemory(config, task, runUse(config)).then(
      () => undefined,
      (error: unknown) => error as MemoryError,
    );

  test("is refused before any of it is taken where less is free, with the plan and the ways out", async () => {
    const config = configure();
    const needed = (await planned(config)).total + libraryBytes;
    emulator.configure({ memoryBudgetBytes: needed - 1 });
    const error = await refusal(config);
    expect(error).toBeInstanceOf(MemoryError);
    expect(error!.freeBytes).toBe(needed - 1);
    expect(error!.message).toMatch(
      /^device: expected \d+\.\d+ GB of free memory on "cuda", found \d+\.\d+ GB\n/,
    );
    for (const part of [
      "weights",
      "activations",
      "kv_cache",
      "workspace",
      "at the fullest moment",
      "ppo.microbatchSize, now 2",
      "activationCheckpointing, now false",
      "environments, now 2",
      "ppo.maxNewTokens, now 2",
      "model.lora, now null",
    ])
      expect(error!.message).toContain(part);
    expect(emulator.memory(0)).toMatchObject({ peakBytes: 0 });

    emulator.configure({ memoryBudgetBytes: needed });
    expect(freeGpuMemory("cuda")).toBe(needed);
    expect(await refusal(config)).toBeUndefined();
  });

  test("is enough for the run where the check says so", async () => {
    const config = configure();
    // One decision of each environment, and the state after it; without evaluations there are no more.
    const { total } = await planned(config, 4);
    emulator.configure({ memoryBudgetBytes: total, interpreterThreads: 2, checks: 0 });
    const policy = await loadPolicy(config);
    try {
      for await (const { update } of trainingUpdates({ config, task, policy })) expect(update).toBe(1);
      expect(policy.memory().total.peakBytes).toBeLessThanOrEqual(total);
      expect(policy.memory().total.peakBytes).toBeGreaterThan(0.9 * total);
    } finally {
      policy.dispose();
    }
    expect(emulator.violation(0)).toBe("");
  });

  test("is asked of supervised fine-tuning and of evaluations too", async () => {
    emulator.configure({ memoryBudgetBytes: 1e6 });
    const sft = parseConfig(
      {
        algorithm: "sft",
        task: "number-line",
        model: { checkpoint: "tiny-vlm" },
        device: "cuda",
        threads: 2,
      },
      "test",
    );
    await expect(requireMemory(sft, task, runUse(sft))).rejects.toThrow("sft.batchSize, now 16");
    const evaluation = evaluationUse({ episodes: 3, maxNewTokens: 5, precision: "fp32" });
    await expect(requireMemory(sft, task, evaluation)).rejects.toThrow("--max-new-tokens, now 5");
  });

  test("is asked of GPUs only", async () => {
    emulator.configure({ memoryBudgetBytes: 1 });
    const config = configure({ device: "cpu" });
    await requireMemory(config, task, runUse(config));
  });
});
