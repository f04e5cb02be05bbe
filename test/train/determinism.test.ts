import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Environment } from "../../envs/env.js";
import { NumberLine, type NumberLineInfo } from "../../envs/gym-cards/number-line.js";
import { parseConfig } from "../../src/train/config.js";
import { loadPolicy } from "../../src/train/load-policy.js";
import { numberLine } from "../../src/train/presets.js";
import { RunFolder } from "../../src/train/run-folder.js";
import type { Task } from "../../src/train/tasks.js";
import { train } from "../../src/train/train.js";
import { temporaryFolder } from "./temporary-folder.js";

/** NumberLine whose resets and steps take a different time on every call, so that environments overtake each other. */
function slowNumberLine(): Environment<NumberLineInfo> {
  const game = new NumberLine();
  return {
    id: game.id,
    actionSpace: game.actionSpace,
    reset: async (seed) => {
      await pause();
      return game.reset(seed);
    },
    step: async (action) => {
      await pause();
      return game.step(action);
    },
    prompt: (info) => game.prompt(info),
    parseAction: (response, info) => game.parseAction(response, info),
    isSuccess: (outcome) => game.isSuccess(outcome),
    optimalActions: (info) => game.optimalActions(info),
    readsState: (response, info) => game.readsState!(response, info),
  };
}

let pauses = 0;
function pause(): Promise<void> {
  pauses += 1;
  return sleep((pauses * 7) % 23);
}

interface Results {
  metrics: string;
  weights: string;
}

/** Two updates of the shipped model on four environments. */
async function shortRun(
  changes: { seed?: number; threads?: number; delayed?: boolean; dropout?: number } = {},
): Promise<Results> {
  const preset = numberLine();
  const { dropout } = changes;
  const adapted = {
    model: { checkpoint: "tiny-vlm", weights: "fresh", lora: { rank: 4, alpha: 8, dropout } },
    ppo: { ...preset.ppo, maxNewTokens: 8, maxLogProbMismatch: null },
  };
  const { model, ppo } = dropout === undefined ? preset : adapted;
  const config = parseConfig({
    ...preset,
    model,
    seed: changes.seed ?? 5,
    threads: changes.threads ?? 2,
    environments: 4,
    ppo: { ...ppo, updates: 2, stepsPerEnvironment: 6, epochs: 2, minibatchSize: 8 },
    evaluation: { ...preset.evaluation, episodes: 4, transcripts: 0, selectionEpisodes: 4 },
  });
  const task: Task<NumberLineInfo> = {
    name: "number-line",
    makeEnvironment: () => (changes.delayed ? slowNumberLine() : new NumberLine()),
  };
  const folder = RunFolder.create(join(temporaryFolder(), "run"), config, {});
  const policy = await loadPolicy(config);
  try {
    await train({ config, policy, task: task as Task, folder });
  } finally {
    policy.dispose();
  }
  const weights = readFileSync(folder.file("checkpoints", "last", "model.safetensors"));
  return {
    metrics: readFileSync(folder.file("metrics.jsonl"), "utf8"),
    weights: createHash("sha256").update(weights).digest("hex"),
  };
}

describe("a run on the native engine", () => {
  test("is a pure function of its configuration and seed", async () => {
    const first = await shortRun({ threads: 2 });
    const rows = first.metrics
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row["rollout/log_prob_mismatch_max"]).toBe(0);
      expect(row["ppo/gradient_norm"]).toBeGreaterThan(0);
    }
    expect(await shortRun({ threads: 2 }), "again").toEqual(first);
    expect(await shortRun({ threads: 1 }), "on one thread").toEqual(first);
    expect(await shortRun({ delayed: true }), "with environments that take their time").toEqual(first);
    expect((await shortRun({ seed: 6 })).weights, "another seed").not.toBe(first.weights);
  });

  test("is one with dropout, too", async () => {
    const first = await shortRun({ dropout: 0.2 });
    const [fresh, trained] = first.metrics
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)["rollout/log_prob_mismatch_max"]);
    // Adapters start at zero, and so does what they drop.
    expect(fresh).toBe(0);
    expect(trained).toBeGreaterThan(0);
    expect(await shortRun({ dropout: 0.2, threads: 1, delayed: true })).toEqual(first);
    expect((await shortRun({ dropout: 0.1 })).weights, "another rate").not.toBe(first.weights);
  });
});
