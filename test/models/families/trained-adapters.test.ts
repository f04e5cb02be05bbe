import { join } from "node:path";
import { expect, test } from "vitest";
import { VlmPolicy } from "../../../src/policy/vlm-policy.js";
import { readSafetensors } from "../../golden/safetensors.js";
import { temporaryFolder } from "../../train/temporary-folder.js";
import { goldenModel, goldenNames, joined, sequencesOf } from "./golden-models.js";

const weights = "adapter_model.safetensors";
const lora = { rank: 3, alpha: 5 } as const;

test.each(goldenNames)("adapters of every linear layer of the tiny %s are saved as trained", async (name) => {
  const golden = goldenModel(name);
  const sequences = await sequencesOf(golden);
  const saved = join(temporaryFolder(), name);
  const seesImages = sequences.some(({ prompt }) => prompt.images.length > 0);
  const components = seesImages ? (["vision", "projector", "decoder"] as const) : (["decoder"] as const);
  const trainable = Object.fromEntries(components.map((component) => [component, "lora"]));

  const policy = await VlmPolicy.load(golden.folder, { threads: 2, seed: 3, trainable, lora });
  let trained: Float32Array;
  try {
    // Of the first step the gradients of A are zero, since B is.
    for (let step = 0; step < 3; step++) {
      const scores = await policy.score(sequences);
      await policy.backward(scores, { logProbs: joined(golden, "coefficients") });
      await policy.step({ groups: [{ components, learningRate: 0.03 }] });
    }
    trained = (await policy.score(sequences, { keepTape: false })).logProbs;
    await policy.saveCheckpoint(saved);
  } finally {
    policy.dispose();
  }
  expect(trained).not.toEqual(joined(golden, "log_probs"));

  const again = await VlmPolicy.load(saved, { threads: 2 });
  try {
    expect((await again.score(sequences, { keepTape: false })).logProbs).toEqual(trained);
  } finally {
    again.dispose();
  }
  const factors = readSafetensors(join(saved, weights));
  const untrained = [...factors].filter(([, factor]) => factor.every((value) => value === 0));
  expect(untrained.map(([key]) => key)).toEqual([]);
  // PEFT's adapter is of some of the layers. It finds tensors by its own names, and a CLIP tower's also by the longer ones.
  const peft = readSafetensors(join(golden.folder, "adapter", weights));
  const found = new Set(
    [...factors.keys()].map((key) => key.replace("vision_tower.vision_model.", "vision_tower.")),
  );
  expect([...peft.keys()].filter((key) => !found.has(key))).toEqual([]);
});
