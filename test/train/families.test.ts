import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { parseConfig } from "../../src/train/config.js";
import { loadPolicy } from "../../src/train/load-policy.js";
import { numberLine } from "../../src/train/presets.js";
import { RunFolder } from "../../src/train/run-folder.js";
import type { Task } from "../../src/train/tasks.js";
import { train } from "../../src/train/train.js";
import { type GoldenName, goldenModel, goldenNames } from "../models/families/golden-models.js";
import { temporaryFolder } from "./temporary-folder.js";

/** How a family's model is trained in this test: whole, or with adapters on some of its parts. */
const changes: Partial<Record<GoldenName, object>> = {
  "llava-next": { images: { singleCrop: true }, lora: { rank: 2, alpha: 4, components: ["decoder"] } },
  smolvlm: { images: { splitting: false } },
  "qwen2-5-vl": { frozen: [], lora: { rank: 2, alpha: 4, components: ["vision", "projector", "decoder"] } },
};

test.each(goldenNames)("PPO on NumberLine takes two updates of the tiny %s", async (name) => {
  const preset = numberLine();
  const config = parseConfig({
    ...preset,
    model: { checkpoint: goldenModel(name).folder, frozen: ["vision"], ...changes[name] },
    precision: "fp32",
    threads: 2,
    environments: 2,
    ppo: { ...preset.ppo, updates: 2, stepsPerEnvironment: 3, epochs: 2, minibatchSize: 4, maxNewTokens: 6 },
    evaluation: { ...preset.evaluation, episodes: 2, transcripts: 0, selectionEpisodes: 2 },
  });
  const task: Task = { name: "number-line", makeEnvironment: () => new NumberLine() };
  const folder = RunFolder.create(join(temporaryFolder(), "run"), config, {});
  const policy = await loadPolicy(config);
  try {
    const outcome = await train({ config, policy, task, folder });
    expect(outcome.status).toBe("finished");
  } finally {
    policy.dispose();
  }
  const rows = readFileSync(folder.file("metrics.jsonl"), "utf8").trimEnd().split("\n");
  expect(rows).toHaveLength(2);
  for (const row of rows.map((line) => JSON.parse(line))) {
    expect(row["rollout/log_prob_mismatch_max"]).toBe(0);
    expect(row["ppo/gradient_norm"]).toBeGreaterThan(0);
  }
  // What the run has left can be trained on.
  const last = folder.file("checkpoints", "last");
  const again = await loadPolicy({ ...config, model: { ...config.model, checkpoint: last } });
  again.dispose();
});
